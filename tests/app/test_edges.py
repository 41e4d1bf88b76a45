"""Words move to their sound, as far as there is a pause."""

from __future__ import annotations

import numpy as np
import pytest

from app.stages.edges import to_sound
from app.transcript import Word
from tests.app.sounds import RATE, Waveform

NOISE = (0.003 * np.random.default_rng(0).standard_normal(6 * RATE)).astype(np.float32)


def sounds(*stretches: tuple[float, float], noise: float = 1.0) -> Waveform:
    """6 s of noise with a tone, 40 dB louder, in these stretches."""
    time = np.arange(6 * RATE) / RATE
    waveform = noise * NOISE
    for start, end in stretches:
        waveform = waveform + np.where((time >= start) & (time < end), 0.4 * np.sin(2 * np.pi * 300 * time), 0)
    return waveform.astype(np.float32)


def times(waveform: Waveform, *words: tuple[float, float]) -> list[tuple[float, float]]:
    moved = to_sound([Word(start, end, "a", 0.5) for start, end in words], waveform)
    return [(round(word.start, 2), round(word.end, 2)) for word in moved]


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize(
    ("stretches", "words", "expected"),
    [
        # Begun in the silence before, let go of before the sound ends.
        ([(1.0, 1.8)], [(0.8, 1.5)], [(1.0, 1.8)]),
        # Right already, or inside its sound: a beginning never moves back, an end never either.
        ([(1.0, 1.8)], [(1.0, 1.8)], [(1.0, 1.8)]),
        ([(1.0, 1.8)], [(1.2, 2.1)], [(1.2, 2.1)]),
        # Not into the next word, and not across a pause.
        ([(1.0, 2.0)], [(1.0, 1.3), (1.5, 2.0)], [(1.0, 1.5), (1.5, 2.0)]),
        ([(1.0, 1.5), (1.6, 2.0)], [(1.0, 1.3), (1.65, 2.0)], [(1.0, 1.5), (1.65, 2.0)]),
        # Of two that follow on each other the second waits for its sound; a short closure is its own.
        ([(1.0, 1.3), (1.7, 2.2)], [(1.0, 1.3), (1.3, 2.2)], [(1.0, 1.3), (1.7, 2.2)]),
        ([(1.0, 1.3), (1.35, 2.2)], [(1.0, 1.3), (1.3, 2.2)], [(1.0, 1.3), (1.3, 2.2)]),
        # Half a second at most.
        ([(1.0, 3.0)], [(1.0, 1.3)], [(1.0, 1.8)]),
        ([(2.0, 3.0)], [(1.0, 3.0)], [(1.0, 3.0)]),
        # No length at all, where the sound is.
        ([(1.0, 1.4)], [(1.0, 1.0)], [(1.0, 1.4)]),
        # Beyond the end of the recording.
        ([(5.5, 6.0)], [(5.5, 5.8), (6.2, 6.4)], [(5.5, 6.0), (6.2, 6.4)]),
    ],
)
def test_edges(
    stretches: list[tuple[float, float]],
    words: list[tuple[float, float]],
    expected: list[tuple[float, float]],
    noise: float,
) -> None:
    assert times(sounds(*stretches, noise=noise), *words) == [pytest.approx(pair, abs=0.011) for pair in expected]


def test_a_drowned_word_stays() -> None:
    assert times(np.zeros(6 * RATE, np.float32), (1.0, 1.5), (2.0, 2.0)) == [(1.0, 1.5), (2.0, 2.0)]
    assert times(NOISE, (1.0, 1.5)) == [(1.0, 1.5)]
    assert times(np.zeros(0, np.float32), (1.0, 1.5)) == [(1.0, 1.5)]
