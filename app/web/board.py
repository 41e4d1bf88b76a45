"""What a visitor may do with the jobs: the one door of the page, of its API and of its downloads.

Every method takes the visitor's name, "" where nobody logs in, and raises NoSuchJobError for a job that is not his.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import UsageError
from app.subtitles import SubtitleStyle
from app.transcript import Transcript
from app.web.corrections import corrected
from app.web.jobs import Edits, Job, JobStore
from app.web.options import FORMATS, Options, speaker_name, writable
from app.writers import WRITERS

if TYPE_CHECKING:
    from app.web.lane import Lane

MOST_FILES = 500
"""In one job."""
LONGEST_SEGMENT = 5000
"""Characters that a corrected segment may have."""


class Board:
    """Thread-safe."""

    def __init__(self, store: JobStore, lane: Lane) -> None:
        self._store, self._lane = store, lane

    def submit(self, visitor: str, files: Sequence[tuple[str, Path]], options: Options) -> str:
        """Queue a job; returns its id when it is safely on the disk. `files` as JobStore.add takes them. Raises
        UsageError, and OSError of a full disk.
        """
        if not files:
            raise UsageError("no recording: choose a file first")
        if len(files) > MOST_FILES:
            raise UsageError(f"{len(files)} files: at most {MOST_FILES} in one job")
        id = self._store.add(visitor, files, options)
        self._lane.wake()
        return id

    def jobs(self, visitor: str) -> list[Job]:
        """The newest first."""
        return [self._now(job) for job in self._store.list(visitor)[::-1]]

    def job(self, visitor: str, id: str) -> Job:
        """As it is at this moment."""
        return self._now(self._store.get(id, visitor))

    def ahead(self, visitor: str, id: str) -> int:
        """How many jobs, whoever's, come before it."""
        job = self._store.get(id, visitor)
        return sum(1 for each in self._store.list() if not each.over and each.number < job.number)

    def cancel(self, visitor: str, id: str) -> None:
        """End it; what is finished of it is kept. Nothing, where it is over."""
        self._lane.cancel(self._store.get(id, visitor).id)

    def again(self, visitor: str, id: str) -> None:
        """Queue one that failed or was cancelled once more, in its old place: what was finished is not done again."""
        self._lane.again(self._store.get(id, visitor).id)

    def remove(self, visitor: str, id: str) -> None:
        """End it, and delete all it has."""
        self._lane.cancel(self._store.get(id, visitor).id)
        self._store.remove(id, visitor)

    def transcript(self, visitor: str, id: str, index: int) -> Transcript | None:
        """Of one file, with the visitor's corrections; None: not yet there. Raises UsageError where there is no such
        file.
        """
        job = self._file(visitor, id, index)
        there = self._store.transcript(job, index)
        if there is None:
            return None
        edits = self._store.edits(job)
        return corrected(there, edits.names.get(str(index), {}), edits.texts.get(str(index), {}))

    def lines(self, visitor: str, id: str, index: int) -> list[dict[str, Any]]:
        """For the page: each segment as recognised, with the corrections beside: {"index", "start", "end", "speaker"
        (as recognised; None), "name" (shown), "text" (shown), "edited"}. Times in seconds.
        """
        job = self._file(visitor, id, index)
        there = self._store.transcript(job, index)
        edits = self._store.edits(job)
        names, texts = edits.names.get(str(index), {}), edits.texts.get(str(index), {})
        return [
            {
                "index": place,
                "start": segment.start,
                "end": segment.end,
                "speaker": segment.speaker,
                "name": names.get(segment.speaker or "", segment.speaker),
                "text": texts.get(str(place), segment.text),
                "edited": str(place) in texts,
            }
            for place, segment in enumerate(there.segments if there else ())
        ]

    def edits(self, visitor: str, id: str) -> Edits:
        """All corrections of a job."""
        return self._store.edits(self._store.get(id, visitor))

    def rename(self, visitor: str, id: str, index: int, speaker: str, name: str) -> None:
        """Call one of a file's speakers, as recognised, by another name. Raises UsageError."""
        job = self._editable(visitor, id, index)
        there = self._store.transcript(job, index)
        if there is None or all(segment.speaker != speaker for segment in there.segments):
            raise UsageError("there is no such speaker")
        self._store.edit(job, index, "names", speaker, speaker_name("name", name))

    def correct(self, visitor: str, id: str, index: int, segment: int, text: str) -> None:
        """Give one segment another text; an empty one drops it. Raises UsageError."""
        job = self._editable(visitor, id, index)
        there = self._store.transcript(job, index)
        if there is None or not 0 <= segment < len(there.segments):
            raise UsageError("there is no such line")
        if len(text) > LONGEST_SEGMENT:
            raise UsageError(f"a line has at most {LONGEST_SEGMENT} characters")
        self._store.edit(job, index, "texts", str(segment), writable("text", text))

    def download(self, visitor: str, id: str, index: int, form: str) -> tuple[str, str]:
        """The name for a file of this format, and its text, corrections included. One whose job was ended before all
        was done is called `partial`. Raises UsageError.
        """
        transcript = self.transcript(visitor, id, index)
        if form not in FORMATS:
            raise UsageError(f"format: must be one of {', '.join(FORMATS)}")
        if transcript is None:
            raise UsageError("there is no transcript yet")
        job = self._store.get(id, visitor)
        whole = job.files[index].state == "done"
        if not whole and not job.over:
            raise UsageError("it is still being worked on")
        return f"{_stems(job)[index]}{'' if whole else '.partial'}.{form}", WRITERS[form](transcript, SubtitleStyle())

    def zip(self, visitor: str, id: str) -> tuple[str, bytes]:
        """The name for it, and all transcripts there are, in the formats that the job asked for; of a job under way,
        those that are done.
        """
        job = self._store.get(id, visitor)
        into = io.BytesIO()
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for index, file in enumerate(job.files):
                if (job.over or file.state == "done") and self.transcript(visitor, id, index) is not None:
                    for form in job.options.formats:
                        archive.writestr(*self.download(visitor, id, index, form))
        stem = _stems(job)[0] if len(job.files) == 1 else f"job-{job.number}"
        return f"{stem}.zip", into.getvalue()

    def media(self, visitor: str, id: str, index: int) -> Path:
        """The recording, for the player."""
        return self._store.media(self._file(visitor, id, index), index)

    def memory(self, visitor: str, id: str) -> dict[str, Any] | None:
        """What the worker took: {"seconds": [...], "rss": [...], "vram": [...] (MiB), "stages": [[seconds, name], ...]:
        what began there, "" for nothing}; None where it is not known.
        """
        job = self._store.get(id, visitor)
        return self._lane.curve(job.id) or self._store.memory(job)

    def free(self) -> bool:
        """Give back what the models take: ends a worker that has nothing to do. False: it is at work, or none is."""
        return self._lane.free()

    def worker(self) -> dict[str, Any]:
        """What the worker is: {"state": "none", "loading", "idle" or "working", "rss": MiB, "vram": MiB, "idle_s":
        seconds it has had nothing to do, "unload_s": after which it ends}.
        """
        return self._lane.worker()

    def _now(self, job: Job) -> Job:
        seconds = self._lane.seconds(job.id)
        return job if seconds is None else dataclasses.replace(job, seconds=seconds)

    def _file(self, visitor: str, id: str, index: int) -> Job:
        job = self._store.get(id, visitor)
        if not 0 <= index < len(job.files):
            raise UsageError("there is no such file in this job")
        return job

    def _editable(self, visitor: str, id: str, index: int) -> Job:
        job = self._file(visitor, id, index)
        if job.files[index].state != "done":
            raise UsageError("it is still being worked on: correct it when it is done")
        return job


def _stems(job: Job) -> list[str]:
    """A name for each file's outputs: without its ending where that is enough to tell them apart, on any system."""
    short = [Path(each.name).stem or each.name for each in job.files]
    count = Counter(stem.casefold() for stem in short)
    names: list[str] = []
    for each, stem in zip(job.files, short, strict=True):
        wanted = each.name if count[stem.casefold()] > 1 else stem
        taken = {name.casefold() for name in names}
        more = (wanted, *(f"{wanted} ({number})" for number in range(2, len(job.files) + 2)))
        names.append(next(name for name in more if name.casefold() not in taken))
    return names
