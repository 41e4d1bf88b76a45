"""The steps from a file to its transcript. Each stage is one file, and owns its model and its heavy imports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.transcript import Transcript

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Report = Callable[[float, float], None]
"""Called with seconds of audio done, and seconds in all."""


@dataclass(frozen=True)
class Span:
    """A stretch of speech, in seconds from the start of the waveform."""

    start: float
    end: float


@dataclass(frozen=True)
class Work:
    """One input on its way through the stages; each stage returns it with its own part filled in."""

    path: Path
    waveform: npt.NDArray[np.float32] | None = None
    """Shape (samples,), mono, 16 kHz."""
    duration: float = 0.0
    notes: tuple[str, ...] = ()
    speech: tuple[Span, ...] = ()
    """From VAD, in order, each at most 30 s long."""
    transcript: Transcript | None = None


class Stage(Protocol):
    """One step. `load`, then `run` for each file, then `release`; a released stage can load again.

    `run` raises InputError where this one file is at fault, `load` raises UsageError where no file can be done.
    """

    name: str

    def load(self) -> str:
        """Make ready; returns what was chosen and loaded, in words, or "" where there is no model."""

    def run(self, work: Work, report: Report) -> Work:
        """Do the step for one input."""

    def release(self) -> None:
        """Drop the model; the caller gives the memory back."""
