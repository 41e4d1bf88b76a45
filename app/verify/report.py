"""The report for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.verify import Check, Seen

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red", "SKIP": "dim"}


def show(sections: Mapping[str, Sequence[Check]], seen: Seen, manual: str, table: Table | None = None) -> None:
    """Every check a line, and below one that is not OK what to do; the table below them all."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, emoji=False)
    profile = ",".join(seen.profiles) or "none: start it as run-app --profile NAME verify"
    console.print(Text(f"profile {profile}"))
    counts: Counter[str] = Counter()
    for title, checks in sections.items():
        if checks:
            console.print(Text(f"\n{title}", style="bold"))
        for check in checks:
            counts[check.status] += 1
            line = Text(f"{check.status:4}  ", style=STYLES[check.status])
            line.append(f"{check.subject}: {check.found}", style="")
            console.print(line)
            if check.todo:
                console.print(Text(f"      -> {check.todo} [{check.id}]", style=STYLES[check.status]))
    if table:
        console.print()
        console.print(table)
    said = ", ".join(f"{counts[status]} {status}" for status in STYLES if counts[status])
    console.print(Text(f"\n{said}; [names] are entries of {manual}"))
