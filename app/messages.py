"""What the front process and its worker tell each other: jobs, pickled; and back one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, get_args

from app.settings import BEAM_SIZE
from app.stages.diarize import Speakers
from app.transcript import Transcript, from_dict

if TYPE_CHECKING:
    from app.models.aligners import Aligner
    from app.models.speakers import Diarizer


class Task(Protocol):
    """What a worker can be given: pickled, so its class is a module's own."""

    @property
    def device(self) -> str:
        """`auto`, `cpu` or `cuda`."""


@dataclass(frozen=True)
class Job:
    """All that a worker is told of what to do."""

    files: tuple[str, ...]
    """Absolute paths. The other messages name a file by its place in here. None: only the models are loaded."""
    model: str
    """Folder of a Whisper model in CTranslate2's layout."""
    model_name: str
    """As it was asked for."""
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
    """Keep every model for the whole job, and those that follow, instead of one at a time."""
    task: str = "transcribe"
    """Or `translate`: to English."""
    beam_size: int = BEAM_SIZE
    prompt: str | None = None
    hotwords: str | None = None
    aligner: Aligner | None = None
    """None: the words keep the recogniser's own times."""
    diarizer: Diarizer | None = None
    """None: nobody asked who speaks."""
    speakers: Speakers = field(default_factory=Speakers)
    names: tuple[str, ...] = ()
    """For the speakers, in the order they first speak."""
    jobs: int | None = None
    """Files that are recognised at once, by one model; None: as many as suit the device."""
    longest_s: float = math.inf
    """Of sound in one file; a longer one is not done."""
    artefacts: str = "artefacts"
    """The state folder of what its stages finish."""
    one_by_one: bool = False
    """Have one file at a time in hand, and decode none beside it: after a death that any of several may have caused."""
    given_up: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """For a file the stages that are not tried again, and why."""
    notes: tuple[str, ...] = ()
    """For every transcript's reader: what was asked for and is not to be had."""


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
    stage: str
    file: int
    done_s: float
    total_s: float


@dataclass(frozen=True)
class Finished:
    stage: str
    file: int
    began: float
    """By the monotonic clock, which all processes of a machine share."""
    seconds: float
    audio_s: float


@dataclass(frozen=True)
class Broken:
    """What a `Started` began is over and gave nothing: it failed, and another message says what comes of it."""

    stage: str
    file: int | None


@dataclass(frozen=True)
class Released:
    """A stage's model is gone, and its memory given back."""

    stage: str


@dataclass(frozen=True)
class Reused:
    """Stages that an earlier run had finished for this file."""

    stages: tuple[str, ...]
    file: int


@dataclass(frozen=True)
class Result:
    file: int
    transcript: Transcript
    final: bool
    """False: stages that will enrich it are still to come."""


@dataclass(frozen=True)
class Noted:
    """Something the person should know; the work goes on."""

    text: str
    file: int | None
    bug: bool = False
    """Something failed that should not have; its traceback is in the log, and the exit code tells."""


@dataclass(frozen=True)
class Failed:
    reason: str
    file: int | None
    """None: the job can't be done at all, on any file."""
    bug: bool = False
    """An error nobody foresaw: its traceback is in the log."""


@dataclass(frozen=True)
class Idle:
    """The job is over; the worker waits for another, or for the end of its stdin."""


Message = Loaded | Started | Progress | Finished | Broken | Released | Reused | Result | Noted | Failed | Idle
_KINDS = {kind.__name__: kind for kind in get_args(Message)}


def encode(message: Message) -> str:
    """One line, newline included."""
    return json.dumps({"kind": type(message).__name__, **dataclasses.asdict(message)}) + "\n"


def decode(line: str) -> Message:
    """The inverse of encode for what a worker says."""
    data = json.loads(line)
    kind = _KINDS[data.pop("kind")]
    if kind is Result:
        return Result(data["file"], from_dict(data["transcript"]), data["final"])
    if kind is Reused:
        return Reused(tuple(data["stages"]), data["file"])
    message: Message = kind(**data)
    return message
