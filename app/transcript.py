"""What was said, when: the one thing that all stages enrich and all writers read. Times in seconds of the input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

SENTENCE_END = (".", "?", "!", "…", "。", "？", "！")
PAUSE_S = 0.8
"""A silence between two words that ends a segment: longer than the stops inside a spoken sentence."""
LONGEST_SEGMENT_S = 12.0
"""Beyond this a segment ends at the next word, though no sentence did: what a subtitle can still carry."""


@dataclass(frozen=True)
class Word:
    """One word as written, punctuation included."""

    start: float
    end: float
    word: str
    score: float
    """The model's probability of the word, 0 to 1."""
    speaker: str | None = None
    """None: not asked for, or nobody's."""


@dataclass(frozen=True)
class Segment:
    """A sentence or a part of one."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    speaker: str | None = None

    @property
    def said(self) -> str:
        """`Ann: Hello.`, or the text alone where nobody is known to say it."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


@dataclass(frozen=True)
class Recognition:
    """How a text was made: what was really used, after all that was `auto`, and all that had to be given up."""

    engine: str
    """`faster-whisper` or `whisperx`."""
    model: str
    """Its name, or its folder."""
    task: str
    """`transcribe`, or `translate`: then the text is English whatever was spoken."""
    device: str
    """`cpu` or `cuda`."""
    compute_type: str
    batch_size: int
    """Chunks of up to 30 s that were decoded together, at most."""
    batches: int
    """How many times the model was called for that."""
    threads: int
    """On the processor."""


@dataclass(frozen=True)
class Transcript:
    """A whole input. No segments: nobody speaks."""

    language: str | None
    """ISO 639-1 code, or None where there is no speech to tell it by."""
    language_probability: float | None
    """1.0 where the language was given, not detected."""
    duration: float
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()
    """What the reader must know of this transcript: damage in the input, what is missing and why."""
    asr: Recognition | None = None
    """None: nobody speaks, so nothing was recognised; or it was written before this was kept."""

    @property
    def text(self) -> str:
        return "".join(f"{segment.text}\n" for segment in self.segments)


def from_dict(data: dict[str, Any]) -> Transcript:
    """The inverse of dataclasses.asdict, after a trip through JSON."""
    segments = tuple(
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for segment in data["segments"]
    )
    asr = Recognition(**data["asr"]) if data.get("asr") else None
    return Transcript(**{**data, "segments": segments, "notes": tuple(data["notes"]), "asr": asr})


def split_at_sentences(segment: Segment) -> list[Segment]:
    """Split one chunk of the recogniser, up to 30 s long, after sentences, at pauses and when it grows too long.

    A segment without word times stays whole: nothing tells where its sentences begin.
    """
    pieces: list[list[Word]] = []
    for word in segment.words:
        if pieces and not _ends(pieces[-1], word):
            pieces[-1].append(word)
        else:
            pieces.append([word])
    if not pieces:
        return [dataclasses.replace(segment, text=segment.text.strip())]
    return [_from_words(piece) for piece in pieces]


def _from_words(words: list[Word]) -> Segment:
    """Recognisers put the space between two words before the second: it belongs to the text, not to the word."""
    text = "".join(word.word for word in words).strip()
    stripped = tuple(dataclasses.replace(word, word=word.word.strip()) for word in words)
    return Segment(words[0].start, words[-1].end, text, stripped)


def _ends(piece: list[Word], following: Word) -> bool:
    last = piece[-1]
    return (
        last.word.rstrip("\"')»”").endswith(SENTENCE_END)
        or following.start - last.end >= PAUSE_S
        or following.end - piece[0].start > LONGEST_SEGMENT_S
    )
