"""Stretches of time and words, against a reference. Pure; for scripts/emilia_quality.py."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import jiwer
import numpy as np

from tests.app.sounds import RATE, Waveform
from tests.app.voices import SPEECH_RMS

Stretch = tuple[float, float]
"""Begin and end, in seconds."""


def common(one: Stretch, other: Stretch) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def total(stretches: dict[str, list[Stretch]]) -> float:
    return sum(end - start for every in stretches.values() for start, end in every)


def united(stretches: Iterable[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def beyond(at: float, speech: Sequence[Stretch], *, first: bool) -> float:
    """Seconds from an edge to the speech it encloses; below zero: it lies in speech, so far from the nearer end."""
    place = bisect_right(speech, (at, float("inf"))) - 1
    if place >= 0 and at < speech[place][1]:
        return -min(at - speech[place][0], speech[place][1] - at)
    if first:
        return speech[place + 1][0] - at if place + 1 < len(speech) else 0.0
    return at - speech[place][1] if place >= 0 else 0.0


def sounds(waveform: Waveform, at: float) -> bool:
    """Whether the 50 ms before and those after are both above a tenth of the speech's level."""
    place, length = int(at * RATE), RATE // 20
    sides = (waveform[place - length : place], waveform[place : place + length])
    return all(len(side) and float(np.sqrt((side**2).mean())) > SPEECH_RMS / 10 for side in sides)


def fitting(prompts: Sequence[tuple[str, bool, bool]], heard: str) -> str:
    """The prompts' text; of each whose beginning or end is cut off, the words that fit best to what was heard."""
    texts = [text for text, _, _ in prompts]
    for place, (text, before, after) in enumerate(prompts):
        if before or after:
            words = text.split()
            starts = range(len(words) + 1) if before else [0]
            ends = range(len(words) + 1) if after else [len(words)]
            parts = [" ".join(words[start:end]) for start in starts for end in ends if start <= end]
            # Of equally good ones the longest: to leave words out must not hide that they were missed.
            texts[place] = min(
                parts,
                key=lambda part: (errors(joined([*texts[:place], part, *texts[place + 1 :]]), heard), -len(part)),
            )
    return joined(texts)


def joined(texts: Iterable[str]) -> str:
    return " ".join(text for text in texts if text)


def errors(reference: str, heard: str) -> int:
    """Words to be put in, taken out and replaced."""
    if not reference.split():
        return len(heard.split())
    found = jiwer.process_words(reference, heard)
    return int(found.substitutions + found.deletions + found.insertions)
