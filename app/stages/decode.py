from __future__ import annotations

import dataclasses

from app.audio import decode
from app.stages import Report, Work


class Decode:
    """File to waveform."""

    name = "decode"

    def load(self) -> str:
        return ""

    def run(self, work: Work, report: Report) -> Work:
        audio = decode(work.path)
        return dataclasses.replace(work, waveform=audio.waveform, duration=audio.duration, notes=audio.notes)

    def release(self) -> None:
        pass
