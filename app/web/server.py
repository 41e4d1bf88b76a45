"""The server of the page: everything in its place before gradio is imported, then one process that only serves."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import UsageError
from app.settings import Settings
from app.store import state_folder

GRACE_S = 2
"""That open requests have when the server is to end."""


@dataclass(frozen=True)
class Serving:
    """What was asked for."""

    settings: Settings
    host: str
    port: int
    accounts: dict[str, str] | None
    """None: nobody logs in."""
    preload: bool
    idle_unload_s: float
    root_path: str
    """"" or the page's address, or path, behind a proxy."""
    max_upload: int
    """Bytes of one file."""
    offline: bool


def serve(asked: Serving) -> None:
    """Until a signal ends it. Raises UsageError where it can't begin."""
    page, uploads, empty = (state_folder(name) for name in ("page", "page-uploads", "page-empty"))
    for folder in (page, uploads):
        folder.chmod(0o700)
    with _only_one(page / "lock") as note:
        listener = _listen(asked)
        address = _address(listener)
        note(address)
        settings = _absolute(asked.settings)
        profile = os.environ.get("RUN_APP_PROFILE") or "none"
        _say(f"profile {profile}, model {settings.model}, device {settings.device}, {asked.root_path or address}")
        os.chdir(empty)
        for left in uploads.iterdir():
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
        for name in [name for name in os.environ if name.startswith("GRADIO_")]:
            del os.environ[name]
        os.environ |= {
            "GRADIO_TEMP_DIR": str(uploads),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "PYANNOTE_METRICS_ENABLED": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        _run(replace(asked, settings=settings), listener, address, page, uploads)


def _run(asked: Serving, listener: socket.socket, address: str, page: Path, uploads: Path) -> None:
    import uvicorn

    from app.web.application import application
    from app.web.board import Board
    from app.web.jobs import JobStore
    from app.web.lane import Lane
    from app.web.machine import Proof

    store = JobStore(page)
    lane = Lane(store, asked.settings, idle_unload_s=asked.idle_unload_s, offline=asked.offline)
    loopback = _is_loopback(listener.getsockname()[0])
    proof = Proof(alone=lane.rest)
    app = application(Board(store, lane), proof, asked, uploads, loopback=loopback)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            _say(f"serving on {address}")
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self.handle_exit)
            lane.start(preload=asked.preload)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # That it had to cancel those who listen for news is no error.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await asyncio.to_thread(lane.stop)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(asked.root_path),
        timeout_graceful_shutdown=GRACE_S,
    )
    server = Server(config)
    try:
        server.run([listener])
    finally:
        if server.started:
            lane.stop()
        proof.stop()


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold the lock; gives what notes the address for those who come later. Raises UsageError."""
    with path.open("a+") as file:
        path.chmod(0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid, _, where = file.read().strip().partition(" ")
            raise UsageError(
                f"another server has these jobs: process {pid or 'unknown'}{where and f', {where}'}; "
                "stop it, or set XDG_STATE_HOME to another folder"
            ) from None

        def note(address: str) -> None:
            file.truncate(0)
            file.write(f"{os.getpid()} {address}\n")
            file.flush()

        note("")
        yield note


def _listen(asked: Serving) -> socket.socket:
    """A socket that listens. Raises UsageError."""
    host, port = asked.host, asked.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {getattr(error, 'strerror', None) or 'no name or address'}") from None
    family, _, _, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
    if asked.accounts is None and not _is_loopback(place[0]):
        raise UsageError(f"--host {host}: others can reach this address; say with --auth-file who may come in")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(2048)  # who comes while gradio is imported waits
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is taken; choose another with --port, --port 0 takes a free one") from None
        raise UsageError(f"--host {host} --port {port}: {error.strerror}") from None
    return listener


def _is_loopback(host: object) -> bool:
    return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback


def _address(listener: socket.socket) -> str:
    """As a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _absolute(settings: Settings) -> Settings:
    """The current folder is about to change."""
    from app.models import existing_folder, is_folder

    if not is_folder(settings.model):
        return settings
    return replace(settings, model=str(existing_folder(settings.model)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
