"""The arguments of `verify`, and its report."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands import need
from app.errors import UsageError

if TYPE_CHECKING:
    from app.commands import Commands
    from app.verify import Check, Seen

SECTIONS = {"variables": "Variables", "installation": "Installation", "host": "This machine", "cards": "Cards"}
"""Modules of app/verify, and how the report calls them."""
MANUAL = "docs/troubleshooting.md"


def add(commands: Commands) -> None:
    """Declare it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="prove that each variable took effect, and find what is wrong with this installation",
        description="Prove that each variable of the profile took effect, and find what is wrong with this "
        "installation and machine. What might abort is tried in a child process.",
        epilog=f"Each finding's name in brackets is an entry of {MANUAL}. Exit codes: 0 nothing failed, 1 something "
        "did, 2 wrong usage.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="the report as JSON, on stdout")
    parser.add_argument("--startup", action="store_true", help="load the app's models as the app does; memory by model")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --startup: the memory curve as a picture, .png")
    parser.add_argument("--fix-hints", action="store_true", help="show ready-made files too, as a .wslconfig that fits")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    need("verify", "asr", "rich", "psutil")
    if options.plot and not options.startup:
        raise UsageError("--plot shows the memory of --startup: say that too")
    if options.plot:
        from app.verify import plot

        plot.check(options.plot)
    from importlib import import_module

    from app.verify.run import run_all

    seen = read(options.fix_hints)
    tasks = [(name, task) for name in SECTIONS for task in import_module(f"app.verify.{name}").tasks(seen)]
    found: dict[str, list[Check]] = {name: [] for name in SECTIONS}
    loaded = None
    with _watched() as report:
        for (name, _), checks in zip(tasks, run_all([task for _, task in tasks], report), strict=True):
            found[name] += checks
        if options.startup:  # when all else is done: its memory is looked at
            from app.verify import startup

            loaded = startup.measure(seen, report)
    if loaded:
        found["startup"] = [*loaded.checks, *([plot.write(loaded, options.plot, seen)] if options.plot else ())]
    if options.json:
        lines = [{"section": name, **dataclasses.asdict(check)} for name, some in found.items() for check in some]
        extra = {"startup": loaded.as_json()} if loaded else {}
        print(json.dumps({"profiles": seen.profiles, "checks": lines, **extra}, indent=1))
    else:
        from app.verify.report import show

        titles = SECTIONS | {"startup": "Start-up"}
        show({titles[name]: checks for name, checks in found.items()}, seen, MANUAL, loaded.table() if loaded else None)
    return 1 if any(check.status == "FAIL" for checks in found.values() for check in checks) else 0


@contextmanager
def _watched() -> Iterator[Callable[[str], None]]:
    """Call it with what is being looked at: that is shown on stderr, where it is a terminal, and is gone at the end."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, force_terminal=os.isatty(2))  # whatever FORCE_COLOR says, nothing moves in a file
    with console.status("", spinner="line") as status:  # a spinner that any encoding has
        yield lambda name: status.update(Text(f"looking at {name}"))


def read(fix_hints: bool = False) -> Seen:
    """What this process was started with, and what became of it since."""
    from app.verify import Seen

    block = _mended(Path("/proc/self/environ").read_bytes().decode(errors="surrogateescape"))
    pairs = (entry.partition("=") for entry in block.split("\0"))
    at_exec = {name: value for name, _, value in pairs if name}
    late = {name: value for name, value in os.environ.items() if at_exec.get(name) != value and name != "LC_CTYPE"}
    settings, profiles = (
        tuple(filter(None, at_exec.get(name, "").split(","))) for name in ("RUN_APP_SETTINGS", "RUN_APP_PROFILE")
    )
    return Seen(at_exec, late, settings, profiles, fix_hints)


def _mended(block: str) -> str:
    """With GLIBC_TUNABLES in one piece: glibc before 2.39 ends each part that it knows by a zero byte, in the very
    memory that /proc/self/environ shows, and keeps a copy for the program.
    """
    whole = f"GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')}"
    return re.sub("[:\0]".join(map(re.escape, whole.split(":"))), lambda _: whole, block)
