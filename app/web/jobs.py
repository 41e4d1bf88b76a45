"""The page's jobs: each a folder on the disk, which a closed tab, a restart and a crash leave as it was.

000042-9f2c.../     number, and what can't be guessed
    job.json        what was asked for: never changed
    state.json      how far it is
    000.wav         the first recording, under a name of ours
    000.json        its transcript
    edits.json      what the person has changed since
    memory.json     what the worker took
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.audio import MEDIA_SUFFIXES
from app.errors import in_a_line
from app.store import PART, bring, to_disk, write_atomically
from app.transcript import Transcript, from_dict
from app.web.options import Options

State = Literal["queued", "running", "done", "failed", "cancelled"]
"""failed: nothing came of some of its files. One that was interrupted is queued again."""
FileState = Literal["waiting", "running", "done", "failed"]
OVER: frozenset[State] = frozenset(("done", "failed", "cancelled"))
ID = re.compile(r"\d{6,}-[0-9a-f]{32}")
_JOB, _STATE, _EDITS, _MEMORY = "job.json", "state.json", "edits.json", "memory.json"


class NoSuchJobError(Exception):
    """There is none of this name, or it is somebody else's: nobody is told which."""


@dataclass
class Recording:
    """One of a job's files."""

    name: str
    """As the person calls it. Never a path."""
    file: str
    """Within the job's folder."""
    size: int
    """Bytes."""
    state: FileState = "waiting"
    error: str = ""
    """Why it failed, in a line."""
    notes: list[str] = field(default_factory=list)
    """What the reader of its transcript must know."""
    duration: float = 0.0
    """Seconds of audio, once that is known."""
    language: str = ""


@dataclass
class Job:
    """One job, as it was when it was looked at."""

    id: str
    owner: str
    """The user's name; "" where nobody logs in."""
    created: float
    """Seconds since 1970."""
    options: Options
    files: list[Recording]
    state: State = "queued"
    stage: str = ""
    """What is being done: `asr`."""
    index: int | None = None
    """The file that it is done for; None: a model is being loaded."""
    progress: float = 0.0
    """Of that stage for that file, 0 to 1."""
    seconds: float = 0.0
    """That it has been worked on, over all attempts."""
    error: str = ""
    """Why it failed, in a line: the diagnosis, where a worker died."""
    lines: list[str] = field(default_factory=list)
    """What the command would have printed: the models, what was noted, what died and why."""

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def number(self) -> int:
        return int(self.id.partition("-")[0])


@dataclass
class Edits:
    """What a person has changed in a job's transcripts."""

    names: dict[str, dict[str, str]] = field(default_factory=dict)
    """By file and speaker, as recognised, the new name."""
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    """By file and segment, counted from 0, the new text."""


class JobStore:
    """All jobs of a folder. Every method may be called from any thread; only one process may have the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._live: dict[str, Job] = {}
        for left in folder.glob(f"{PART}*"):  # of a submission that a crash cut short: nobody was told its name
            shutil.rmtree(left, ignore_errors=True)
        for path in sorted(folder.iterdir()):
            if ID.fullmatch(path.name):
                try:
                    self._live[path.name] = self._read(path)
                except Exception as error:  # damaged, or of another version: not shown, and not touched
                    print(f"run-app: {path}: not read as a job ({in_a_line(error)})", file=sys.stderr, flush=True)
        self._last = max((job.number for job in self._live.values()), default=0)

    def add(self, owner: str, files: Sequence[tuple[str, Path]], options: Options) -> str:
        """Take a job in, with its recordings as (the person's name of it, where it lies), which are there no more then.
        Returns its id when all of it is on the disk. Raises OSError; then all recordings are where they were.
        """
        part = Path(tempfile.mkdtemp(prefix=PART, dir=self.folder))
        try:
            recordings = []
            for index, (name, path) in enumerate(files):
                ours = f"{index:03}{_suffix(name)}"
                bring(path, part / ours)
                recordings.append(Recording(_label(name), ours, (part / ours).stat().st_size))
            with self._lock:
                self._last += 1
                id = f"{self._last:06}-{secrets.token_hex(16)}"
                job = Job(id, owner, time.time(), options, recordings)
                asked = {
                    "owner": owner,
                    "created": job.created,
                    "options": dataclasses.asdict(options),
                    "files": [{"name": each.name, "file": each.file, "size": each.size} for each in recordings],
                }
                write_atomically(part / _JOB, json.dumps(asked, indent=1))
                part.rename(self.folder / id)
                to_disk(self.folder)
                self._live[id] = job
            for _, path in files:
                path.unlink(missing_ok=True)
            return id
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def get(self, id: str, owner: str) -> Job:
        """A copy. Raises NoSuchJobError."""
        with self._lock:
            job = self._live.get(id)
            if job is None or job.owner != owner:
                raise NoSuchJobError(id)
            return _copy(job)

    def find(self, id: str) -> Job:
        """A copy, whoever's it is. Raises NoSuchJobError."""
        with self._lock:
            if id not in self._live:
                raise NoSuchJobError(id)
            return _copy(self._live[id])

    def next(self) -> Job | None:
        """A copy of the one that has been queued first."""
        with self._lock:
            queued = [job for job in self._live.values() if job.state == "queued"]
            return _copy(min(queued, key=lambda job: job.number)) if queued else None

    def list(self, owner: str | None = None) -> list[Job]:
        """Copies of one's own jobs, or of all, in the order they came."""
        with self._lock:
            mine = [_copy(job) for job in self._live.values() if owner is None or job.owner == owner]
        return sorted(mine, key=lambda job: job.number)

    def save(self, job: Job, *, durable: bool = True) -> None:
        """Take this as the job's state; on the disk too unless it is only progress. One that was removed stays so."""
        with self._lock:
            if job.id not in self._live:
                return
            self._live[job.id] = _copy(job)
            if durable:
                state = {name: getattr(job, name) for name in ("state", "stage", "seconds", "error", "lines")}
                state["files"] = [dataclasses.asdict(each) for each in job.files]
                write_atomically(self.folder / job.id / _STATE, json.dumps(state, indent=1))

    def remove(self, id: str, owner: str) -> None:
        """With all that it has. Raises NoSuchJobError."""
        with self._lock:
            self.get(id, owner)
            del self._live[id]
            # By another name first: a crash in the middle leaves nothing that looks like a job.
            gone = (self.folder / id).rename(self.folder / f"{PART}{id}")
        shutil.rmtree(gone, ignore_errors=True)

    def media(self, job: Job, index: int) -> Path:
        """The recording itself."""
        return self.folder / job.id / job.files[index].file

    def save_transcript(self, job: Job, index: int, transcript: Transcript) -> None:
        """As recognised. Raises OSError."""
        write_atomically(self._transcript(job.id, index), json.dumps(dataclasses.asdict(transcript)))

    def transcript(self, job: Job, index: int) -> Transcript | None:
        """As recognised; None: there is none yet."""
        try:
            return from_dict(json.loads(self._transcript(job.id, index).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def edits(self, job: Job) -> Edits:
        """What was changed since."""
        try:
            return Edits(**json.loads((self.folder / job.id / _EDITS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Edits()

    def edit(self, job: Job, index: int, kind: Literal["names", "texts"], which: str, new: str) -> None:
        """Note a speaker's new name, or a segment's new text."""
        with self._lock:
            edits = self.edits(job)
            getattr(edits, kind).setdefault(str(index), {})[which] = new
            write_atomically(self.folder / job.id / _EDITS, json.dumps(dataclasses.asdict(edits), indent=1))

    def save_memory(self, job: Job, curve: Any) -> None:
        """What app.web.curve has drawn."""
        write_atomically(self.folder / job.id / _MEMORY, json.dumps(curve))

    def memory(self, job: Job) -> Any:
        """What was saved; None where nothing was."""
        try:
            return json.loads((self.folder / job.id / _MEMORY).read_text())
        except FileNotFoundError:
            return None

    def _transcript(self, id: str, index: int) -> Path:
        return self.folder / id / f"{index:03}.json"

    def _read(self, folder: Path) -> Job:
        asked = json.loads((folder / _JOB).read_text(encoding="utf-8"))
        files = [Recording(**each) for each in asked["files"]]
        job = Job(folder.name, asked["owner"], asked["created"], Options.again(asked["options"]), files)
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return job
        files = [Recording(**each) for each in state.pop("files")]
        job = dataclasses.replace(job, **state, files=files)
        if job.state == "running":  # its server went away: what is finished is kept, the rest is done again
            job.state, job.stage = "queued", ""
            for each in files:
                each.state = "waiting" if each.state == "running" else each.state
        return job


def _copy(job: Job) -> Job:
    files = [dataclasses.replace(each, notes=list(each.notes)) for each in job.files]
    return dataclasses.replace(job, files=files, lines=list(job.lines))


def _label(name: str) -> str:
    """A person's name for a recording, without folders and control characters, short enough for a file's name."""
    last = re.split(r"[/\\]", name.encode(errors="replace").decode())[-1]
    shown = "".join(each if each.isprintable() else " " for each in last).strip()
    while len(shown.encode()) > 200:
        shown = shown[:-1]
    return shown or "recording"


def _suffix(name: str) -> str:
    """What tells a decoder how to read it, where its content does not; only one that we know."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""
