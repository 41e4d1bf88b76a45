"""The steps from a file to its transcript. Each stage is one file, and owns its model and its heavy imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from app.remote import Location
from app.transcript import Transcript

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Report = Callable[[float, float], None]
"""Called with seconds of audio done, and seconds in all."""

LACKING = {"align": "the word times are the recogniser's own, not aligned", "diarize": "no speakers"}
"""The stages a transcript can do without, and what it says then."""


@dataclass(frozen=True)
class Span:
    """A stretch of speech, in seconds from the start of the waveform."""

    start: float
    end: float


@dataclass(frozen=True)
class Turn:
    """One speaker's stretch of speech, in seconds from the start of the waveform."""

    start: float
    end: float
    speaker: str
    """`SPEAKER_00` for the first who speaks, and so on."""


class Checkpoint(Protocol):
    """What a long stage has finished of one file; it outlives the process, however that ends."""

    def lines(self) -> list[Any]:
        """What an interrupted run left, in order: the arguments of `add`."""

    def add(self, data: Any) -> None:
        """Keep one more piece, JSON-able."""


def _silent(line: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Work:
    """One input on its way through the stages; each stage returns it with its own part filled in."""

    path: Location
    waveform: npt.NDArray[np.float32] | None = None
    """Shape (samples,), mono, 16 kHz. Not to be written to: it may be a file's mapping."""
    duration: float = 0.0
    notes: tuple[str, ...] = ()
    """What the reader of the transcript must know; a stage adds its own at the end."""
    speech: tuple[Span, ...] = ()
    """From VAD, in order, each at most 30 s long."""
    transcript: Transcript | None = None
    """From ASR; the later stages enrich it."""
    turns: tuple[Turn, ...] | None = None
    """From diarization, in order, none overlapping another. None: there was no diarization."""
    checkpoint: Checkpoint | None = None
    """For the stage that runs now."""
    say: Callable[[str], None] = _silent
    """Takes a line for the person at the terminal."""


class Stage(Protocol):
    """One step. `load`, then `run` for each file, then `release`; a released stage can load again.

    `run` raises InputError where this one file is at fault, `load` raises UsageError where no file can be done.
    """

    name: str
    reads: tuple[str, ...]
    """The stages whose results shape this one's: their keys are part of its key."""

    @property
    def at_once(self) -> int:
        """Files that `run` takes at once, from as many threads."""

    def shape(self) -> Mapping[str, object]:
        """All that shapes the result, JSON-able: options, the model's identity, a version of the stage's own."""

    def load(self, works: Sequence[Work] = ()) -> str:
        """Make ready; returns what was chosen and loaded, in words, or "" where there is no model.

        `works` are those that it is for, where no others will follow.
        """

    def take_up(self, other: Any) -> bool:
        """With the model that is loaded, do from here on what this one would, of the same name and not loaded, which
        another job asks for. False, and all is as it was, where it would load another model.
        """

    def run(self, work: Work, report: Report) -> Work:
        """Do the step for one input."""

    def release(self) -> None:
        """Drop the model; the caller gives the memory back."""

    def step_down(self, error: Exception) -> str | None:
        """After `run` or `load` ran out of a card's memory, or met a type the card can't do: choose the next cheaper
        way, for the next `load`. Returns it in words, `batch size 8 -> 4`; None at the bottom of the ladder.
        """

    def pack(self, work: Work) -> Any:
        """The part of the work that this stage filled in, JSON-able."""

    def unpack(self, work: Work, data: Any) -> Work:
        """The inverse: the work with that part filled in."""
