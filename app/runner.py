"""Recordings to workers, until all are done or given up: what a worker says, and what is done when it dies."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from app.diagnosis import Death
from app.errors import UsageError, WorkError
from app.inputs import Input
from app.messages import (
    Broken,
    Failed,
    Finished,
    Job,
    Loaded,
    Message,
    Noted,
    Progress,
    Released,
    Result,
    Reused,
    Started,
)
from app.remote import Location
from app.stages import LACKING
from app.supervisor import AnyMeter, AnyWorker, on_this_machine
from app.transcript import Transcript

ATTEMPTS = 2
"""A stage that a worker died in is tried once more in a fresh one, where nothing else takes memory."""
BETWEEN = "between two stages"


class Stopped(Exception):  # noqa: N818 - no error: it was asked for
    """Somebody wanted the work to end."""


class Front(Protocol):
    """Who started it, and wants to know how it goes."""

    def say(self, line: str, style: str | None = None) -> None:
        """A line that stays: yellow what is to be known, red what failed."""

    def step(self, stage: str, what: str = "") -> None:
        """What is being done now, and to what."""

    def advance(self, done: float, total: float, unit: str) -> None:
        """How far the step has come."""

    def failed(self, item: Input, reason: str) -> None:
        """Nothing, or not all, will come of this one. `reason` names it."""

    def first(self, item: Input, transcript: Transcript) -> None:
        """A plain transcript, which stages to come will enrich."""

    def final(self, item: Input, transcript: Transcript) -> bool:
        """The whole transcript; False where it can't be kept."""


class Listener(Protocol):
    """Who wants to hear every word, and to see the memory."""

    def begin(self, meter: AnyMeter) -> None:
        """A worker is about to take the job."""

    def hear(self, message: Message) -> None: ...

    def end(self, meter: AnyMeter) -> None:
        """That worker is through with it, or has died."""


MODULE = "app.worker"


def fresh_worker() -> AbstractContextManager[AnyWorker]:
    """One that has loaded nothing, and ends with its job."""
    return on_this_machine(MODULE)(0)


@dataclass
class Suspects:
    """Files that workers have died with, whichever workers these were."""

    deaths: Counter[tuple[str, Location]] = field(default_factory=Counter)
    """Of which it is known, by stage."""
    several: set[Location] = field(default_factory=set)
    """It was one of these: one at a time they will tell."""


class Runner:
    """One job, in as many workers as it takes."""

    def __init__(
        self,
        job: Job,
        front: Front,
        listener: Listener,
        *,
        worker: Callable[[], AbstractContextManager[AnyWorker]] = fresh_worker,
        last: bool = True,
        stopped: Callable[[], bool] = lambda: False,
        suspects: Suspects | None = None,
    ) -> None:
        """`job` as the workers get it, but for its files. `last`: a worker is not to wait for another job. `stopped`
        says whether a worker that died was made to. `suspects` are those of several Runners.
        """
        self._job, self._front, self._listener = job, front, listener
        self._worker, self._last, self._stopped = worker, last, stopped
        self._suspects = suspects or Suspects()
        self._deaths: Counter[str] = Counter()
        """Of workers that loaded a stage, or were between two."""
        self._given_up: dict[Location | None, dict[str, str]] = {}
        """By file, or None for all, the stages that are not tried again, and why."""
        self.written: set[Location] = set()
        self.failed: set[Location] = set()
        self.pending: Sequence[Input] = ()
        """Where `run` raised: the inputs that no worker is through with, but for those that failed."""

    def run(self, inputs: Sequence[Input]) -> None:
        """Raises UsageError, WorkError and Stopped, and what `worker` raises."""
        self.pending = list(inputs)
        while self.pending:
            left = dict(enumerate(self.pending))
            try:
                self._work(self.pending, left)
            finally:
                self.pending = list(left.values())

    def _work(self, pending: Sequence[Input], left: dict[int, Input]) -> None:
        """Give all pending inputs to one worker; takes out of `left` what is done with."""
        everywhere = self._given_up.get(None, {})
        one_by_one = any(item.path in self._suspects.several for item in pending)
        job = dataclasses.replace(
            self._job,
            one_by_one=one_by_one,
            files=tuple(str(item.path) for item in pending),
            given_up={
                index: {**everywhere, **self._given_up.get(item.path, {})}
                for index, item in enumerate(pending)
                if everywhere or item.path in self._given_up
            },
        )
        self._front.step("starting the worker")
        with self._worker() as worker:
            worker.give(job, last=self._last)
            self._listener.begin(worker.memory)
            under_way = self._hear(worker, pending, left)
            self._listener.end(worker.memory)
            if left and self._stopped():
                raise Stopped
            death = worker.death()
            if not left:
                if death and not self._stopped():
                    where = f"its log is {worker.log.keep()}"
                    self._front.say(f"all was done, but then {death.line}; {where}", "yellow")
                return
            death = death or Death("the worker ended", None, "it left files undone", None, memory=False)
            self._bury(death, under_way, f"its log is {worker.log.keep()}", left, one_by_one=one_by_one)

    def _hear(self, worker: AnyWorker, pending: Sequence[Input], left: dict[int, Input]) -> set[tuple[str, int | None]]:
        """All that a worker says; takes out of `left` what is done with. Returns what it was at when it fell silent."""
        front = self._front
        under_way: set[tuple[str, int | None]] = set()
        shown: tuple[str, int | None] = ("", None)  # whose progress is shown, where several files are under way
        for message in worker.messages():
            self._listener.hear(message)
            match message:
                case Started(stage, file):
                    if stage != "decode" or not under_way:  # else it is decoded beside the work on another
                        worker.memory.phase(stage)
                        front.step(stage, "loading" if file is None else pending[file].name)
                        shown = (stage, file)
                    under_way.add((stage, file))
                case Progress(stage, file, done_s, total_s):
                    if shown not in under_way:
                        shown = (stage, file)
                    if shown == (stage, file):
                        front.step(stage, pending[file].name)  # again, where another file's end took it away
                        front.advance(done_s, total_s, "s")
                case Loaded(stage, what):
                    under_way.discard((stage, None))
                    del self._deaths[stage]
                    if what:
                        front.say(f"{stage}: {what}")
                case Finished(stage, file) | Broken(stage, file):
                    under_way.discard((stage, file))
                case Released():
                    worker.memory.phase("")
                case Reused(stages, file):
                    under_way.discard(("decode", file))
                    front.say(f"{pending[file].name}: done before: {', '.join(stages)}")
                case Noted(text, file, bug):
                    if bug:
                        text = _with_remedy(text, worker)
                        self.failed |= {item.path for item in (pending if file is None else [pending[file]])}
                    front.say(text if file is None else f"{pending[file].shown}: {text}", "red" if bug else "yellow")
                case Result(file, transcript, False):
                    front.first(pending[file], transcript)
                case Result(file, transcript):
                    under_way = {each for each in under_way if each[1] != file}
                    item = left.pop(file)
                    self._suspects.several.discard(item.path)
                    del self._deaths[BETWEEN]
                    (self.written if front.final(item, transcript) else self.failed).add(item.path)
                case Failed(reason, file, bug):
                    if bug:
                        reason = _with_remedy(reason, worker)
                    if file is None:
                        raise WorkError(reason) if bug else UsageError(reason)
                    under_way = {each for each in under_way if each[1] != file}
                    self._fail(left.pop(file), f"{pending[file].shown}: {reason}" if bug else reason)
        return under_way

    def _fail(self, item: Input, reason: str) -> None:
        self.failed.add(item.path)
        self._suspects.several.discard(item.path)
        self._front.failed(item, reason)

    def _bury(
        self,
        death: Death,
        under_way: set[tuple[str, int | None]],
        where: str,
        left: dict[int, Input],
        *,
        one_by_one: bool,
    ) -> None:
        """Say why a worker died, and decide what the next one tries. Raises WorkError where it can't help."""
        several = {left[file].path for _, file in under_way if file is not None}
        if len(under_way) > 1 and several and not one_by_one:  # it died of one of them; the next will tell of which
            self._suspects.several |= several
            each = sorted(under_way, key=str)
            places = (stage if file is None else f"{left[file].shown} ({stage})" for stage, file in each)
            again = self._once_more(death, [stage for stage, _ in each])
            self._front.say(f"{', '.join(places)}: {death.line}; {again}; one file at a time", "yellow")
            return
        stage, file = next(iter(under_way), (BETWEEN, None))
        item = left[file] if file is not None else None
        place = f"{item.shown}: {stage}" if item else stage
        if item:
            self._suspects.deaths[stage, item.path] += 1
        else:
            self._deaths[stage] += 1
        if (self._suspects.deaths[stage, item.path] if item else self._deaths[stage]) < ATTEMPTS:
            self._front.say(f"{place}: {death.line}; {self._once_more(death, [stage])}", "yellow")
            return
        if item is None and stage not in LACKING:
            raise WorkError(f"{place}: {death.line}; {where}")
        if stage in LACKING:
            self._front.say(f"{place}: {death.line}; {where}", "red")
            self._given_up.setdefault(item.path if item else None, {})[stage] = death.line
            self.failed |= {item.path} if item else {other.path for other in left.values()}
            return
        assert item is not None
        self._fail(item, f"{place}: {death.line}; {where}")
        for index in [index for index, other in left.items() if other is item]:
            del left[index]

    def _once_more(self, death: Death, stages: Sequence[str]) -> str:
        """Prepare the next attempt; returns what it does differently, in words."""
        again = "trying once more in a fresh one; what was finished is kept"
        # On a processor no more chunks are in hand than there are threads.
        size = min(self._job.batch_size, self._job.threads) if self._job.device == "cpu" else self._job.batch_size
        if death.memory and "asr" in stages and size > 1:
            self._job = dataclasses.replace(self._job, batch_size=size // 2)
            again += f"; batch size {size} -> {size // 2}"
        return again


def _with_remedy(reason: str, worker: AnyWorker) -> str:
    """An error nobody foresaw, with what may help, if that is known, and where its traceback is."""
    remedy = worker.remedy(reason)
    return f"{reason}{f'; remedy: {remedy}' if remedy else ''} (the traceback is in {worker.log.keep()})"
