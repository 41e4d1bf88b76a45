"""Talks of several voices with exact turns, built from the studio prompts that Debian packages carry."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from app.audio import decode
from app.inputs import sample
from tests.app.sounds import ASTERISK, RATE, Waveform, prompts

FOUR_VOICES = ("en_US_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU")
"""Three women and a man: asterisk-core-sounds-{en,fr,it,ru}-g722."""
SPEECH_RMS = 0.06
"""Every turn's level over its frames of speech, so that no voice is told by its loudness."""
FRAME = RATE // 100
PAUSE_WITHIN_S = 0.3
"""A longer pause inside a prompt splits it: the reference counts only speech, as the sample's does."""
SHORTEST_PIECE_S, LONGEST_PIECE_S = 0.7, 6.0
LEAST_WORDS = 5
"""Of a prompt whose text is to be recognised."""

Part = Literal["tune", "test"]


@dataclass(frozen=True)
class Spoken:
    """A stretch of one voice, silence cut off at both ends."""

    start: float
    end: float
    voice: str


@dataclass(frozen=True)
class Talk:
    """A recording, and who speaks when: turns in order, none overlapping another, in seconds."""

    waveform: Waveform
    turns: tuple[Spoken, ...]

    @property
    def duration(self) -> float:
        return len(self.waveform) / RATE


@dataclass(frozen=True)
class Prompt:
    """A whole prompt in a talk: its voice, its text, and where it sounds, in seconds."""

    voice: str
    text: str
    speech: tuple[tuple[float, float], ...]
    """In order; what lies between are pauses of over PAUSE_WITHIN_S."""

    @property
    def start(self) -> float:
        return self.speech[0][0]

    @property
    def end(self) -> float:
        return self.speech[-1][1]


@dataclass(frozen=True)
class Reading:
    """A recording of whole prompts, in the order in which they begin."""

    waveform: Waveform
    prompts: tuple[Prompt, ...]

    @property
    def duration(self) -> float:
        return len(self.waveform) / RATE


def sample_turns() -> tuple[Spoken, ...]:
    """Who speaks when in the sample, by its own .rttm; two speak at once for 2 s of it."""
    fields = (line.split() for line in sample().with_suffix(".rttm").read_text().splitlines())
    return tuple(Spoken(float(at), float(at) + float(length), voice) for _, _, _, at, length, _, _, voice, *_ in fields)


def missing_voices(voices: Sequence[str] = FOUR_VOICES) -> list[str]:
    """Those whose packages are not installed."""
    return [voice for voice in voices if not (ASTERISK / voice).is_dir()]


def mix(voices: Sequence[str], seconds: float, seed: int, part: Part = "test") -> Talk:
    """At least so many seconds of these voices taking turns of 2-8 s, 0.3-0.8 s apart; no prompt comes twice.

    The same arguments give the same samples. The parts share no prompt. Every voice speaks before any speaks again.
    """
    chance = random.Random(f"{seed} {part}")
    supply = {voice: _supply(voice, part, chance) for voice in voices}
    sound = [np.zeros(RATE // 2, np.float32)]
    turns: list[Spoken] = []
    at = len(sound[0])
    last = ""
    while at < seconds * RATE:
        round_of = chance.sample(voices, len(voices))
        if len(voices) > 1 and round_of[0] == last:
            round_of.append(round_of.pop(0))
        last = round_of[-1]
        for voice in round_of:
            wanted = chance.uniform(2, 8)
            begin = at
            pieces: list[Waveform] = []
            while at - begin < wanted * RATE - RATE:
                piece = next(supply[voice])
                if pieces:
                    gap = int(chance.uniform(0.1, 0.25) * RATE)
                    pieces.append(np.zeros(gap, np.float32))
                    at += gap
                pieces.append(piece)
                at += len(piece)
            sound.extend(pieces)
            turns.append(Spoken(begin / RATE, at / RATE, voice))
            pause = int(chance.uniform(0.3, 0.8) * RATE)
            sound.append(np.zeros(pause, np.float32))
            at += pause
    waveform = np.concatenate(sound)
    # Digital silence is nothing a recording has: a noise floor at -66 dB.
    waveform += np.random.default_rng(seed).normal(0, 0.0005, len(waveform)).astype(np.float32)
    return Talk(waveform, tuple(turns))


def read_out(
    voices: Sequence[str],
    seconds: float,
    seed: int,
    *,
    turn_s: tuple[float, float] = (4, 12),
    between_s: tuple[float, float] = (0.3, 0.8),
) -> Reading:
    """At least so many seconds of these voices taking turns of whole prompts, 0.2-0.5 s between two of one turn.

    Where `between_s` is below zero, the next voice begins so much before the one before has ended. The same arguments
    give the same samples; no prompt comes twice.
    """
    chance = random.Random(f"{seed} read out")
    supply = {voice: list(_readable(voice)) for voice in voices}
    for left in supply.values():
        chance.shuffle(left)
    placed: list[tuple[int, Waveform]] = []
    said: list[Prompt] = []
    at = RATE // 2
    while at < seconds * RATE:
        order = chance.sample(voices, len(voices))
        if said and len(voices) > 1 and order[0] == said[-1].voice:
            order.append(order.pop(0))
        for voice in order:
            begin, wanted = at, chance.uniform(*turn_s)
            while at - begin < wanted * RATE / 2 or at - begin + len(supply[voice][-1][1]) < wanted * RATE:
                text, sound, runs = supply[voice].pop()
                at += int(chance.uniform(0.2, 0.5) * RATE) if at > begin else 0
                placed.append((at, sound))
                said.append(Prompt(voice, text, tuple(((at + a) / RATE, (at + b) / RATE) for a, b in runs)))
                at += len(sound)
            at += int(chance.uniform(*between_s) * RATE)
    end = max(begin + len(sound) for begin, sound in placed) + RATE // 2
    waveform = np.random.default_rng(seed).normal(0, 0.0005, end).astype(np.float32)
    for begin, sound in placed:
        waveform[begin : begin + len(sound)] += sound
    return Reading(waveform, tuple(said))


def _supply(voice: str, part: Part, chance: random.Random) -> Iterator[Waveform]:
    pieces = list(_pieces(voice, part))
    chance.shuffle(pieces)
    yield from pieces
    raise AssertionError(f"{voice} has no more prompts for {part}")


@cache
def _pieces(voice: str, part: Part) -> tuple[Waveform, ...]:
    """Prompts of this half, cut at their pauses into pieces of speech, all at one level."""
    paths = sorted(path for path in (ASTERISK / voice).iterdir() if path.suffix in (".g722", ".wav", ".gsm"))
    paths = [path for path in paths if path.stat().st_size]  # the Russian ones have empty files among them
    chosen = paths[::2] if part == "test" else paths[1::2]
    pieces = (piece for path in chosen for piece in _speech(path))
    return tuple(piece for piece in pieces if SHORTEST_PIECE_S <= len(piece) / RATE <= LONGEST_PIECE_S)


@cache
def _readable(voice: str) -> tuple[tuple[str, Waveform, tuple[tuple[int, int], ...]], ...]:
    """Of each prompt whose text is words alone: the text, its samples from the first sound to the last, and where in
    them it sounds.
    """
    found = []
    for text, path in prompts(voice[:2], voice):
        if (
            len(text.split()) < LEAST_WORDS
            or not text.isprintable()
            or any(c in "[]()<>:" or c.isdigit() for c in text)
        ):
            continue
        waveform = decode(path).waveform
        runs, gain = _loud(waveform)
        if runs:
            begin, end = runs[0][0], runs[-1][1]
            sound = (waveform[begin:end] * gain).astype(np.float32)
            found.append((text, sound, tuple((a - begin, b - begin) for a, b in runs)))
    return tuple(found)


def _speech(path: Path) -> Iterator[Waveform]:
    waveform = decode(path).waveform
    runs, gain = _loud(waveform)
    for begin, end in runs:
        yield (waveform[begin:end] * gain).astype(np.float32)


def _loud(waveform: Waveform) -> tuple[list[tuple[int, int]], float]:
    """Where it sounds, in samples, without pauses of over PAUSE_WITHIN_S; and what brings it to SPEECH_RMS."""
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
    rms = np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))
    if not rms.size or rms.max() < 0.01:
        return [], 1.0
    loud = np.flatnonzero(rms > rms.max() * 0.03)
    level = float(np.sqrt((rms[loud] ** 2).mean()))
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > PAUSE_WITHIN_S * 100) + 1)
    return [(int(run[0]) * FRAME, (int(run[-1]) + 1) * FRAME) for run in runs], SPEECH_RMS / level
