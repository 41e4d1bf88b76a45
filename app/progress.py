"""How far several workers have come with many files: files, hours of audio, times real time, time left; and what each
of them is at, with the memory it takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.display import Display
from app.queue import Weighty

MB = 1e6


class Item(Weighty, Protocol):
    """A file, or one step of it."""

    @property
    def key(self) -> str:
        """What no other item has."""

    @property
    def seconds(self) -> float:
        """Of audio; 0: not known yet."""


class Meter(Protocol):
    """See app.memory.PeakMeter."""

    @property
    def last(self) -> int: ...


@dataclass
class _Worker:
    name: str
    at: str = ""
    meter: Meter | None = None
    peak: int = 0


class Team:
    """The workers of a run, by place: what each is at. For threads."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` say where each works."""
        self._workers = [_Worker(name) for name in names]

    def at(self, place: int, what: str, meter: Meter | None = None) -> None:
        """The worker there is at `what` now; "": it has nothing to do. `meter` says what it takes."""
        worker = self._workers[place]
        worker.at, worker.meter = what, meter or worker.meter
        if not what:
            worker.meter = None

    def rows(self) -> list[str]:
        """A line for each that has something to do: `node1: asr talk-3f9c1a2b7d, 1,169 MiB`."""
        return [
            f"{each.name}: {each.at}{f', {each.meter.last / 2**20:,.0f} MiB' if each.meter else ''}"
            for each in self._workers
            if each.at
        ]

    def peak(self, place: int, size: int) -> None:
        """The worker there has had so many bytes resident."""
        self._workers[place].peak = max(self._workers[place].peak, size)

    def whole_peak(self) -> int:
        """Bytes: of all together, as if they had all had their most at once; counted from here anew."""
        whole = sum(each.peak for each in self._workers)
        for each in self._workers:
            each.peak = 0
        return whole


class StepProgress:
    """One step of many files. For the threads that work on it, which share the display under `lock`."""

    def __init__(
        self, step: str, items: Sequence[Item], display: Display, lock: threading.Lock, team: Team | None = None
    ) -> None:
        self._step, self._display, self._lock = step, display, lock
        self._team = team or Team(())
        self._files = len(items)
        self._known = all(item.seconds for item in items)
        """Whether all lengths are known; before they are decoded only the files' sizes are."""
        self._total = sum(item.weight for item in items)
        self._at = self._seconds = 0.0
        self._done = 0
        self._loaded: set[str] = set()
        self._parts: dict[str, float] = {}
        self._begin = time.monotonic()
        with lock:
            display.step(step, _files(self._files))

    def loaded(self, what: str) -> None:
        """A worker has its model: said of the first."""
        with self._lock:
            if what not in self._loaded:
                self._loaded.add(what)
                self._display.say(f"{self._step}: {what}")

    def working(self, place: int, what: str, meter: Meter | None = None) -> None:
        """The worker there is at `what` now; "": at nothing."""
        with self._lock:
            self._team.at(place, what, meter)
            self._advance()

    def at(self, item: Item, done_s: float) -> None:
        """So many seconds of it are done."""
        with self._lock:
            if self._known:
                self._parts[item.key] = done_s
            self._show()

    def done(self, item: Item, audio_s: float) -> None:
        """It is through; it had so many seconds of audio."""
        with self._lock:
            self._parts.pop(item.key, None)
            self._done += 1
            self._at += item.weight
            self._seconds += audio_s
            self._show()

    def failed(self, item: Item, *, over: bool = True) -> None:
        """What was done of it is worth nothing; where it is `over` it is not tried again."""
        with self._lock:
            self._parts.pop(item.key, None)
            if over:
                self._total -= item.weight
            self._show()

    def _show(self) -> None:
        self._display.step(self._step, _files(self._files))  # again, where something else was shown meanwhile
        self._advance()

    def _advance(self) -> None:
        took = time.monotonic() - self._begin
        now = self._at + sum(self._parts.values())
        left = f", {clock((self._total - now) * took / now)} left" if now and took else ""
        files = f"{self._done} of {_files(self._files)}"
        self._display.workers(self._team.rows())
        if self._known:
            speed = f"{now / took:.1f} x real time" if took else ""
            size, unit = (3600, "h") if self._total >= 10 * 3600 else (60, "min")
            self._display.advance(now / size, self._total / size, f"{unit}, {files}, {speed}{left}")
        else:
            speed = f", {self._seconds / 3600:.2f} h, {self._seconds / took:.1f} x real time" if took else ""
            speed = speed if self._seconds else ""
            self._display.advance(now / MB, self._total / MB, f"MB, {files}{speed}{left}")

    def end(self) -> None:
        """Say what it took."""
        took = max(time.monotonic() - self._begin, 1e-3)
        speed = f", {self._seconds / 3600:.2f} h, {self._seconds / took:.1f} x real time" if self._seconds else ""
        with self._lock:
            self._display.workers([])
            self._display.say(
                f"{self._step}: {self._done} of {_files(self._files)} in {clock(took)}{speed}, "
                f"at most {self._team.whole_peak() / 2**20:,.0f} MiB"
            )


def _files(number: int) -> str:
    return f"{number} file{'s' * (number != 1)}"


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
