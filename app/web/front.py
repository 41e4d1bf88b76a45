"""The front of a job of the page: what its runner says goes into the job, and its transcripts into its folder."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from app.inputs import Input
from app.messages import Message, Released, Started
from app.runner import Stopped
from app.supervisor import AnyMeter
from app.transcript import Transcript
from app.web.curve import Curve
from app.web.jobs import Job, JobStore

EVERY_S = 0.2
"""Between two looks at the progress that others get."""
KEPT_EVERY_S = 10.0
"""And between two that a crash leaves."""
MOST_LINES = 500


class JobFront:
    """Front and Listener of a Runner; only the lane's thread calls it, and the one that prepares the job for it."""

    def __init__(self, job: Job, store: JobStore) -> None:
        self.job, self.curve = job, Curve()
        self.since = time.monotonic() - job.seconds
        """As if it had been worked on without a pause."""
        self.stop = threading.Event()
        """Set: the work is to end, though no worker may have begun it."""
        self.cancelled = False
        """Because somebody does not want it any more."""
        self._store = store
        self._folder = store.folder / job.id
        self._places = {store.media(job, index): index for index in range(len(job.files))}
        self._shown_at = self._kept_at = time.monotonic()

    def inputs(self) -> list[Input]:
        """The recordings that are still to be done."""
        waiting = {path: index for path, index in self._places.items() if self.job.files[index].state != "done"}
        return [Input(path, Path(f"{index:03}")) for path, index in waiting.items()]

    def save(self) -> None:
        """How the job is, for all to see, and on the disk. Where that is full, those who look see it all the same."""
        try:
            self._store.save(self.job)
        except OSError as error:
            self._note(f"the job's state can't be written ({error.strerror})")

    def clean(self, line: str) -> str:
        """With the person's names for the recordings, in the place of ours."""
        for path, index in self._places.items():
            name = self.job.files[index].name
            line = line.replace(str(path), name)
            if line.startswith(f"{path.name}:"):
                line = name + line[len(path.name) :]
        # The server's folders are no visitor's business.
        return line.replace(f"{self._store.folder.parent}/", "")

    def say(self, line: str, style: str | None = None) -> None:
        self._go_on()
        self._note(self.clean(line))
        self._store.save(self.job, durable=False)

    def step(self, stage: str, what: str = "") -> None:
        self._go_on()
        index = self._places.get(self._folder / what) if what else None
        if (stage, index) != (self.job.stage, self.job.index):
            self.job.stage, self.job.index, self.job.progress = stage, index, 0.0
            if index is not None and self.job.files[index].state == "waiting":
                self.job.files[index].state = "running"
            self._store.save(self.job, durable=False)

    def advance(self, done: float, total: float, unit: str) -> None:
        self._go_on()
        self.job.progress = min(1.0, done / total) if total else 0.0
        now = time.monotonic()
        if now - self._kept_at >= KEPT_EVERY_S:
            self._kept_at, self.job.seconds = now, now - self.since
            self.save()
        elif now - self._shown_at >= EVERY_S:
            self._shown_at = now
            self._store.save(self.job, durable=False)

    def failed(self, item: Input, reason: str) -> None:
        recording = self.job.files[self._places[Path(item.path)]]
        recording.state, recording.error = "failed", self.clean(reason)
        self._note(recording.error)
        self.save()

    def first(self, item: Input, transcript: Transcript) -> None:
        self._keep(item, transcript)

    def final(self, item: Input, transcript: Transcript) -> bool:
        recording = self.job.files[self._places[Path(item.path)]]
        if error := self._keep(item, transcript):
            self.failed(item, f"{recording.name}: the transcript can't be written ({error})")
            return False
        recording.state, recording.error = "done", ""
        recording.notes = [self.clean(note) for note in transcript.notes]
        self.save()
        return True

    def _keep(self, item: Input, transcript: Transcript) -> str:
        index = self._places[Path(item.path)]
        recording = self.job.files[index]
        recording.duration, recording.language = transcript.duration, transcript.language or ""
        try:
            self._store.save_transcript(self.job, index, transcript)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def begin(self, meter: AnyMeter) -> None:
        meter.curve = self.curve

    def hear(self, message: Message) -> None:
        if isinstance(message, Started):
            self.curve.mark(time.monotonic(), message.stage)
        elif isinstance(message, Released):
            self.curve.mark(time.monotonic(), "")

    def end(self, meter: AnyMeter) -> None:
        self.curve.mark(time.monotonic(), "")

    def _go_on(self) -> None:
        """Raises Stopped: while a model is fetched there is no worker yet that could be killed, and whoever fetches it
        may come back long after.
        """
        if self.stop.is_set():
            raise Stopped

    def _note(self, line: str) -> None:
        if len(self.job.lines) < MOST_LINES:
            self.job.lines.append(line)
