"""Speech of any length whose words are known, for the benchmarks here.

The packaged telephone talk (pyannote.audio's sample, 30 s, with its transcript), then Debian's English studio prompts
of seven words and more (asterisk-core-sounds-en, -en-g722; 500 s) with 0.6 s between them, over and over.
"""

from __future__ import annotations

import itertools
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.audio import SAMPLE_RATE, decode
from app.inputs import sample
from tests.app.sounds import Waveform, prompts, sample_reference

LEAST_WORDS = 7
PAUSE = np.zeros(int(0.6 * SAMPLE_RATE), np.float32)


def recording(path: Path, minutes: float) -> str:
    """Write a WAV of at least so many minutes, to the end of a prompt; returns what is said in it."""
    return _write(path, minutes * 60, itertools.cycle(itertools.chain([_telephone_talk()], _prompts())))


def recordings(folder: Path, number: int, seconds: float = 15.0) -> dict[Path, str]:
    """Write so many WAVs of at least so many seconds, no two alike, and what is said in each."""
    pieces = _prompts()
    return {path: _write(path, seconds, pieces) for path in (folder / f"{n:02d}.wav" for n in range(1, number + 1))}


def _write(path: Path, seconds: float, pieces: Iterator[tuple[str, Waveform]]) -> str:
    """Piece by piece: four hours of it are nothing to hold beside what is measured."""
    texts: list[str] = []
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        while file.tell() < seconds * SAMPLE_RATE:
            text, sound = next(pieces)
            texts.append(text)
            file.writeframes((np.concatenate([sound, PAUSE]) * 32767).astype("<i2").tobytes())
    return " ".join(texts)


def _telephone_talk() -> tuple[str, Waveform]:
    return sample_reference(), decode(sample()).waveform


def _prompts() -> Iterator[tuple[str, Waveform]]:
    """Without those whose text is not only words."""
    chosen = [
        (text, path)
        for text, path in prompts("en", "en_US_f_Allison")
        if len(text.split()) >= LEAST_WORDS
        and text.isprintable()
        and not any(c in "[]()<>" or c.isdigit() for c in text)
    ]
    if not chosen:
        raise SystemExit("Debian's asterisk-core-sounds-en and -en-g722 are not installed: scripts/test-audio")
    return ((text, decode(path).waveform) for text, path in chosen)
