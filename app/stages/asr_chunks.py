"""Which stretches of speech a recogniser gets together, and which of them it has to get again."""

from __future__ import annotations

from collections.abc import Iterable

from app.stages import Span
from app.stages.vad import LONGEST_SPAN_S
from app.transcript import Segment

LEAST_HEARD_S = 1.0
"""A second look at a chunk moves on by at least this much, so that it ends."""
MISSED_S = 1.5
"""Less speech than this, before the first word or after the last one, is that word's own and the padding of VAD."""


def merge_spans(spans: Iterable[Span], longest_s: float = LONGEST_SPAN_S) -> list[Span]:
    """Join neighbouring speech, silences between included, into chunks that fill Whisper's 30 s window.

    Silences stay in: cutting them out saves little, since every chunk is padded to 30 s, and costs true times.
    """
    chunks: list[Span] = []
    for span in spans:
        if chunks and span.end - chunks[-1].start <= longest_s:
            chunks[-1] = Span(chunks[-1].start, span.end)
        else:
            chunks.append(span)
    return chunks


def missed(chunk: Span, speech: Iterable[Span], heard: Span | None) -> list[Span]:
    """The beginning and the end of a chunk, where somebody spoke and its text (`heard`) does not reach.

    Without timestamps Whisper now and then begins its text in the middle of a chunk, or ends it there, mostly at a
    pause. Decoding the rest by itself takes much off the word error: docs/quality.md. A chunk without text is not
    asked again: it would say the same, for ever.
    """
    if heard is None:
        return []
    inside = [Span(max(span.start, chunk.start), min(span.end, chunk.end)) for span in speech]
    before = [Span(span.start, min(span.end, heard.start)) for span in inside if span.start < heard.start]
    after = [Span(max(span.start, heard.end), span.end) for span in inside if span.end > heard.end]
    found = []
    if _seconds(before) >= MISSED_S and heard.start <= chunk.end - LEAST_HEARD_S:
        found.append(Span(chunk.start, before[-1].end))
    if _seconds(after) >= MISSED_S and heard.end >= chunk.start + LEAST_HEARD_S:
        found.append(Span(after[0].start, chunk.end))
    return found


def _seconds(spans: Iterable[Span]) -> float:
    return sum(max(0.0, span.end - span.start) for span in spans)


def reach(chunk: Span, segments: Iterable[Segment]) -> Span | None:
    """From where to where the text of this chunk goes, in seconds; None where there is none."""
    words = [word for segment in segments for word in segment.words if word.start < chunk.end]
    if not words:
        return None
    return Span(max(words[0].start, chunk.start), max(min(word.end, chunk.end) for word in words))
