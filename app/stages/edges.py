"""Words begin and end where their sound does.

The recogniser reads word times from its attention, which lets go of a word before it has faded, and may begin one in
the silence before it: by a quarter of a second, in the median, with the model base (docs/quality.md). What is loud and
what is not tells better, wherever there is a pause.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.audio import SAMPLE_RATE
from app.transcript import Word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RATE = 100
"""Frames a second: 10 ms each."""
FADED_DB = 30.0
"""A frame so far below the word's loudest is no longer the word."""
ABOVE_NOISE_DB = 6.0
"""Nor is one that is not so far above what is always there."""
REACH_S = 0.5
"""An edge is moved by no more."""
AROUND_S = 3.0
"""What is always there is measured from so long before the word to so long after it."""
QUIET = 10
"""Percentile of the frames around that counts as what is always there."""
LEAST_FRAMES = 2
"""Left of a word at least, when its beginning moves."""
PAUSE_FRAMES = 10
"""Shorter silence at the beginning of a word that follows on another is a consonant that opens: it stays."""


def to_sound(words: Sequence[Word], waveform: npt.NDArray[np.float32]) -> list[Word]:
    """The words, in order, each begun no earlier than its sound, and ended no earlier, as far as the next one lets it.

    A word that is drowned keeps its times. `waveform`: shape (samples,), 16 kHz.
    """
    import numpy as np

    levels = _levels(waveform)
    moved: list[Word] = []
    for number, word in enumerate(words):
        first, last = min(round(word.start * RATE), len(levels)), min(round(word.end * RATE), len(levels))
        nearby = levels[max(0, first - round(AROUND_S * RATE)) : last + round(AROUND_S * RATE)]
        own = levels[first : last + round(REACH_S * RATE / 2)]
        following = words[number + 1].start if number + 1 < len(words) else len(levels) / RATE
        noise = np.percentile(nearby, QUIET) + ABOVE_NOISE_DB if len(own) else 0.0
        if not len(own) or own.max() <= noise:
            moved.append(word)
            continue
        threshold = max(own.max() - FADED_DB, noise)
        end = last + _while(levels[last : round(min(following, word.end + REACH_S) * RATE)] > threshold)
        latest = min(last - LEAST_FRAMES, first + round(REACH_S * RATE), round(following * RATE))
        start = first + _while(levels[first:latest] <= threshold)
        follows_on = number > 0 and words[number - 1].end >= word.start
        if start >= latest or start - first < (PAUSE_FRAMES if follows_on else 1):
            start = first
        moved.append(
            dataclasses.replace(
                word,
                start=start / RATE if start > first else word.start,
                end=end / RATE if end > last else word.end,
            )
        )
    return moved


def _levels(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of each frame in dB below full scale: shape (frames,)."""
    import numpy as np

    size = SAMPLE_RATE // RATE
    frames = waveform[: len(waveform) // size * size].reshape(-1, size)
    power = np.einsum("ij,ij->i", frames, frames) / size  # makes no copy, of an hour 230 MB
    levels: npt.NDArray[np.float32] = 10 * np.log10(power + 1e-10)
    return levels


def _while(true: npt.NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    import numpy as np

    return len(true) if true.all() else int(np.argmin(true))
