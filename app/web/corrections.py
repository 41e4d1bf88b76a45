"""A person's corrections laid over a transcript: new names, new texts, and times for the words that are new."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from itertools import pairwise

from app.text import may_part
from app.transcript import Segment, Transcript, Word


def corrected(transcript: Transcript, names: Mapping[str, str], texts: Mapping[str, str]) -> Transcript:
    """With these names by speaker, and these texts by segment, counted from "0". An empty text drops the segment."""
    segments = [
        _reworded(segment, texts[str(index)]) if str(index) in texts else segment
        for index, segment in enumerate(transcript.segments)
    ]
    return dataclasses.replace(
        transcript,
        segments=tuple(_renamed(segment, names) for segment in segments if segment.text.strip()),
    )


def _renamed(segment: Segment, names: Mapping[str, str]) -> Segment:
    def name(speaker: str | None) -> str | None:
        return names.get(speaker, speaker) if speaker else speaker

    words = tuple(dataclasses.replace(word, speaker=name(word.speaker)) for word in segment.words)
    return dataclasses.replace(segment, words=words, speaker=name(segment.speaker))


def _reworded(segment: Segment, text: str) -> Segment:
    """Words that are still there keep their times; those between two of them share out the time between them."""
    text = " ".join(text.split())
    if not segment.words:
        return dataclasses.replace(segment, text=text)
    # In a script without spaces what the recogniser calls a word is any piece of a sentence.
    old = [piece for word in segment.words for piece in _spread(_pieces(word.word), word)]
    new = _pieces(text)
    words: list[Word] = []
    for kind, begin, end, first, last in difflib.SequenceMatcher(
        None, [word.word for word in old], new, autojunk=False
    ).get_opcodes():
        there = old[begin:end]
        if kind == "equal":
            words += there
        elif last - first == len(there):
            words += [dataclasses.replace(word, word=each) for word, each in zip(there, new[first:last], strict=True)]
        elif last > first:
            start = there[0].start if there else words[-1].end if words else segment.start
            stop = there[-1].end if there else old[begin].start if begin < len(old) else segment.end
            # A person is sure of what he wrote.
            words += _spread(new[first:last], Word(start, max(start, stop), "", 1.0, segment.speaker))
    return dataclasses.replace(segment, text=text, words=tuple(words))


def _pieces(text: str) -> list[str]:
    """Words; of a script without spaces the smallest parts that a line may end after."""
    cuts = [0, *(at for at in range(1, len(text)) if text[at] != " " and may_part(text, at)), len(text)]
    return [text[begin:end].strip() for begin, end in pairwise(cuts) if text[begin:end].strip()]


def _spread(pieces: list[str], over: Word) -> list[Word]:
    """In the place of that word, each with the share of its time that it has of the letters."""
    if len(pieces) < 2:
        return [dataclasses.replace(over, word=piece) for piece in pieces]
    step = (over.end - over.start) / sum(map(len, pieces))
    placed, start = [], over.start
    for piece in pieces:
        stop = start + step * len(piece)
        placed.append(dataclasses.replace(over, start=round(start, 3), end=round(stop, 3), word=piece))
        start = stop
    return placed
