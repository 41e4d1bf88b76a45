"""How the monitor shows what it sees: once, or again and again on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.monitor import Followed, View, Watch
from launcher.cli import printable

FIRST_S = 0.5
"""Between the two looks that a processor's use in percent takes."""
WIDTH = 200
"""Of what goes to a file: nothing is cut to a terminal's width."""
BLOCKS = "▁▂▃▄▅▆▇█"
TAKEN = 82
"""Columns of a terminal that the table takes without the history; what is left is the history's."""


def once(watch: Watch) -> None:
    """A plain table of this moment, on stdout."""
    watch.look()
    time.sleep(FIRST_S)
    view = watch.look()
    console = Console(highlight=False, emoji=False, color_system=None, width=WIDTH)
    for process in view.ended:
        console.print(Text(_farewell(process)))
    console.print(_shown(view, "no run-app is running"))


def follow(watch: Watch, interval_s: float) -> None:
    """Until Ctrl-C, or until the one process that is followed has ended. Needs a terminal."""
    console = Console(highlight=False, emoji=False)
    blocks = max(0, console.width - TAKEN) if console.encoding.lower().startswith("utf") else 0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view = watch.look()
            for process in view.ended:
                console.print(Text(_farewell(process)))
            live.update(_shown(view, "waiting for a run-app to start; Ctrl-C ends", blocks), refresh=True)
            if watch.over:
                return
            time.sleep(interval_s)


def has_terminal() -> bool:
    """Whether stdout is one that can draw."""
    return Console().is_interactive


def _farewell(process: Followed) -> str:
    return printable(f"{process.pid} {process.what} ended; its peak was {_mib(process.peak)} MiB")


def _shown(view: View, idle: str, blocks: int | None = None) -> RenderableType:
    """`blocks` is the length of the histories; None: the plainest tables."""
    parts: list[RenderableType] = []
    if view.processes:
        table = _table(("pid", "process"), ("RSS MiB", "peak MiB", "CPU %", "VRAM MiB"), blocks)
        most = max(process.peak for process in view.processes)
        for each in view.processes:
            vram = "-" if each.on_cards is None else _mib(each.on_cards)
            cells = (str(each.pid), printable(each.what), _mib(each.resident), _mib(each.peak), f"{each.cpu:.0f}", vram)
            table.add_row(*map(Text, cells), *_history(each.history, most, blocks))
        parts.append(table)
    elif not view.ended:
        parts.append(Text(idle))
    if view.cards:
        table = _table(("card",), ("used MiB", "total MiB", "busy %"), blocks)
        for card in view.cards:
            busy = "-" if card.busy is None else str(card.busy)
            told = (card.name, _mib(card.used), _mib(card.total), busy)
            table.add_row(*map(Text, told), *_history(card.history, card.total, blocks))
        parts.append(table)
    host = f"host: {_mib(view.available)} of {_mib(view.total)} MiB available, "
    host += f"swap {_mib(view.swap_used)} of {_mib(view.swap_total)} MiB used"
    if view.group_limit:
        host += f", the control group's limit {_mib(view.group_limit)} MiB"
    return Group(*parts, Text(host))


def _table(left: Sequence[str], right: Sequence[str], blocks: int | None) -> Table:
    table = Table(box=None if blocks is None else box.SIMPLE, pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=name == "pid")  # names give way where a terminal is narrow
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    if blocks:
        table.add_column("", no_wrap=True)
    return table


def _history(sizes: Iterable[int], most: int, blocks: int | None) -> tuple[str, ...]:
    """As a line of blocks, full height for `most`; no cell where there is no room."""
    if not blocks:
        return ()
    return ("".join(BLOCKS[min(len(BLOCKS) - 1, size * len(BLOCKS) // max(1, most))] for size in sizes)[-blocks:],)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
