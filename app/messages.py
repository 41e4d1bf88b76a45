"""What the front process and its worker tell each other: one JSON object a line, each a frozen dataclass here."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from app.transcript import Transcript, from_dict


@dataclass(frozen=True)
class Job:
    """All that a worker is told, once, at its start."""

    files: tuple[str, ...]
    """Absolute paths. The other messages name a file by its place in here."""
    model: str
    """Folder of a Whisper model in CTranslate2's layout."""
    asr: str
    """`faster-whisper` or `whisperx`."""
    vad: str
    """`silero` or `pyannote`."""
    device: str
    """`auto`, `cpu` or `cuda`."""
    compute_type: str
    """`auto` or one of CTranslate2's."""
    batch_size: int
    """Chunks of up to 30 s that are decoded together."""
    threads: int
    language: str | None
    """ISO 639-1 code; None: detect."""
    resident: bool
    """Keep every model for the whole job, instead of one at a time."""


@dataclass(frozen=True)
class Loaded:
    """A stage has its model. `what` is for people: `base on cpu, int8, 2 threads`."""

    stage: str
    what: str
    seconds: float


@dataclass(frozen=True)
class Started:
    stage: str
    file: int | None
    """None while the stage loads its model."""


@dataclass(frozen=True)
class Progress:
    done_s: float
    total_s: float


@dataclass(frozen=True)
class Finished:
    stage: str
    file: int
    seconds: float
    audio_s: float


@dataclass(frozen=True)
class Result:
    file: int
    transcript: Transcript


@dataclass(frozen=True)
class Failed:
    reason: str
    file: int | None
    """None: the job can't be done at all, on any file."""
    bug: bool = False
    """An error nobody foresaw: its traceback is in the log."""


Message = Loaded | Started | Progress | Finished | Result | Failed
_KINDS = {kind.__name__: kind for kind in (Loaded, Started, Progress, Finished, Result, Failed)}


def encode(message: Message | Job) -> str:
    """One line, newline included."""
    return json.dumps({"kind": type(message).__name__, **dataclasses.asdict(message)}) + "\n"


def decode(line: str) -> Message:
    """The inverse of encode for what a worker says."""
    data = json.loads(line)
    kind = _KINDS[data.pop("kind")]
    if kind is Result:
        return Result(data["file"], from_dict(data["transcript"]))
    message: Message = kind(**data)
    return message


def decode_job(line: str) -> Job:
    data = json.loads(line)
    del data["kind"]
    return Job(**{**data, "files": tuple(data["files"])})
