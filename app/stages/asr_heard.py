"""What a recogniser has of one input while it is under way, and how that outlives the process."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.stages import Span, Work
from app.transcript import Segment, Word

MOST_PLACES = 10
"""Places that a note names."""


@dataclass
class Piece:
    """What one call of the model gave: a line of the checkpoint."""

    chunks: list[Span]
    segments: list[Segment] = field(default_factory=list)
    missed: list[Span] = field(default_factory=list)
    """Where the text did not reach: to be decoded too."""
    again: list[float] = field(default_factory=list)
    """Where the text repeated itself and was decoded again, in seconds."""
    cut: list[float] = field(default_factory=list)
    """Where that did not help, and the repeats were cut."""


@dataclass
class Heard:
    """What is known of one input while its chunks are decoded."""

    language: str
    probability: float
    pending: list[Span]
    segments: list[Segment] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    batches: int = 0

    def add(self, piece: Piece) -> None:
        self.pending = piece.missed + [chunk for chunk in self.pending if chunk not in piece.chunks]
        self.segments += piece.segments
        self.again += piece.again
        self.cut += piece.cut
        self.batches += 1

    def notes(self) -> list[str]:
        """What the reader of the text must know of it."""
        return [
            f"the recogniser repeated itself, and {what}, at {_times(sorted(places))}"
            for what, places in (("was asked again", self.again), ("the repeats are cut", self.cut))
            if places
        ]


def keep(work: Work, heard: Heard, piece: Piece) -> None:
    """One line of the checkpoint."""
    if work.checkpoint:
        about = {"language": heard.language, "probability": heard.probability}
        work.checkpoint.add(about | dataclasses.asdict(piece))


def resume(work: Work, chunks: Sequence[Span]) -> Heard | None:
    """What an interrupted run had heard of these chunks; None where there was none."""
    lines = work.checkpoint.lines() if work.checkpoint else []
    if not lines:
        return None
    heard = Heard(lines[0]["language"], lines[0]["probability"], list(chunks))
    for line in lines:
        segments = [
            Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
            for segment in line["segments"]
        ]
        done, missed = ([Span(**span) for span in line[name]] for name in ("chunks", "missed"))
        heard.add(Piece(done, segments, missed, line["again"], line["cut"]))
    return heard


def _times(places: Sequence[float]) -> str:
    """`12.3 s, 42.0 s and 3 more places`."""
    shown = ", ".join(f"{place:.1f} s" for place in places[:MOST_PLACES])
    more = len(places) - MOST_PLACES
    return f"{shown} and {more} more place{'s' * (more > 1)}" if more > 0 else shown
