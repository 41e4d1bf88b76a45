from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from app.audio import SAMPLE_RATE, decode
from app.remote import at_hand
from app.stages import Report, Work

VERSION = 1
"""Goes up when the same recording would give other samples."""


class Decode:
    """File to waveform."""

    name = "decode"
    reads: tuple[str, ...] = ()
    at_once = 1

    def __init__(self, longest_s: float = math.inf) -> None:
        self._longest_s = longest_s

    def shape(self) -> dict[str, object]:
        return {"version": VERSION, "sample_rate": SAMPLE_RATE, "av": version("av")}

    def load(self, works: Sequence[Work] = ()) -> str:
        return ""

    def take_up(self, other: Any) -> bool:
        self._longest_s = other._longest_s
        return True

    def run(self, work: Work, report: Report) -> Work:
        with at_hand(str(work.path), work.say) as path:  # only now: what was finished before needs no download
            audio = decode(path, self._longest_s)
        notes = (*work.notes, *audio.notes)
        return dataclasses.replace(work, waveform=audio.waveform, duration=audio.duration, notes=notes)

    def release(self) -> None:
        pass

    def step_down(self, error: Exception) -> str | None:
        return None

    def pack(self, work: Work) -> Any:
        """Without the waveform: it is no JSON, and who keeps it at all keeps it as it is."""
        return {"duration": work.duration}

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, duration=data["duration"])
