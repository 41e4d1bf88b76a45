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
class Heard:
    """What is known of one input while its chunks are decoded; all of it goes through a checkpoint."""

    language: str
    probability: float
    pending: list[Span]
    segments: list[Segment] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    """Where the text repeated itself and was decoded again, in seconds."""
    cut: list[float] = field(default_factory=list)
    """Where that did not help, and the repeats were cut."""
    batches: int = 0

    def notes(self) -> list[str]:
        """What the reader of the text must know of it."""
        return [
            f"the recogniser repeated itself, and {what}, at {_times(sorted(places))}"
            for what, places in (("was asked again", self.again), ("the repeats are cut", self.cut))
            if places
        ]


def keep(work: Work, heard: Heard, segments: list[Segment]) -> None:
    """One line of the checkpoint: the segments are this batch's, the rest is all of it."""
    if work.checkpoint:
        line = {
            "language": heard.language,
            "probability": heard.probability,
            "pending": [[chunk.start, chunk.end] for chunk in heard.pending],
            "again": heard.again,
            "cut": heard.cut,
            "segments": [dataclasses.asdict(segment) for segment in segments],
        }
        work.checkpoint.add(line)


def resume(work: Work) -> Heard | None:
    """What an interrupted run had heard; None where there was none."""
    lines = work.checkpoint.lines() if work.checkpoint else []
    if not lines:
        return None
    last = lines[-1]
    segments = [
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for line in lines
        for segment in line["segments"]
    ]
    pending = [Span(start, end) for start, end in last["pending"]]
    return Heard(
        last["language"], last["probability"], pending, segments, list(last["again"]), list(last["cut"]), len(lines)
    )


def _times(places: Sequence[float]) -> str:
    """`12.3 s, 42.0 s and 3 more places`."""
    shown = ", ".join(f"{place:.1f} s" for place in places[:MOST_PLACES])
    more = len(places) - MOST_PLACES
    return f"{shown} and {more} more place{'s' * (more > 1)}" if more > 0 else shown
