"""The workers of a run: one step's recordings to processes, what they say, and what is done when one dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType

from app.display import Display
from app.emilia.ledger import Ledger
from app.emilia.steps import Item
from app.emilia.worker import StepTask
from app.errors import UsageError, WorkError
from app.messages import Failed, Finished, Loaded, Noted, Progress, Started
from app.progress import StepProgress, Team
from app.queue import Queue
from app.remote import located, shown
from app.side_by_side import side_by_side
from app.supervisor import AnyWorker, Gone, Hire

MODULE = "app.emilia.worker"
LOADS = 2
"""Times that workers may die while they load a model; then no recording can be done."""

Make = Callable[[str, tuple[Item, ...], int], StepTask]
"""The task for a step, these recordings, and the worker of this place."""


class Crew:
    """So many workers side by side. A context manager that leaves none behind."""

    def __init__(
        self,
        number: int,
        hire: Hire,
        ledger: Ledger,
        display: Display,
        make: Make,
        *,
        resident: bool,
        names: Sequence[str] | None = None,
        machines: Sequence[str] | None = None,
    ) -> None:
        """`hire` starts the worker of a place, 0 to `number` - 1, as often as it is asked to; `names` say which, and
        `machines` where: without a word all are on this one.
        """
        self._hire, self._ledger, self._display, self._make = hire, ledger, display, make
        self._places = list(range(number))
        self._team = Team([f"worker {place + 1}" for place in self._places] if names is None else names)
        self._machines = [""] * number if machines is None else machines
        self._resident = resident
        self._lock = threading.Lock()
        self._alive: dict[int, tuple[ExitStack, AnyWorker]] = {}
        self._over = False

    def take(self, step: str, items: Sequence[Item]) -> None:
        """All of these through one step. Those that failed are in the ledger. Raises UsageError and WorkError."""
        queue = Queue(items, min(len(self._places), len(items)))
        progress = StepProgress(step, items, self._display, self._lock, self._team)
        while queue:  # a machine that is lost may leave something when the others are through
            if not self._places:
                raise WorkError(f"{step}: no machine is left to work on; the same command goes on")
            places = self._places[: len(queue)]
            side_by_side(lambda place: self._work(place, step, queue, progress), places, self._stop)
        progress.end()

    def _work(self, place: int, step: str, queue: Queue[Item], progress: StepProgress) -> None:
        loads = 0
        while queue.more(lambda: self._over):
            if not (items := queue.handful()):
                continue  # another was quicker
            why = ""
            try:
                loads = self._do(place, step, items, progress, loads)
            except Gone as gone:
                why = str(gone)
            except (UsageError, WorkError) as error:
                if not self._has_others(place):
                    raise
                why = f"{self._machines[place]}: {error}"
            progress.working(place, "")
            if self._over:
                return
            if why:
                self._dismiss(place)
                with self._lock:
                    self._places.remove(place)
                self._say(f"{why}: what it had in hand goes to the others", "yellow")
            queue.put_back(
                item for item in items if not self._ledger.is_done(item.key) and not self._ledger.tries(item.key).over
            )
            if why:
                return
            if not queue and not self._resident:
                self._dismiss(place)

    def _has_others(self, place: int) -> bool:
        """Whether there is another machine: what can't be done on one may be done there."""
        with self._lock:
            return any(self._machines[each] != self._machines[place] for each in self._places)

    def _do(self, place: int, step: str, items: Sequence[Item], progress: StepProgress, loads: int) -> int:
        """These through the step, as far as the worker of this place comes. `loads` workers of it have died before,
        one after the other, while they loaded a model; returns how many now.
        """
        left = dict(enumerate(items))
        worker = self._worker(place)
        worker.give(self._make(step, tuple(items), place), last=False)
        under_way, died = self._hear(place, worker, items, left, progress), worker.death()
        self._team.peak(place, max((reading.peak for reading in worker.memory.resident.values()), default=0))
        if self._over:
            return loads
        for index in [index for index, item in left.items() if self._ledger.is_done(item.key)]:
            progress.done(left[index], left[index].seconds)  # it died before it could say so
            del left[index]
        if not left and not died:
            return 0
        # It has ended: else it says of each what became of it.
        if left and died and died.lost and under_way is not None and under_way not in left:
            under_way = next(iter(left))  # what it had not said yet, or nobody has heard: it takes them in order
        line = died.line if died else "the worker ended and left recordings undone"
        where = f"its log is {worker.log.keep()}"
        self._dismiss(place)
        if not left:
            self._say(f"{step}: {line}; nothing is lost", "yellow")
        elif under_way not in left:  # it was loading, or between two recordings
            loads = 1 if len(left) < len(items) else loads + 1
            if loads >= LOADS:
                raise WorkError(f"{step}: {line}; {where}")
            self._say(f"{step}: {line}; trying once more in a fresh worker", "yellow")
        else:
            self._failed(left[under_way], f"{step}: {line}; {where}", progress)
        return loads

    def _hear(
        self, place: int, worker: AnyWorker, items: Sequence[Item], left: dict[int, Item], progress: StepProgress
    ) -> int | None:
        """All it says; takes from `left` what it is through with. Returns what it was at: None while it loads, -1
        where it has said nothing.
        """
        under_way: int | None = -1
        for message in worker.messages():
            match message:
                case Started(step, file):
                    under_way = file
                    progress.working(place, f"{step} {'loading' if file is None else items[file].id}", worker.memory)
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
                    where = f" (the traceback is in {worker.log.keep()})" if bug else ""
                    self._failed(left.pop(file), reason + where, progress, last=not bug)
        return under_way

    def _failed(self, item: Item, reason: str, progress: StepProgress, *, last: bool = False) -> None:
        tries = self._ledger.count_try(item.key, reason, last=last)
        progress.failed(item, over=tries.over)
        again = "" if tries.over else f"; attempt {tries.number} failed, it is tried again"
        place = shown(located(item.path))
        line = reason if reason.startswith(place) else f"{place}: {reason}"
        self._say(line + again, "red" if tries.over else "yellow")

    def _worker(self, place: int) -> AnyWorker:
        with self._lock:
            alive = self._alive.get(place)
        if alive is None:
            stack = ExitStack()
            alive = stack, stack.enter_context(self._hire(place))
            with self._lock:
                self._alive[place] = alive
            if self._over:  # while it was hired the others were killed
                alive[1].kill()
        return alive[1]

    def _dismiss(self, place: int) -> None:
        with self._lock:
            alive = self._alive.pop(place, None)
        if alive:
            alive[0].close()

    def _stop(self) -> None:
        """The threads hear the end of their workers."""
        self._over = True
        with self._lock:
            for _, worker in self._alive.values():
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
