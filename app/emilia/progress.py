"""How far a step has come: recordings, hours of audio, times real time, time left, and the memory it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from app.display import Display
from app.emilia.steps import Item

MB = 1e6


class StepProgress:
    """For the threads of a crew, which share the display under `lock`."""

    def __init__(self, step: str, items: Sequence[Item], display: Display, lock: threading.Lock) -> None:
        self._step, self._display, self._lock = step, display, lock
        self._files = len(items)
        self._known = all(item.seconds for item in items)
        """Whether all lengths are known; before `standardise` only the files' sizes are."""
        self._total = sum(item.weight for item in items)
        self._at = self._seconds = 0.0
        self._done = 0
        self._loaded: set[str] = set()
        self._parts: dict[str, float] = {}
        self._peaks: dict[int, int] = {}
        self._begin = time.monotonic()
        with lock:
            display.step(step, _files(self._files))

    def loaded(self, what: str) -> None:
        """A worker has its model: said of the first."""
        with self._lock:
            if what not in self._loaded:
                self._loaded.add(what)
                self._display.say(f"{self._step}: {what}")

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

    def peak(self, place: int, size: int) -> None:
        """A worker has had so many bytes resident."""
        with self._lock:
            self._peaks[place] = max(self._peaks.get(place, 0), size)

    def _show(self) -> None:
        took = time.monotonic() - self._begin
        now = self._at + sum(self._parts.values())
        left = f", {clock((self._total - now) * took / now)} left" if now and took else ""
        files = f"{self._done} of {_files(self._files)}"
        if self._known:
            speed = f"{now / took:.1f} x real time" if took else ""
            size, unit = (3600, "h") if self._total >= 10 * 3600 else (60, "min")
            self._display.advance(now / size, self._total / size, f"{unit}, {files}, {speed}{left}")
        else:
            self._display.advance(now / MB, self._total / MB, f"MB, {files}{left}")

    def end(self) -> None:
        """Say what it took."""
        took = max(time.monotonic() - self._begin, 1e-3)
        speed = f", {self._seconds / 3600:.2f} h, {self._seconds / took:.1f} x real time" if self._seconds else ""
        with self._lock:
            self._display.say(
                f"{self._step}: {self._done} of {_files(self._files)} in {clock(took)}{speed}, "
                f"at most {sum(self._peaks.values()) / 2**20:,.0f} MiB"
            )


def _files(number: int) -> str:
    return f"{number} file{'s' * (number != 1)}"


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
