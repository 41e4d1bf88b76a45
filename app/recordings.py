"""Each recording under way: what was done for it before, what is still to be done, and how it is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from app.artefacts import Artefacts, stage_key
from app.errors import InputError
from app.events import EventLog
from app.messages import Failed, Job, Message, Noted, Result, Reused, Started
from app.remote import Location, identity, shown
from app.stages import LACKING, Stage, Work
from app.transcript import Transcript

Tell = Callable[[Message], None]


@dataclass
class Recording:
    """One file of the job, under way."""

    index: int
    work: Work
    keys: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """The stages that have still to run, in order."""
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each stage has to say to the transcript's reader."""
    failed: bool = False


class Shelf:
    """Takes recordings up where they were left, and keeps what is done for them."""

    def __init__(self, job: Job, stages: dict[str, Stage], artefacts: Artefacts, events: EventLog, tell: Tell) -> None:
        self._job, self._stages, self._tell = job, stages, tell
        self.artefacts, self._events = artefacts, events
        self._shapes = {name: stage.shape() for name, stage in stages.items()}
        self._disk_full = False

    def take(self, index: int, path: Location) -> Recording:
        """The file, with all that was done for it before, and its waveform if a stage is to hear it. What is elsewhere
        is asked for its identity alone. Raises WorkError where nothing can be had from there.
        """
        self._tell(Started("decode", index))
        recording = Recording(index, Work(path, say=self._say))
        try:
            root = identity(str(path), self._say)
        except (InputError, OSError) as error:
            self.fail(recording, str(error) if isinstance(error, InputError) else f"{path}: {error.strerror}")
            return recording
        found = {}
        for name, stage in self._stages.items():
            above = [recording.keys[each] for each in stage.reads]
            recording.keys[name] = stage_key(name, self._shapes[name], above or [root])
            if (saved := self.artefacts.load(recording.keys[name])) is not None:
                found[name] = saved
        recording.missing = self._to_run(found)
        given_up = self._job.given_up.get(index, {})
        for name in given_up.keys() & set(recording.missing):
            self.lack(recording, name, given_up[name])
        if any("decode" in self._stages[name].reads for name in recording.missing):
            waveform = self.artefacts.waveform(recording.keys["decode"])
            if waveform is not None:
                recording.work = dataclasses.replace(recording.work, waveform=waveform)
            elif found.pop("decode", None):
                recording.missing.insert(0, "decode")
        for name, saved in found.items():
            self._take_up(name, recording, saved)
        if found:
            self._tell(Reused(tuple(found), index))
        return recording

    def find(self, stage: Stage, recording: Recording) -> bool:
        """Take up what this stage has given, since the recording was taken, for another with the same content."""
        saved = self.artefacts.load(recording.keys[stage.name])
        if saved is None:
            return False
        self._take_up(stage.name, recording, saved)
        recording.missing.remove(stage.name)
        self._tell(Reused((stage.name,), recording.index))
        return True

    def _take_up(self, name: str, recording: Recording, saved: Any) -> None:
        recording.work = self._stages[name].unpack(recording.work, saved["data"])
        recording.notes[name] = tuple(saved["notes"])
        self.event("reused", name, recording)

    def _to_run(self, found: Collection[str]) -> list[str]:
        """What is neither there nor needed only for what is there."""
        needed: list[str] = []
        for name in reversed(self._stages):
            readers = [other for other, stage in self._stages.items() if name in stage.reads]
            asked_for = name in ("decode", "asr") or not readers or any(reader in needed for reader in readers)
            if name not in found and asked_for:
                needed.insert(0, name)
        return needed

    def keep(self, stage: Stage, recording: Recording) -> None:
        """Put on the disk what this stage made of it. A full disk is said, once, and costs no work of this run."""
        key = recording.keys[stage.name]
        try:
            if stage.name == "decode" and recording.missing and recording.work.waveform is not None:
                waveform = self.artefacts.save_waveform(key, recording.work.waveform)
                recording.work = dataclasses.replace(recording.work, waveform=waveform)
            self.artefacts.save(key, {"data": stage.pack(recording.work), "notes": recording.notes[stage.name]})
            self.artefacts.drop_checkpoint(key)
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

    def _say(self, line: str) -> None:
        self._tell(Noted(line, None))

    def lack(self, recording: Recording, stage: str, reason: str) -> None:
        """The file goes on without this stage."""
        recording.missing.remove(stage)
        recording.notes[stage] = (f"{LACKING[stage]}: {reason}",)

    def fail(self, recording: Recording, reason: str, *, bug: bool = False) -> None:
        recording.failed = True
        self._tell(Failed(reason, recording.index, bug=bug))

    def finish(self, recording: Recording) -> None:
        """All was tried for this file: its transcript goes out, its waveform goes."""
        if "decode" in recording.keys:
            self.artefacts.drop_waveform(recording.keys["decode"])
        if not recording.failed:
            self._tell(Result(recording.index, self.transcript(recording), final=True))
        recording.work = Work(recording.work.path)

    def transcript(self, recording: Recording) -> Transcript:
        """All that is known of this file by now."""
        transcript = recording.work.transcript
        assert transcript is not None
        notes = [*self._job.notes, *(note for name in self._stages for note in recording.notes.get(name, ()))]
        if recording.work.turns is not None:
            from app.speakers import assign, rename

            transcript = assign(transcript, recording.work.turns)
            transcript, note = rename(transcript, self._job.names)
            notes += [note] if note else []
            if transcript.segments and not recording.work.turns:
                notes.append(f"{LACKING['diarize']}: the diarization heard nobody")
        return dataclasses.replace(transcript, notes=tuple(notes))

    def event(self, event: str, stage: str, recording: Recording, **more: object) -> None:
        self._events.add(event, file=shown(recording.work.path), stage=stage, key=recording.keys[stage], **more)
