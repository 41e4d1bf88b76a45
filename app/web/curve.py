"""What a worker takes over time, in as few points as a picture needs."""

from __future__ import annotations

from typing import Any

MOST_POINTS = 1000


class Curve:
    """Of one job, over all the workers it took. It is appended to by one thread, and looked at by others."""

    def __init__(self) -> None:
        self._readings: list[tuple[float, int, int]] = []
        self._marks: list[tuple[float, str]] = []
        self._between_s = 0.1
        self._begin: float | None = None

    def append(self, reading: tuple[float, int, int]) -> None:
        """The monotonic clock, and bytes: resident, and on the cards. Of many only some are kept."""
        at, resident, on_cards = reading
        if self._begin is None:
            self._begin = at
        if self._readings and at - self._readings[-1][0] < self._between_s:
            # A peak stays, whichever reading is dropped.
            last = self._readings[-1]
            self._readings[-1] = (last[0], max(last[1], resident), max(last[2], on_cards))
            return
        self._readings.append(reading)
        if len(self._readings) > MOST_POINTS:
            pairs = zip(self._readings[::2], [*self._readings[1::2], self._readings[-1]], strict=False)
            self._readings = [(one[0], max(one[1], two[1]), max(one[2], two[2])) for one, two in pairs]
            self._between_s *= 2

    def mark(self, at: float, stage: str) -> None:
        """What begins there; "" for nothing."""
        if not self._marks or self._marks[-1][1] != stage:
            self._marks.append((at, stage))

    def as_json(self) -> dict[str, Any]:
        """Seconds since the first reading, MiB, and the stages with the seconds at which they begin."""
        readings, marks, begin = list(self._readings), list(self._marks), self._begin or 0.0
        return {
            "seconds": [round(at - begin, 2) for at, _, _ in readings],
            "rss": [round(resident / 2**20, 1) for _, resident, _ in readings],
            "vram": [round(on_cards / 2**20, 1) for _, _, on_cards in readings],
            "stages": [[max(0.0, round(at - begin, 2)), stage] for at, stage in marks],
        }
