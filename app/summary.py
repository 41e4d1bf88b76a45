"""The table at the end: what each stage took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.messages import Finished, Loaded, Message

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class _Row:
    load_s: float = 0.0
    run_s: float = 0.0
    audio_s: float = 0.0
    peak_bytes: int = 0


class Summary:
    """Adds up what the workers say, by stage, in the order the stages first ran."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def hear(self, message: Message) -> None:
        if isinstance(message, Loaded):
            self._row(message.stage).load_s += message.seconds
        elif isinstance(message, Finished):
            row = self._row(message.stage)
            row.run_s += message.seconds
            row.audio_s += message.audio_s

    def peaks(self, peaks: dict[str, int]) -> None:
        """The highest resident set of a worker in each stage, in bytes."""
        for stage, peak in peaks.items():
            if stage in self._rows:
                self._rows[stage].peak_bytes = max(self._rows[stage].peak_bytes, peak)

    def _row(self, stage: str) -> _Row:
        return self._rows.setdefault(stage, _Row())

    def table(self, wall_s: float) -> Table:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE, pad_edge=False)
        table.add_column("stage")
        for name in ("load s", "seconds", "audio s/s", "peak RSS MiB"):
            table.add_column(name, justify="right")
        audio_s = max((row.audio_s for row in self._rows.values()), default=0.0)
        for name, row in self._rows.items():
            table.add_row(name, *_cells(row))
        peak = max((row.peak_bytes for row in self._rows.values()), default=0)
        load = sum(row.load_s for row in self._rows.values())
        table.add_row("whole run", *_cells(_Row(load, wall_s, audio_s, peak)), style="bold")
        return table


def _cells(row: _Row) -> tuple[str, str, str, str]:
    return (
        f"{row.load_s:.2f}" if row.load_s else "",
        f"{row.run_s:.2f}",
        f"{row.audio_s / row.run_s:.1f}" if row.run_s else "",
        f"{row.peak_bytes / 2**20:,.0f}" if row.peak_bytes else "",
    )
