"""Who said each word: turns laid over a transcript, and the names people give to the voices. Pure functions."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby

from app.stages import Turn
from app.transcript import Segment, Transcript, Word


def assign(transcript: Transcript, turns: Sequence[Turn]) -> Transcript:
    """Give every word the speaker of the turn it lies in, and split segments where the speaker changes.

    A word in several turns goes to the speaker of most of it, a word in none to the nearest turn. A segment without
    word times stays whole. Without turns the transcript stays as it is. Turns may come in any order, and must not
    overlap.
    """
    if not turns:
        return transcript
    timeline = _Timeline(turns)
    segments: list[Segment] = []
    for segment in transcript.segments:
        if segment.words:
            segments += _split(segment, [timeline.said(word) for word in segment.words])
        else:
            segments.append(dataclasses.replace(segment, speaker=timeline.speaker(segment.start, segment.end)))
    return dataclasses.replace(transcript, segments=tuple(segments))


def rename(transcript: Transcript, names: Sequence[str]) -> tuple[Transcript, str | None]:
    """Names for the speakers, in the order they first speak; and a line where their numbers differ."""
    found = speakers_in(transcript)
    new = dict(zip(found, names, strict=False))
    note = None
    if len(found) < len(names):
        unused = ", ".join(names[len(found) :])
        note = f"{_count(names, 'name')} for {_count(found, 'speaker')}: not used: {unused}"
    elif len(found) > len(names) > 0:
        note = (
            f"{_count(names, 'name')} for {_count(found, 'speaker')}: without a name: {', '.join(found[len(names) :])}"
        )
    segments = tuple(
        dataclasses.replace(
            segment,
            speaker=_renamed(segment.speaker, new),
            words=tuple(dataclasses.replace(word, speaker=_renamed(word.speaker, new)) for word in segment.words),
        )
        for segment in transcript.segments
    )
    return dataclasses.replace(transcript, segments=segments), note


def speakers_in(transcript: Transcript) -> list[str]:
    """In the order they first speak."""
    spoken = (word.speaker for segment in transcript.segments for word in (segment.words or (segment,)))
    return list(dict.fromkeys(speaker for speaker in spoken if speaker is not None))


def _renamed(speaker: str | None, new: dict[str, str]) -> str | None:
    return speaker if speaker is None else new.get(speaker, speaker)


def _count(things: Sequence[str], what: str) -> str:
    return f"{len(things)} {what}{'s' * (len(things) != 1)}"


class _Timeline:
    def __init__(self, turns: Iterable[Turn]) -> None:
        self._turns = sorted(turns, key=lambda turn: (turn.start, turn.end))
        self._starts = [turn.start for turn in self._turns]
        self._ends = [turn.end for turn in self._turns]

    def said(self, word: Word) -> Word:
        return dataclasses.replace(word, speaker=self.speaker(word.start, word.end))

    def speaker(self, start: float, end: float) -> str:
        first, after = bisect_right(self._ends, start), bisect_left(self._starts, end)
        shares: dict[str, float] = {}
        for turn in self._turns[first:after]:
            overlap = min(turn.end, end) - max(turn.start, start)
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + overlap
        if shares:
            return max(shares, key=shares.__getitem__)
        near = self._turns[max(0, min(first, after) - 1) : max(first, after) + 1]
        return min(near, key=lambda turn: max(turn.start - end, start - turn.end)).speaker


def _split(segment: Segment, words: list[Word]) -> list[Segment]:
    runs = [tuple(run) for _, run in groupby(words, key=lambda word: word.speaker)]
    if len(runs) == 1:
        return [dataclasses.replace(segment, words=runs[0], speaker=words[0].speaker)]
    bounds = [segment.start, *(run[0].start for run in runs[1:])]
    ends = [*(run[-1].end for run in runs[:-1]), segment.end]
    return [
        Segment(start, max(start, end), text, run, run[0].speaker)
        for start, end, text, run in zip(bounds, ends, _texts(segment.text, runs), runs, strict=True)
    ]


def _texts(text: str, runs: Sequence[Sequence[Word]]) -> list[str]:
    """The text cut before the first word of each run: not every script writes spaces between words."""
    cuts, at = [], 0
    for run in runs:
        for number, word in enumerate(run):
            found = text.find(word.word, at)
            if found < 0:
                return [" ".join(word.word for word in run) for run in runs]
            if number == 0:
                cuts.append(found)
            at = found + len(word.word)
    cuts[0] = 0
    return [text[start:end].strip() for start, end in zip(cuts, [*cuts[1:], None], strict=True)]
