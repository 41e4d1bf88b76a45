"""The arguments of `monitor`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.commands import argument, need
from app.settings import positive

if TYPE_CHECKING:
    from app.commands import Commands

LEAST_S, MOST_S = 0.1, 3600.0


def add(commands: Commands) -> None:
    """Declare it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "monitor",
        help="watch the memory of what runs: RSS, VRAM and the host's",
        description="Watch the memory of running run-app processes, of the cards and of the host. Where stdout is no "
        "terminal, one table is printed.",
        epilog="Exit codes: 0 also after Ctrl-C, 2 wrong usage or no such process.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--pid", type=argument(positive), metavar="PID", help="this process and its children (default: all of run-app)")
    add("--interval", type=argument(_seconds), default=1.0, metavar="SECONDS", help="between two looks (default: 1)")
    add("--once", action="store_true", help="print one plain table and end")


def _seconds(text: str) -> float:
    """ValueError says what is possible."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_S <= seconds <= MOST_S:
        raise ValueError(f"must be seconds from {LEAST_S:g} to {MOST_S:g}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Do it."""
    need("monitor", "asr", "rich", "psutil")
    try:
        from app.monitor import Watch
        from app.monitor_view import follow, has_terminal, once

        watch = Watch(options.pid)
        if options.once or not has_terminal():
            once(watch)
        else:
            follow(watch, options.interval)
    except KeyboardInterrupt:
        pass  # the way it is meant to end
    return 0
