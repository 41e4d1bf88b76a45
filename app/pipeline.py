"""The order of the stages, how many files a loaded model serves, and what is skipped because it was done before."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from app import memory
from app.artefacts import Artefacts, content_key, stage_key
from app.errors import InputError, UsageError, WorkError, in_a_line
from app.events import EventLog
from app.messages import (
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
from app.stages import LACKING, Stage, Work
from app.stages.make import make_stages
from app.transcript import Transcript

GROUP_S = 3600.0
"""Audio that is in hand at once, 230 MB an hour, so that each model loads once for all of it."""

Tell = Callable[[Message], None]


@dataclass
class _Item:
    """One file of the job, under way."""

    index: int
    work: Work
    keys: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """The stages that have still to run, in order."""
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each stage has to say to the transcript's reader."""
    failed: bool = False


def run(job: Job, tell: Tell, artefacts: Artefacts, events: EventLog) -> None:
    """Take every file of the job through all stages; say how it goes through `tell`.

    Models are loaded one after another, each for a whole group of files, and released before the next;
    a resident job loads each once and keeps it. `tell` is called from several threads. UsageError passes through: no
    file can be done then.
    """
    _Run(job, tell, artefacts, events).run()


class _Run:
    def __init__(self, job: Job, tell: Tell, artefacts: Artefacts, events: EventLog) -> None:
        self._job, self._tell, self._artefacts, self._events = job, tell, artefacts, events
        self._stages = {stage.name: stage for stage in make_stages(job)}
        self._shapes = {name: stage.shape() for name, stage in self._stages.items()}
        self._loaded: set[str] = set()
        self._unusable: dict[str, str] = {}
        """Stages that did not load, and why."""
        self._cheaper: dict[str, list[str]] = {}
        """By stage the steps down its ladder. The result keeps the key of what was asked: the same command finds it."""
        self._disk_full = False
        self._stopped = False

    def run(self) -> None:
        """While one group is in the models' hands, the next one is being decoded."""
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

    def _groups(self) -> Iterator[list[_Item]]:
        """Take files, each decoded if need be, until the audio that is to be worked on fills a group.

        Where the models stay loaded a group is as many files as are worked on at once: no more is saved by more.
        """
        pending = list(enumerate(Path(file) for file in self._job.files))
        full_s = 0.0 if self._job.resident else GROUP_S

        def full(group: list[_Item]) -> bool:
            return len(group) >= self._job.jobs and sum(item.work.duration for item in group) >= full_s

        while pending:
            group: list[_Item] = []
            while pending and not self._stopped and not full(group):
                item = self._take(*pending.pop(0))
                if "decode" in item.missing and not item.failed:
                    self._step(self._stages["decode"], item)
                if item.missing and not item.failed:
                    group.append(item)
                else:
                    self._finish(item)
            if self._stopped:
                return
            yield group

    def _take(self, index: int, path: Path) -> _Item:
        """The file, with all that was done for it before, and its waveform if a stage is to hear it."""
        self._tell(Started("decode", index))
        item = _Item(index, Work(path))
        try:
            root = content_key(path)
        except OSError as error:
            self._fail(item, f"{path}: {error.strerror}")
            return item
        found = {}
        for name, stage in self._stages.items():
            item.keys[name] = stage_key(name, self._shapes[name], [item.keys[above] for above in stage.reads] or [root])
            if (saved := self._artefacts.load(item.keys[name])) is not None:
                found[name] = saved
        item.missing = self._to_run(found)
        given_up = self._job.given_up.get(index, {})
        for name in given_up.keys() & set(item.missing):
            self._lack(item, name, given_up[name])
        if any("decode" in self._stages[name].reads for name in item.missing):
            waveform = self._artefacts.waveform(item.keys["decode"])
            if waveform is not None:
                item.work = dataclasses.replace(item.work, waveform=waveform)
            elif found.pop("decode", None):
                item.missing.insert(0, "decode")
        for name, saved in found.items():
            item.work = self._stages[name].unpack(item.work, saved["data"])
            item.notes[name] = tuple(saved["notes"])
            self._event("reused", name, item)
        if found:
            self._tell(Reused(tuple(found), index))
        return item

    def _to_run(self, found: Collection[str]) -> list[str]:
        """What is neither there nor needed only for what is there."""
        needed: list[str] = []
        for name in reversed(self._stages):
            readers = [other for other, stage in self._stages.items() if name in stage.reads]
            asked_for = name in ("decode", "asr") or not readers or any(reader in needed for reader in readers)
            if name not in found and asked_for:
                needed.insert(0, name)
        return needed

    def _run_stage(self, stage: Stage, items: list[_Item]) -> None:
        """One stage for all files of a group."""
        if stage.name == "asr" and self._job.jobs > 1 and not self._job.one_by_one:
            items = self._at_once(stage, items)
        for item in items:
            # Asked for each: after a step down the model may not have come back.
            if reason := self._unusable.get(stage.name) or self._load(stage):
                self._lack(item, stage.name, reason)
            else:
                self._step(stage, item)
            self._hand_on(stage, item)
        if not self._job.resident and stage.name in self._loaded:
            self._release(stage)

    def _at_once(self, stage: Stage, items: list[_Item]) -> list[_Item]:
        """Several files in the hands of one loaded model. Returns those it did not get through.

        A step down changes the model for all who are at it. So what fails here is tried again when the others are
        done, alone and where there may be room by then.
        """
        self._load(stage)

        def attempt(item: _Item) -> bool:
            if not self._stopped and self._step(stage, item, alone=False):
                self._hand_on(stage, item)
                return True
            return False

        with ThreadPoolExecutor(self._job.jobs, stage.name) as pool:
            return [item for item, done in zip(items, pool.map(attempt, items), strict=True) if not done]

    def _hand_on(self, stage: Stage, item: _Item) -> None:
        """What becomes of a file after this stage."""
        if item.failed or not item.missing:
            self._finish(item)
        elif stage.name == "asr":
            self._tell(Result(item.index, self._transcript(item), final=False))

    def _load(self, stage: Stage) -> str | None:
        """Make it ready. Returns why it can't be, where the others can do without it."""
        if stage.name in self._loaded:
            return None
        self._tell(Started(stage.name, None))
        begin = time.perf_counter()
        while True:
            try:
                what = stage.load()
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

    def _step(self, stage: Stage, item: _Item, *, alone: bool = True) -> bool:
        """One stage for one file; what it gives is on the disk before anything else begins.

        Returns False, and leaves all as it was, where it failed in a way nobody foresaw and was not alone.
        """
        key = item.keys[stage.name]
        self._tell(Started(stage.name, item.index))
        self._event("started", stage.name, item)
        begin = time.perf_counter()

        def report(done_s: float, total_s: float) -> None:
            self._tell(Progress(stage.name, item.index, done_s, total_s))

        try:
            with self._artefacts.checkpoint(key) as checkpoint:
                while True:
                    try:
                        done = stage.run(dataclasses.replace(item.work, notes=(), checkpoint=checkpoint), report)
                        break
                    except (InputError, UsageError):
                        raise
                    except Exception as error:
                        if not alone:
                            traceback.print_exc()
                            return False
                        if not self._step_down(stage, error):
                            raise
                        if reason := self._load(stage):
                            self._lack(item, stage.name, reason)
                            return True
        except (UsageError, WorkError):
            raise
        except Exception as error:
            foreseen = isinstance(error, InputError)
            reason = str(error) if foreseen else f"{stage.name} failed: {in_a_line(error)}"
            if not foreseen:
                traceback.print_exc()
            self._event("failed", stage.name, item, reason=reason)
            if stage.name in LACKING:
                self._lack(item, stage.name, reason)
                self._tell(Noted(reason, item.index, bug=not foreseen))
            else:
                self._fail(item, reason, bug=not foreseen)
            return True
        cheaper = (
            f"{stage.name} ran out of means and went on with {step}" for step in self._cheaper.get(stage.name, ())
        )
        item.notes[stage.name] = (*done.notes, *cheaper)
        item.work = dataclasses.replace(done, notes=(), checkpoint=None)
        item.missing.remove(stage.name)
        self._save(stage, item)
        seconds = time.perf_counter() - begin
        self._event("done", stage.name, item, seconds=round(seconds, 3))
        self._tell(Finished(stage.name, item.index, seconds, done.duration))
        return True

    def _save(self, stage: Stage, item: _Item) -> None:
        key = item.keys[stage.name]
        try:
            if stage.name == "decode" and item.missing and item.work.waveform is not None:
                waveform = self._artefacts.save_waveform(key, item.work.waveform)
                item.work = dataclasses.replace(item.work, waveform=waveform)
            self._artefacts.save(key, {"data": stage.pack(item.work), "notes": item.notes[stage.name]})
            self._artefacts.drop_checkpoint(key)
        except OSError as error:
            if not self._disk_full:
                self._disk_full = True
                self._tell(
                    Noted(
                        f"what is finished can't be kept for later ({error.strerror}); "
                        "this run goes on, but if it is interrupted it starts anew",
                        None,
                    )
                )

    def _lack(self, item: _Item, stage: str, reason: str) -> None:
        """The file goes on without this stage."""
        item.missing.remove(stage)
        item.notes[stage] = (f"{LACKING[stage]}: {reason}",)

    def _fail(self, item: _Item, reason: str, *, bug: bool = False) -> None:
        item.failed = True
        self._tell(Failed(reason, item.index, bug=bug))

    def _finish(self, item: _Item) -> None:
        """All was tried for this file: its transcript goes out, its waveform goes."""
        if "decode" in item.keys:
            self._artefacts.drop_waveform(item.keys["decode"])
        if not item.failed:
            self._tell(Result(item.index, self._transcript(item), final=True))
        item.work = Work(item.work.path)

    def _transcript(self, item: _Item) -> Transcript:
        """All that is known of this file by now."""
        transcript = item.work.transcript
        assert transcript is not None
        notes = [*self._job.notes, *(note for name in self._stages for note in item.notes.get(name, ()))]
        if item.work.turns is not None:
            from app.speakers import assign, rename

            transcript = assign(transcript, item.work.turns)
            transcript, note = rename(transcript, self._job.names)
            notes += [note] if note else []
            if transcript.segments and not item.work.turns:
                notes.append(f"{LACKING['diarize']}: the diarization heard nobody")
        return dataclasses.replace(transcript, notes=tuple(notes))

    def _event(self, event: str, stage: str, item: _Item, **more: object) -> None:
        self._events.add(event, file=str(item.work.path), stage=stage, key=item.keys[stage], **more)
