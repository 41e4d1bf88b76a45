"""The table at the end: what each stage took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.memory import Reading
from app.messages import Finished, Loaded, Message

if TYPE_CHECKING:
    from rich.table import Table

    from app.supervisor import AnyMeter


@dataclass
class _Row:
    load_s: float = 0.0
    runs: list[tuple[float, float]] = field(default_factory=list)
    """When it was at a file: from and to, in seconds of the monotonic clock."""
    audio_s: float = 0.0
    resident: Reading | None = None
    on_cards: Reading | None = None


class Summary:
    """Adds up what the workers say, by stage, in the order the stages first ran."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def hear(self, message: Message) -> None:
        if isinstance(message, Loaded):
            self._row(message.stage).load_s += message.seconds
        elif isinstance(message, Finished):
            row = self._row(message.stage)
            row.runs.append((message.began, message.began + message.seconds))
            row.audio_s += message.audio_s

    def begin(self, meter: AnyMeter) -> None:
        pass

    def end(self, meter: AnyMeter) -> None:
        """What one worker took, by stage."""
        for stage, row in self._rows.items():
            row.resident = _joined(row.resident, meter.resident.get(stage))
            row.on_cards = _joined(row.on_cards, meter.on_cards.get(stage))

    def _row(self, stage: str) -> _Row:
        return self._rows.setdefault(stage, _Row())

    def table(self, wall_s: float) -> Table:
        from rich import box
        from rich.table import Table

        rows = list(self._rows.values())
        cards = any(row.on_cards and row.on_cards.peak for row in rows)
        table = Table(box=box.SIMPLE, pad_edge=False)
        table.add_column("stage")
        kinds = ["RSS", "VRAM"] if cards else ["RSS"]
        memory = [f"{kind} {when}" for kind in kinds for when in ("before", "peak", "after")]
        for name in ("load s", "seconds", "audio s/s", *memory):
            table.add_column(name, justify="right")
        for name, row in self._rows.items():
            table.add_row(name, *_cells(row, cards))
        whole = _Row(
            load_s=sum(row.load_s for row in rows),
            runs=[(0.0, wall_s)],
            audio_s=max((row.audio_s for row in rows), default=0.0),
        )
        for row in rows:
            whole.resident = _joined(whole.resident, row.resident)
            whole.on_cards = _joined(whole.on_cards, row.on_cards)
        table.add_row("whole run", *_cells(whole, cards), style="bold")
        table.caption, table.caption_justify = f"{' and '.join(kinds)} in MiB", "left"
        return table


def _busy_s(runs: list[tuple[float, float]]) -> float:
    """Seconds within at least one of them: several files may have been under way together."""
    total, until = 0.0, 0.0
    for start, end in sorted(runs):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _joined(first: Reading | None, then: Reading | None) -> Reading | None:
    if first is None or then is None:
        return first or then
    return Reading(first.before, max(first.peak, then.peak), then.after)


def _cells(row: _Row, cards: bool) -> tuple[str, ...]:
    run_s = _busy_s(row.runs)
    return (
        f"{row.load_s:.2f}" if row.load_s else "",
        f"{run_s:.2f}",
        f"{row.audio_s / run_s:.1f}" if run_s and row.audio_s else "",
        *_mebibytes(row.resident),
        *(_mebibytes(row.on_cards) if cards else ()),
    )


def _mebibytes(reading: Reading | None) -> tuple[str, str, str]:
    if reading is None:
        return "", "", ""
    before, peak, after = (f"{number / 2**20:,.0f}" for number in (reading.before, reading.peak, reading.after))
    return before, peak, after
