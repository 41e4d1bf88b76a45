"""What `verify --startup` saw: a row for each stage, for the report and for --json."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.memory import Reading
from app.verify import Check

if TYPE_CHECKING:
    from rich.table import Table

START = "start"
"""What the worker takes before its first model: the interpreter, the app, the choice of a device."""


@dataclass
class Row:
    """What one stage took. Sizes are in bytes."""

    stage: str
    what: str = ""
    load_s: float | None = None
    """None: it did not get so far."""
    resident: Reading | None = None
    on_cards: Reading | None = None


@dataclass
class StartUp:
    """All that was seen."""

    checks: list[Check] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    kept: bool = False
    """Every model stayed loaded, as the profile says, instead of one at a time."""
    curve: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, resident set, memory on the cards."""
    marks: list[tuple[float, str]] = field(default_factory=list)
    """Seconds, and the stage that begins there; "": it is released."""

    def as_json(self) -> dict[str, object]:
        return {
            "resident": self.kept,
            "rows": [
                {"stage": row.stage, "what": row.what, "load_s": row.load_s}
                | {"rss": _bytes(row.resident), "vram": _bytes(row.on_cards)}
                for row in self.rows
            ],
            "largest_jump": self.largest_jump(),
        }

    def largest_jump(self) -> str:
        """By stage and kind of memory; "" where nothing was loaded."""
        rises = [
            f"{row.stage}, {kind} +{_mib(reading.peak - reading.before)} MiB"
            for kind, readings in (("RSS", self._readings("resident")), ("VRAM", self._readings("on_cards")))
            for row, reading in sorted(readings, key=lambda pair: pair[1].before - pair[1].peak)[:1]
            if reading.peak > reading.before
        ]
        return "; ".join(rises)

    def _readings(self, kind: str) -> list[tuple[Row, Reading]]:
        return [(row, reading) for row in self.rows if row.stage != START and (reading := getattr(row, kind))]

    def table(self) -> Table | None:
        """As the one at the end of `transcribe`; None where nothing was loaded."""
        from rich import box
        from rich.table import Table

        if not self.rows:
            return None
        cards = any(row.on_cards and row.on_cards.peak for row in self.rows)
        kinds = ["RSS", "VRAM"] if cards else ["RSS"]
        table = Table(box=box.SIMPLE, pad_edge=False)
        table.add_column("stage", no_wrap=True)
        table.add_column("model", overflow="fold")
        for name in ("load s", *(f"{kind} {when}" for kind in kinds for when in ("before", "peak", "after"))):
            table.add_column(name, justify="right")
        for row in self.rows:
            load = "" if row.stage == START else "failed" if row.load_s is None else f"{row.load_s:.2f}"
            readings = [row.resident, row.on_cards] if cards else [row.resident]
            table.add_row(row.stage, row.what, load, *(cell for reading in readings for cell in _cells(reading)))
        way = "models stay loaded" if self.kept else "each model is released before the next"
        table.caption = f"{' and '.join(kinds)} in MiB; {way}; largest jump: {self.largest_jump() or 'none'}"
        table.caption_justify = "left"
        return table


def _cells(reading: Reading | None) -> tuple[str, ...]:
    return ("", "", "") if reading is None else tuple(map(_mib, dataclasses.astuple(reading)))


def _bytes(reading: Reading | None) -> dict[str, int] | None:
    return dataclasses.asdict(reading) if reading else None


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f}"
