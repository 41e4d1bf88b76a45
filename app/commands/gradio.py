"""The arguments of `gradio`."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.commands import argument, need
from app.errors import UsageError
from app.settings import at_least, read_settings

if TYPE_CHECKING:
    from app.commands import Commands

HOST, PORT = "127.0.0.1", "7860"
IDLE_UNLOAD_S = 600
MAX_UPLOAD = "4GB"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def add(commands: Commands) -> None:
    """Declare it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "gradio",
        help="a page in the browser that transcribes, and its API",
        description="A page in the browser that transcribes, and its API. Jobs are kept on the disk: they outlive a "
        "closed tab, a refresh and a restart. One server has the jobs of a state folder (XDG_STATE_HOME).",
        epilog="Exit codes: 0 after Ctrl-C, 2 wrong usage, a taken port or a second server. SIGTERM ends it too, "
        "within 5 s; a job that was under way goes on at the next start.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--host", metavar="ADDRESS", help=f"listen there; all but loopback asks for --auth-file (default: {HOST}) *")
    add("--port", type=argument(_port), metavar="N", help=f"0 takes a free one (default: {PORT}) *")
    add("--auth-file", type=Path, metavar="FILE", help="who may come in: lines name:password, readable by you alone")
    add("--preload", action="store_true", help="load the profile's models at the start, not with the first job")
    add(
        "--idle-unload",
        type=argument(at_least(0)),
        default=IDLE_UNLOAD_S,
        metavar="SECONDS",
        help="without a job until the models' memory is given back (default: %(default)s)",
    )
    add(
        "--root-path",
        type=argument(_root),
        metavar="URL",
        help="where a proxy shows the page, as https://example.org/speech, or only /speech",
    )
    add(
        "--max-upload",
        type=argument(size),
        default=MAX_UPLOAD,
        metavar="SIZE",
        help="largest recording, as 500MB or 2GB (default: %(default)s)",
    )
    add("--offline", action="store_true", help="ask no network; models must be on this machine")
    parser.add_argument_group("*", "GRADIO_SERVER_NAME and GRADIO_SERVER_PORT set other defaults.")


def _port(text: str) -> int:
    """ValueError says what is possible."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ValueError("must be a port from 0 to 65535")
    return int(text)


def _root(text: str) -> str:
    """Without a slash at its end. ValueError says what is possible."""
    parts = urlsplit(text)
    whole = parts.scheme in ("http", "https") and parts.hostname
    if not (whole or (text.startswith("/") and not parts.netloc)) or parts.query or parts.fragment:
        raise ValueError("must be an address as https://example.org/speech, or a path as /speech")
    return text.rstrip("/")


def size(text: str) -> int:
    """Bytes. ValueError says what is possible."""
    found = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?B)", text.upper())
    if not found or not int(found[1]):
        raise ValueError(f"must be a size in {', '.join(UNITS)}, as 500MB")
    return int(found[1]) * UNITS[found[2]]


def run(options: argparse.Namespace) -> int:
    """Do it."""
    need("the page", "app", "gradio", "faster_whisper", "av", "psutil")
    from app.web.auth import read_accounts
    from app.web.server import Serving, serve

    port = options.port
    if port is None:
        try:
            port = _port(os.environ.get("GRADIO_SERVER_PORT") or PORT)
        except ValueError as error:
            raise UsageError(f"GRADIO_SERVER_PORT={os.environ['GRADIO_SERVER_PORT']}: {error}") from None
    try:
        serve(
            Serving(
                settings=read_settings(os.environ),
                host=options.host or os.environ.get("GRADIO_SERVER_NAME") or HOST,
                port=port,
                accounts=read_accounts(options.auth_file) if options.auth_file else None,
                preload=options.preload,
                idle_unload_s=options.idle_unload,
                root_path=options.root_path or "",
                max_upload=options.max_upload,
                offline=options.offline,
            )
        )
    except KeyboardInterrupt:
        pass  # the way it is meant to end
    return 0
