"""A person's corrections laid over a transcript: new names, new texts, and times for the words that are new."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

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
    old, new = [word.word for word in segment.words], text.split(" ") if text else []
    words: list[Word] = []
    for kind, begin, end, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        there = segment.words[begin:end]
        if kind == "equal":
            words += there
        elif last - first == len(there):
            words += [dataclasses.replace(word, word=each) for word, each in zip(there, new[first:last], strict=True)]
        elif last > first:
            start = there[0].start if there else words[-1].end if words else segment.start
            stop = there[-1].end if there else segment.words[begin].start if begin < len(old) else segment.end
            words += _spread(new[first:last], start, max(start, stop), segment.speaker)
    return dataclasses.replace(segment, text=text, words=tuple(words))


def _spread(words: list[str], start: float, end: float, speaker: str | None) -> list[Word]:
    """In the proportion of their letters. A person is sure of what he wrote: 1.0."""
    step = (end - start) / sum(map(len, words))
    placed = []
    for word in words:
        stop = start + step * len(word)
        placed.append(Word(round(start, 3), round(stop, 3), word, 1.0, speaker))
        start = stop
    return placed
