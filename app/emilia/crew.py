"""The workers of a run: one step's recordings to processes, what they say, and what is done when one dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

from app.display import Display
from app.emilia.ledger import Ledger
from app.emilia.places import Places
from app.emilia.progress import StepProgress
from app.emilia.queue import Queue
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

    def __init__(self, places: Places, ledger: Ledger, display: Display, make: Make, *, resident: bool) -> None:
        self._places, self._ledger, self._display, self._make = places, ledger, display, make
        self._resident = resident
        self._lock = threading.Lock()
        self._alive: dict[int, tuple[ExitStack, Worker, Log]] = {}
        self._over = False

    def take(self, step: str, items: Sequence[Item]) -> None:
        """All of these through one step. Those that failed are in the ledger. Raises UsageError and WorkError."""
        number = min(self._places.number, len(items))
        queue = Queue(items, number)
        progress = StepProgress(step, items, self._display, self._lock)
        with ThreadPoolExecutor(number, "crew") as pool:
            futures = [pool.submit(self._work, place, step, queue, progress) for place in range(number)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._over = True
                self._kill()  # the other threads hear the end of their workers
                raise
        progress.end()

    def _work(self, place: int, step: str, queue: Queue, progress: StepProgress) -> None:
        deaths = 0
        while not self._over and (items := queue.handful()):
            worker, log = self._worker(place)
            worker.give(self._make(step, tuple(items)), last=False)
            left = dict(enumerate(items))
            under_way, died = self._hear(worker, log, items, left, progress), worker.death()
            progress.peak(place, max((reading.peak for reading in worker.memory.resident.values()), default=0))
            if self._over:
                return
            if left:  # it has ended: else it says of each what became of it
                self._dismiss(place)
                line = died.line if died else "the worker ended and left recordings undone"
                where = f"its log is {log.keep()}"
                if under_way is None:
                    deaths += 1
                    if deaths >= LOADS:
                        raise WorkError(f"{step}: {line}; {where}")
                    self._say(f"{step}: {line}; trying once more in a fresh worker", "yellow")
                else:
                    self._failed(left[under_way], f"{step}: {line}; {where}")
            queue.put_back(
                item for item in items if not self._ledger.is_done(item.key) and not self._ledger.tries(item.key).over
            )
        if not self._resident:
            self._dismiss(place)

    def _hear(
        self, worker: Worker, log: Log, items: Sequence[Item], left: dict[int, Item], progress: StepProgress
    ) -> int | None:
        """All it says; takes from `left` what it is through with. Returns what it was at, None: loading."""
        under_way: int | None = None
        for message in worker.messages():
            match message:
                case Started(_, file):
                    under_way = file
                case Loaded(_, what) if what:
                    progress.loaded(what)
                case Progress(_, file, done_s):
                    progress.at(items[file], done_s)
                case Finished(_, file, _, _, audio_s):
                    left.pop(file)
                    progress.done(items[file], audio_s)
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
                worker = stack.enter_context(Worker(log, MODULE, self._places.environment(place)))
                self._alive[place] = stack, worker, log
            _, worker, log = self._alive[place]
            return worker, log

    def _dismiss(self, place: int) -> None:
        with self._lock:
            alive = self._alive.pop(place, None)
        if alive:
            alive[0].close()

    def _kill(self) -> None:
        with self._lock:
            for _, worker, _ in self._alive.values():
                worker.kill()

    def _say(self, line: str, style: str | None = None) -> None:
        with self._lock:
            self._display.say(line, style)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for place in list(self._alive):
            self._dismiss(place)
