"""Many recordings to several workers side by side, on this machine or on Ray: a Runner for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.display import Display
from app.errors import UsageError, WorkError
from app.inputs import Input
from app.messages import Job, Message
from app.progress import StepProgress, Team
from app.queue import Queue
from app.runner import Front, Listener, Runner, Stopped, Suspects
from app.side_by_side import side_by_side
from app.supervisor import AnyMeter, AnyWorker, Gone, Hire
from app.transcript import Transcript


@dataclass(frozen=True)
class _Sized:
    """A recording with its file's size: how long it is nobody knows before it is decoded."""

    item: Input
    size: int
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return str(self.item.path)

    @property
    def weight(self) -> float:
        return float(self.size) or 1.0


def _size(item: Input) -> int:
    """Bytes; 0 where nobody says: what is wrong with that file its worker tells."""
    try:
        return item.path.stat().st_size if isinstance(item.path, Path) else item.size or 0
    except OSError:
        return 0


class Runners:
    """As a Runner, but for several workers, which each take handfuls of what is left."""

    def __init__(
        self,
        jobs: Sequence[Job],
        names: Sequence[str],
        hire: Hire,
        front: Front,
        listener: Listener,
        display: Display,
        machines: Sequence[str] | None = None,
    ) -> None:
        """By place the job, for a worker as that place has it, its name, and where it is: without a word all are on
        this machine. `hire` starts the worker of a place.
        """
        self._jobs, self._hire, self._front, self._listener = jobs, hire, front, listener
        self._display, self._team = display, Team(names)
        self._machines = [""] * len(jobs) if machines is None else machines
        self._lock = threading.Lock()
        self._places = list(range(len(jobs)))
        self._runners: list[Runner] = []
        self._alive: dict[int, tuple[ExitStack, AnyWorker]] = {}
        self._over = False

    @property
    def written(self) -> set[Path | str]:
        return {path for runner in self._runners for path in runner.written}

    @property
    def failed(self) -> set[Path | str]:
        return {path for runner in self._runners for path in runner.failed}

    def run(self, inputs: Sequence[Input]) -> None:
        """Raises UsageError and WorkError."""
        items = [_Sized(item, _size(item)) for item in inputs]
        by_path = {item.key: item for item in items}
        queue = Queue(items, len(self._places))
        progress = StepProgress("transcribe", items, self._display, self._lock, self._team)
        said: set[str] = set()
        suspects = Suspects()
        for place, job in enumerate(self._jobs):
            share = _Share(self._front, self._listener, self._lock, progress, self._team, place, by_path, said)
            lent = self._lender(place)
            runner = Runner(job, share, share, worker=lent, last=False, stopped=lambda: self._over, suspects=suspects)
            self._runners.append(runner)

        def work(place: int) -> None:
            self._work(place, queue, progress)

        try:
            while queue:  # a machine that is lost may leave something when the others are through
                if not self._places:
                    raise WorkError("no machine is left to work on; what is finished is kept, the same command goes on")
                side_by_side(work, self._places[: len(queue)], self._stop)
            progress.end()
        finally:
            for place in list(self._alive):
                self._dismiss(place)

    def _work(self, place: int, queue: Queue[_Sized], progress: StepProgress) -> None:
        runner = self._runners[place]
        while queue.more(lambda: self._over):
            if not (items := queue.handful()):
                continue  # another was quicker
            why = ""
            try:
                runner.run([each.item for each in items])
            except Stopped:
                return
            except Gone as gone:
                why = str(gone)
            except (UsageError, WorkError) as error:
                if not self._has_others(place):
                    raise
                why = f"{self._machines[place]}: {error}"
            finally:
                progress.working(place, "")
            if why:
                with self._lock:
                    self._places.remove(place)
                    self._display.say(f"{why}: what it had in hand goes to the others", "yellow")
            left = {item.path for item in runner.pending}
            queue.put_back(each for each in items if each.item.path in left)
            if why:
                return
            if not queue and not self._over:
                self._dismiss(place)

    def _has_others(self, place: int) -> bool:
        """Whether there is another machine: what can't be done on one may be done there."""
        with self._lock:
            return any(self._machines[each] != self._machines[place] for each in self._places)

    def _lender(self, place: int) -> Callable[[], AbstractContextManager[AnyWorker]]:
        @contextmanager
        def lent() -> Iterator[AnyWorker]:
            """The worker of this place, a new one if there is none; afterwards it stays, unless it died."""
            with self._lock:
                alive = self._alive.get(place)
            if alive is None:
                stack = ExitStack()
                alive = stack, stack.enter_context(self._hire(place))
                with self._lock:
                    self._alive[place] = alive
                if self._over:  # while it was hired the others were killed
                    alive[1].kill()
            try:
                yield alive[1]
            except BaseException:
                self._dismiss(place)
                raise
            if alive[1].death():
                self._dismiss(place)

        return lent

    def _dismiss(self, place: int) -> None:
        with self._lock:
            alive = self._alive.pop(place, None)
        if alive:
            alive[0].close()

    def _stop(self) -> None:
        self._over = True
        with self._lock:
            for _, worker in self._alive.values():
                worker.kill()


class _Share:
    """One Runner's part in what all of them tell: its Front and its Listener. For threads."""

    def __init__(
        self,
        front: Front,
        listener: Listener,
        lock: threading.Lock,
        progress: StepProgress,
        team: Team,
        place: int,
        items: Mapping[str, _Sized],
        said: set[str],
    ) -> None:
        self._front, self._listener, self._lock, self._progress = front, listener, lock, progress
        self._team, self._place, self._items, self._said = team, place, items, said
        self._step = ""

    def say(self, line: str, style: str | None = None) -> None:
        """Once, where it is no news from another worker: all load the same models."""
        with self._lock:
            if style or line not in self._said:
                self._said.add(line)
                self._front.say(line, style)

    def step(self, stage: str, what: str = "") -> None:
        self._step = f"{stage} {what}" if what else stage
        self._progress.working(self._place, self._step)

    def advance(self, done: float, total: float, unit: str) -> None:
        share = f" {done / total:.0%}" if total else ""
        self._progress.working(self._place, f"{self._step}{share}")

    def failed(self, item: Input, reason: str) -> None:
        with self._lock:
            self._front.failed(item, reason)
        self._progress.failed(self._items[str(item.path)])

    def first(self, item: Input, transcript: Transcript) -> None:
        with self._lock:
            self._front.first(item, transcript)

    def final(self, item: Input, transcript: Transcript) -> bool:
        with self._lock:
            kept = self._front.final(item, transcript)
        self._progress.done(self._items[str(item.path)], transcript.duration)
        return kept

    def begin(self, meter: AnyMeter) -> None:
        self._progress.working(self._place, "starting", meter)
        with self._lock:
            self._listener.begin(meter)

    def hear(self, message: Message) -> None:
        with self._lock:
            self._listener.hear(message)

    def end(self, meter: AnyMeter) -> None:
        with self._lock:
            self._team.peak(self._place, max((each.peak for each in meter.resident.values()), default=0))
            self._listener.end(meter)
