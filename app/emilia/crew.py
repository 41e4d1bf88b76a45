"""The workers of a run: one step's recordings to processes, what they say, and what is done when one dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

from app.display import Display
from app.emilia.ledger import Ledger
from app.emilia.steps import Item
from app.emilia.worker import StepTask
from app.errors import UsageError, WorkError
from app.messages import Failed, Finished, Loaded, Noted, Progress, Started
from app.store import state_folder
from app.supervisor import Log, Worker

MODULE = "app.emilia.worker"
LOADS = 2
"""Times that workers may die while they load a model; then no recording can be done."""

Make = Callable[[str, tuple[Item, ...]], StepTask]


class Crew:
    """So many workers side by side. A context manager that leaves none behind."""

    def __init__(self, number: int, ledger: Ledger, display: Display, make: Make, *, resident: bool) -> None:
        self._number, self._ledger, self._display, self._make = number, ledger, display, make
        self._resident = resident
        self._lock = threading.Lock()
        self._alive: dict[int, tuple[ExitStack, Worker, Log]] = {}
        self._over = False
        self.peaks: dict[str, int] = {}
        """By step, the most bytes that its workers had resident at once, each at its highest."""

    def take(self, step: str, items: Sequence[Item]) -> None:
        """All of these through one step. Those that failed are in the ledger. Raises UsageError and WorkError."""
        shares = [share for share in _shared_out(items, self._number) if share]
        progress = _Progress(step, items, self._display, self._lock)
        with ThreadPoolExecutor(len(shares), "crew") as pool:
            futures = [pool.submit(self._work, place, step, share, progress) for place, share in enumerate(shares)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._over = True
                self._end(kill=True)  # the other threads hear the end of their workers
                raise
        progress.end(self.peaks.get(step, 0))

    def _work(self, place: int, step: str, items: list[Item], progress: _Progress) -> None:
        pending, deaths = items, 0
        while pending and not self._over:
            worker, log = self._worker(place)
            worker.give(self._make(step, tuple(pending)), last=not self._resident)
            left = dict(enumerate(pending))
            under_way, died = self._hear(worker, log, pending, left, progress), worker.death()
            peak = max((reading.peak for reading in worker.memory.resident.values()), default=0)
            with self._lock:
                progress.peaks[place] = max(progress.peaks.get(place, 0), peak)
                self.peaks[step] = sum(progress.peaks.values())
            if self._over:
                return
            if died or not self._resident:
                self._dismiss(place)
            if left:
                line = died.line if died else "the worker ended and left recordings undone"
                where = f"its log is {log.keep()}"
                if under_way is None:
                    deaths += 1
                    if deaths >= LOADS:
                        raise WorkError(f"{step}: {line}; {where}")
                    self._say(f"{step}: {line}; trying once more in a fresh worker", "yellow")
                else:
                    self._failed(left[under_way], f"{step}: {line}; {where}")
            pending = [
                item for item in pending if not self._ledger.is_done(item.key) and not self._ledger.tries(item.key).over
            ]

    def _hear(
        self, worker: Worker, log: Log, items: Sequence[Item], left: dict[int, Item], progress: _Progress
    ) -> int | None:
        """All it says; takes from `left` what it is through with. Returns what it was at, None: loading."""
        under_way: int | None = None
        for message in worker.messages():
            match message:
                case Started(_, file):
                    under_way = file
                case Loaded(step, what) if what:
                    self._say(f"{step}: {what}")
                case Progress(_, file, done_s):
                    progress.at(items[file], done_s)
                case Finished(_, file):
                    left.pop(file)
                    progress.done(items[file])
                case Noted(text):
                    self._say(text, "yellow")
                case Failed(reason, None, bug):
                    if bug:
                        raise WorkError(reason)
                    raise UsageError(reason)
                case Failed(reason, int(file), bug):
                    where = f" (the traceback is in {log.keep()})" if bug else ""
                    self._failed(left.pop(file), reason + where, last=not bug)
        return under_way

    def _failed(self, item: Item, reason: str, *, last: bool = False) -> None:
        tries = self._ledger.count_try(item.key, reason, last=last)
        again = "" if tries.over else f"; attempt {tries.number} failed, it is tried again"
        line = reason if reason.startswith(item.path) else f"{item.path}: {reason}"
        self._say(line + again, "red" if tries.over else "yellow")

    def _worker(self, place: int) -> tuple[Worker, Log]:
        with self._lock:
            if place not in self._alive:
                stack = ExitStack()
                log = stack.enter_context(Log(state_folder("logs")))
                self._alive[place] = stack, stack.enter_context(Worker(log, MODULE)), log
            _, worker, log = self._alive[place]
            return worker, log

    def _dismiss(self, place: int) -> None:
        with self._lock:
            stack, *_ = self._alive.pop(place)
        stack.close()

    def _end(self, *, kill: bool = False) -> None:
        with self._lock:
            workers = list(self._alive.values())
        for _, worker, _ in workers:
            if kill:
                worker.kill()
        if not kill:
            for place in list(self._alive):
                self._dismiss(place)

    def _say(self, line: str, style: str | None = None) -> None:
        with self._lock:
            self._display.say(line, style)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


class _Progress:
    """How far a step has come: files, seconds of audio, times real time, and how long it will take."""

    def __init__(self, step: str, items: Sequence[Item], display: Display, lock: threading.Lock) -> None:
        self._step, self._display, self._lock = step, display, lock
        self._total_s, self._files = sum(item.seconds for item in items), len(items)
        self._done_s, self._done, self._begin = 0.0, 0, time.monotonic()
        self._parts: dict[str, float] = {}
        self.peaks: dict[int, int] = {}
        with lock:
            display.step(step, _files(self._files))

    def at(self, item: Item, done_s: float) -> None:
        with self._lock:
            self._parts[item.key] = done_s
            self._show()

    def done(self, item: Item) -> None:
        with self._lock:
            self._parts.pop(item.key, None)
            self._done += 1
            self._done_s += item.seconds
            self._show()

    def _show(self) -> None:
        took = time.monotonic() - self._begin
        if not self._total_s:  # standardise: nobody knows yet how long they are
            self._display.advance(self._done, self._files, "files")
            return
        now = self._done_s + sum(self._parts.values())
        speed = now / took if took else 0.0
        left = f", {_clock((self._total_s - now) / speed)} left" if speed else ""
        unit = f"s of audio, {self._done} of {_files(self._files)}, {speed:.1f} x real time{left}"
        self._display.advance(now, self._total_s, unit)

    def end(self, peak: int) -> None:
        took = max(time.monotonic() - self._begin, 1e-3)
        hours = f", {self._done_s / 3600:.2f} h, {self._done_s / took:.1f} x real time" if self._done_s else ""
        with self._lock:
            self._display.say(
                f"{self._step}: {self._done} of {_files(self._files)} in {_clock(took)}{hours}, "
                f"at most {peak / 2**20:,.0f} MiB"
            )


def _shared_out(items: Sequence[Item], number: int) -> list[list[Item]]:
    """The longest first, each to whoever has least."""
    shares: list[list[Item]] = [[] for _ in range(number)]
    loads = [0.0] * number
    for item in sorted(items, key=lambda each: -each.seconds):
        least = loads.index(min(loads))
        shares[least].append(item)
        loads[least] += item.seconds or 1.0
    return shares


def _files(number: int) -> str:
    return f"{number} file{'s' * (number != 1)}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
