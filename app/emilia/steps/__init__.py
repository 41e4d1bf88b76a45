"""The steps that hear or write sound, each with its model. One file each; heavy imports are inside `load` and `run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

STEPS = ("standardise", "separate", "diarize", "vad", "asr", "score", "export")
"""In order. Between vad and asr the turns are cut, before export the corpus is filtered: both without a model."""

Share = Callable[[float], None]
"""Called with the share of a recording that is done, 0 to 1."""


@dataclass(frozen=True)
class Item:
    """One recording, for one step."""

    id: str
    path: str
    """The recording as it was found."""
    key: str
    """The result's."""
    audio: str = ""
    """The standardised recording, or its voices: FLAC, 24 kHz, mono. Empty where there is none yet."""
    given: Any = None
    """What else the step needs, JSON-able."""
    seconds: float = 0.0
    """Of audio; 0: not known yet."""
    size: int = 0
    """Bytes of the recording, where its seconds are not known."""

    @property
    def weight(self) -> float:
        """What it will take, beside others of the same step: seconds of audio, or bytes."""
        return self.seconds or float(self.size) or 1.0


class Step(Protocol):
    """`load`, then `run` for each recording, then `release`."""

    name: str

    def shape(self) -> Mapping[str, object]:
        """All that shapes the result beside what it is made from, JSON-able."""

    def load(self) -> str:
        """Make ready; returns what was loaded, in words, "" where there is no model. Raises UsageError."""

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        """The result, JSON-able. One that has sound writes `part` and renames it to `target`.

        Raises InputError where the recording itself is at fault.
        """

    def step_down(self, error: Exception) -> str | None:
        """After running out of a card's memory: a cheaper way for the next `load`, in words; None: there is none."""

    def release(self) -> None:
        """Drop the model."""


class Light:
    """What steps without a model have in common."""

    def load(self) -> str:
        return ""

    def step_down(self, error: Exception) -> str | None:
        return None

    def release(self) -> None:
        pass
