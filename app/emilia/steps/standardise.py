"""Any recording to mono, 24 kHz, 16 bit, at Emilia's level; kept as FLAC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import decode
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings
from app.emilia.sound import to_int16, write
from app.emilia.steps import Item, Light, Share
from app.remote import at_hand

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

VERSION = 1
"""Goes up when the same recording would give other samples."""


class Standardise(Light):
    name = "standardise"

    def __init__(self, settings: EmiliaSettings) -> None:
        self._settings = settings

    def shape(self) -> Mapping[str, object]:
        each = self._settings
        return {
            "version": VERSION,
            "av": version("av"),
            "sample_rate": SAMPLE_RATE,
            "target_dbfs": each.target_dbfs,
            "gain_limit_db": each.gain_limit_db,
            "peak": each.peak,
        }

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        with at_hand(item.path) as path:
            audio = decode(path, sample_rate=SAMPLE_RATE)
        level, peak = loudness(audio.waveform)
        gain = gain_db(level, peak, self._settings)
        waveform = to_int16(audio.waveform, 10 ** (gain / 20))
        try:
            write(part, waveform, "flac")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return {
            "samples": len(waveform),
            "notes": list(audio.notes),
            "level_dbfs": None if level == -math.inf else round(level, 2),
            "gain_db": round(gain, 2),
        }


def loudness(waveform: npt.NDArray[np.float32]) -> tuple[float, float]:
    """RMS level and peak in dBFS, of full scale 1.0; -inf for digital silence."""
    import numpy as np

    if not len(waveform):
        return -math.inf, -math.inf
    mean = float(np.vdot(waveform, waveform)) / len(waveform)
    top = max(float(waveform.max()), -float(waveform.min()))
    return (10 * math.log10(mean) if mean > 0 else -math.inf), (20 * math.log10(top) if top > 0 else -math.inf)


def gain_db(level: float, peak: float, settings: EmiliaSettings) -> float:
    """What brings a recording of this level to the target, within the limits. Silence stays silence."""
    if level == -math.inf:
        return 0.0
    if settings.peak == "normalise":
        return -peak
    wanted = min(max(settings.target_dbfs - level, -settings.gain_limit_db), settings.gain_limit_db)
    return min(wanted, -peak)
