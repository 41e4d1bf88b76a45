"""The order of the stages, how many files a loaded model serves, and what becomes of a stage that fails."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from app import memory
from app.artefacts import Artefacts
from app.errors import InputError, UsageError, WorkError, in_a_line
from app.events import EventLog
from app.messages import (
    Broken,
    Finished,
    Job,
    Loaded,
    Noted,
    Progress,
    Released,
    Result,
    Started,
)
from app.recordings import Recording, Shelf, Tell
from app.remote import located
from app.stages import LACKING, Stage
from app.stages.ladder import trouble
from app.stages.make import make_stages

GROUP_S = 3600.0
"""Audio that is in hand at once, 230 MB an hour, so that each model loads once for all of it."""


def run(job: Job, tell: Tell, artefacts: Artefacts, events: EventLog, kept: dict[str, Stage] | None = None) -> None:
    """Take every file of the job through all stages; say how it goes through `tell`. Without a file, load all models.

    Models are loaded one after another, each for a whole group of files, and released before the next;
    a resident job loads each once and keeps it: in `kept`, by name, for the next job. `tell` is called from several
    threads. UsageError passes through: no file can be done then.
    """
    kept = {} if kept is None else kept
    one = _Run(job, tell, artefacts, events, kept)
    kept.clear()
    try:
        one.run()
    except BaseException:
        one.release()
        raise
    kept.update(one.loaded())


def rehearse(job: Job, tell: Tell, artefacts: Artefacts, events: EventLog) -> Iterator[Stage]:
    """Load each stage's model in turn, as `run` does, and release it, where `run` would, when the next is asked for.

    Gives the stage while it is loaded. One that can be done without and does not load is passed over.
    """
    return _Run(job, tell, artefacts, events, {}).rehearse()


class _Run:
    def __init__(self, job: Job, tell: Tell, artefacts: Artefacts, events: EventLog, kept: Mapping[str, Stage]) -> None:
        self._job, self._tell = job, tell
        self._stages = {stage.name: stage for stage in make_stages(job)}
        self._loaded: set[str] = set()
        for name, stage in kept.items():
            if job.resident and name in self._stages and stage.take_up(self._stages[name]):
                self._stages[name] = stage
                self._loaded.add(name)
            else:
                self._release(stage)
        self._shelf = Shelf(job, self._stages, artefacts, events, tell)
        self._unusable: dict[str, str] = {}
        """Stages that did not load, and why."""
        self._cheaper: dict[str, list[str]] = {}
        """By stage the steps down its ladder. The result keeps the key of what was asked: the same command finds it."""
        self._stopped = False

    def run(self) -> None:
        """While one group is in the models' hands, the next one is being decoded."""
        if not self._job.files:
            for _ in self.rehearse():
                pass
        groups = self._groups()
        with ThreadPoolExecutor(1, "decode") as beside:
            try:
                group = next(groups, None)
                while group is not None:
                    ahead = None if self._job.one_by_one else beside.submit(next, groups, None)
                    for name, stage in self._stages.items():
                        if todo := [item for item in group if name in item.missing and not item.failed]:
                            self._run_stage(stage, todo)
                    group = ahead.result() if ahead else next(groups, None)
            finally:
                self._stopped = True

    def rehearse(self) -> Iterator[Stage]:
        for stage in self._stages.values():
            if self._load(stage) is None:
                yield stage
                if not self._job.resident:
                    self._release(stage)

    def loaded(self) -> dict[str, Stage]:
        return {name: self._stages[name] for name in self._loaded}

    def release(self) -> None:
        for stage in self.loaded().values():
            self._release(stage)

    def _groups(self) -> Iterator[list[Recording]]:
        """Take files, each decoded if need be, and hand them on in groups of at most an hour, or of one longer file.

        Where the models stay loaded a group is as many files as are worked on at once: no more is saved by more.
        """
        at_once = max(stage.at_once for stage in self._stages.values())
        group: list[Recording] = []
        group_s = 0.0
        for index, file in enumerate(self._job.files):
            if self._stopped:
                return
            item = self._shelf.take(index, located(file))
            if "decode" in item.missing and not item.failed:
                self._step(self._stages["decode"], item)
            if item.failed or not item.missing:
                self._shelf.finish(item)
                continue
            if group and not self._job.resident and group_s + item.work.duration > GROUP_S:
                yield group
                group, group_s = [], 0.0
            group.append(item)
            group_s += item.work.duration
            if group_s >= GROUP_S or (self._job.resident and len(group) >= at_once):
                yield group
                group, group_s = [], 0.0
        if group:
            yield group

    def _run_stage(self, stage: Stage, items: list[Recording]) -> None:
        """One stage for all files of a group."""
        if stage.at_once > 1 and len(items) > 1 and not self._job.one_by_one:
            items = self._at_once(stage, items)
        for item in items:
            # Asked for each: after a step down the model may not have come back.
            if reason := self._load(stage, items):
                self._shelf.lack(item, stage.name, reason)
            else:
                self._step(stage, item)
            self._hand_on(stage, item)
        if not self._job.resident and stage.name in self._loaded:
            self._release(stage)

    def _at_once(self, stage: Stage, items: list[Recording]) -> list[Recording]:
        """Several files in the hands of one loaded model. Returns those it did not get through.

        A step down changes the model for all who are at it. So what runs out of means here is tried again when the
        others are done, alone and where there may be room by then. Of equal recordings one is enough.
        """
        if self._load(stage, items):
            return items
        different = list({item.keys[stage.name]: item for item in reversed(items)}.values())[::-1]
        done: set[int] = set()

        def attempt(item: Recording) -> None:
            try:
                if not self._stopped and self._step(stage, item, alone=False):
                    done.add(item.index)
                    self._hand_on(stage, item)
            except BaseException:
                self._stopped = True  # the others would go on to the end of the group
                raise

        with ThreadPoolExecutor(stage.at_once, stage.name) as pool:
            list(pool.map(attempt, different))
        return [item for item in items if item.index not in done]

    def _hand_on(self, stage: Stage, item: Recording) -> None:
        """What becomes of a file after this stage."""
        if item.failed or not item.missing:
            self._shelf.finish(item)
        elif stage.name == "asr":
            self._tell(Result(item.index, self._shelf.transcript(item), final=False))

    def _load(self, stage: Stage, items: Sequence[Recording] = ()) -> str | None:
        """Make it ready, for these. Returns why it can't be, where the others can do without it."""
        if stage.name in self._loaded or stage.name in self._unusable:
            return self._unusable.get(stage.name)
        # A resident model is for files to come too, and nobody knows those yet.
        works = () if self._job.resident else tuple(item.work for item in items)
        self._tell(Started(stage.name, None))
        begin = time.perf_counter()
        while True:
            try:
                what = stage.load(works)
                break
            except UsageError:
                raise
            except Exception as error:
                if self._step_down(stage, error):
                    continue
                reason = f"{stage.name} can't load its model: {in_a_line(error)}"
                if stage.name not in LACKING:
                    raise WorkError(reason) from error
                traceback.print_exc()
                self._unusable[stage.name] = reason
                self._tell(Noted(reason, None, bug=True))
                self._tell(Broken(stage.name, None))
                return reason
        self._loaded.add(stage.name)
        self._tell(Loaded(stage.name, what, time.perf_counter() - begin))
        return None

    def _release(self, stage: Stage) -> None:
        stage.release()
        self._loaded.discard(stage.name)
        memory.release()
        self._tell(Released(stage.name))

    def _step_down(self, stage: Stage, error: Exception) -> bool:
        """Choose the next cheaper way after this error, if it is of that kind and there is one."""
        cheaper = stage.step_down(error)
        if cheaper is None:
            return False
        self._tell(Noted(f"{stage.name}: {in_a_line(error)}; going on with {cheaper}", None))
        self._cheaper.setdefault(stage.name, []).append(cheaper)
        stage.release()
        self._loaded.discard(stage.name)
        memory.release()
        return True

    def _step(self, stage: Stage, item: Recording, *, alone: bool = True) -> bool:
        """One stage for one file; what it gives is on the disk before the file goes on.

        Returns False, and leaves all as it was, where it ran out of means and was not alone.
        """
        key = item.keys[stage.name]
        if stage.name != "decode" and self._shelf.find(stage, item):  # an equal recording has been there meanwhile
            return True
        self._tell(Started(stage.name, item.index))
        self._shelf.event("started", stage.name, item)
        begin = time.monotonic()

        def report(done_s: float, total_s: float) -> None:
            self._tell(Progress(stage.name, item.index, done_s, total_s))

        try:
            with self._shelf.artefacts.checkpoint(key) as checkpoint:
                while True:
                    try:
                        done = stage.run(dataclasses.replace(item.work, notes=(), checkpoint=checkpoint), report)
                        break
                    except (InputError, UsageError):
                        raise
                    except Exception as error:
                        if not alone and trouble(error):
                            traceback.print_exc()
                            self._shelf.event("failed", stage.name, item, reason=in_a_line(error))
                            self._tell(Broken(stage.name, item.index))
                            return False
                        if not self._step_down(stage, error):
                            raise
                        if reason := self._load(stage, [item]):
                            self._shelf.lack(item, stage.name, reason)
                            self._tell(Broken(stage.name, item.index))
                            return True
        except (UsageError, WorkError):
            raise
        except Exception as error:
            foreseen = isinstance(error, InputError)
            reason = str(error) if foreseen else f"{stage.name} failed: {in_a_line(error)}"
            if not foreseen:
                traceback.print_exc()
            self._shelf.event("failed", stage.name, item, reason=reason)
            if stage.name in LACKING:
                self._shelf.lack(item, stage.name, reason)
                self._tell(Noted(reason, item.index, bug=not foreseen))
                self._tell(Broken(stage.name, item.index))
            else:
                self._shelf.fail(item, reason, bug=not foreseen)
            return True
        cheaper = (
            f"{stage.name} ran out of means and went on with {step}" for step in self._cheaper.get(stage.name, ())
        )
        item.notes[stage.name] = (*done.notes, *cheaper)
        item.work = dataclasses.replace(done, notes=(), checkpoint=None)
        item.missing.remove(stage.name)
        self._shelf.keep(stage, item)
        seconds = time.monotonic() - begin
        self._shelf.event("done", stage.name, item, seconds=round(seconds, 3))
        self._tell(Finished(stage.name, item.index, begin, seconds, done.duration))
        return True
