"""From who speaks when to the dataset's segments: cut, merge, drop. Pure; all times in samples of 24 kHz.

Cutting and merging as Emilia-Pipe does: a turn of up to 20 s passes, a longer one is split at its largest
silence until its parts do; then a part under 3 s joins the one before where it is near and of the same speaker; what
is still under 3 s is dropped. Two things we do otherwise: where several speak at once nobody's segment is
(`overlaps`), and speech of over 30 s without any silence is cut into equal parts, so that no short end is lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.emilia.reasons import OVERLAP, SEGMENT_SHORT, SILENCE
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings


@dataclass(frozen=True)
class Segment:
    """One speaker's stretch: samples from `start`, before `end`."""

    start: int
    end: int
    speaker: str

    @property
    def samples(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Dropped:
    """A stretch of a turn that is in no segment, and why."""

    start: int
    end: int
    reason: str

    @property
    def samples(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Segmentation:
    """What becomes of a recording's turns. Each sample of a turn is in one segment or one dropped stretch."""

    segments: tuple[Segment, ...]
    """In order, none overlapping another."""
    dropped: tuple[Dropped, ...]
    bridged: int
    """Samples of the segments that were in no turn: the pauses over which parts were merged."""


def samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def segment(
    turns: Iterable[Segment],
    overlaps: Iterable[tuple[int, int]],
    speech: Sequence[tuple[int, int]],
    duration: int,
    settings: EmiliaSettings,
) -> Segmentation:
    """The segments of a recording.

    `turns` as diarization gives them, one voice at a time; where two overlap all the same, the earlier goes on.
    `overlaps` are where several voices were heard, `speech` what VAD found, both in order.
    """
    dropped: list[Dropped] = []
    turns = _one_at_a_time(turns, duration)
    several: list[tuple[int, int]] = []
    if settings.overlaps == "drop":
        several = _united(overlaps, duration)
        turns, dropped = _without(turns, several)
    parts: list[Segment] = []
    for turn in turns:
        part, silences = cut(turn, speech, settings)
        parts += part
        dropped += silences
    merged = merge(parts, several, settings)
    shortest = samples(settings.shortest_s)
    kept = tuple(each for each in merged if each.samples >= shortest)
    # A silence that a turn was cut at has no account of its own where its sides were merged again.
    starts = [each.start for each in merged]
    dropped = [each for each in dropped if not _inside(each, merged, starts)]
    dropped += [Dropped(each.start, each.end, SEGMENT_SHORT) for each in merged if each.samples < shortest]
    rest = [each for each in dropped if each.reason != OVERLAP]  # those are no longer in `turns`
    bridged = _total(kept) + _total(rest) - _total(turns)
    return Segmentation(kept, tuple(sorted(dropped, key=lambda each: each.start)), bridged)


def cut(
    turn: Segment, speech: Sequence[tuple[int, int]], settings: EmiliaSettings
) -> tuple[list[Segment], list[Dropped]]:
    """A turn's parts, in order, none over `longest_s`, and the silences between them."""
    if turn.samples <= samples(min(settings.longest_turn_s, settings.longest_s)):
        return [turn], []
    silence = _largest_silence(turn, speech, samples(settings.shortest_s))
    if silence is None:
        return _parts(turn, samples(settings.longest_s), settings.unbroken), []
    start, end = silence
    before, silences_before = cut(Segment(turn.start, start, turn.speaker), speech, settings)
    after, silences_after = cut(Segment(end, turn.end, turn.speaker), speech, settings)
    return before + after, [*silences_before, Dropped(start, end, SILENCE), *silences_after]


def merge(parts: Sequence[Segment], barriers: Sequence[tuple[int, int]], settings: EmiliaSettings) -> list[Segment]:
    """Join each short part to the one before. No join passes a barrier, where others speak too."""
    begins = [start for start, _ in barriers]
    below, gap = samples(settings.merge_below_s), samples(settings.merge_gap_s)
    span, longest = samples(settings.merge_span_s), samples(settings.longest_s)
    merged: list[Segment] = []
    for part in parts:
        last = merged[-1] if merged else None
        if (
            last
            and last.speaker == part.speaker
            and part.samples < below
            and part.start - last.end < gap
            and part.end - last.start < span
            and part.end - last.start <= longest
            and bisect_left(begins, last.end) == bisect_left(begins, part.start)
        ):
            merged[-1] = Segment(last.start, part.end, last.speaker)
        else:
            merged.append(part)
    return merged


def _total(stretches: Iterable[Segment | Dropped]) -> int:
    return sum(each.samples for each in stretches)


def _one_at_a_time(turns: Iterable[Segment], duration: int) -> list[Segment]:
    single: list[Segment] = []
    at = 0
    for turn in sorted(turns, key=lambda each: (each.start, each.end, each.speaker)):
        start, end = max(turn.start, at), min(turn.end, duration)
        if start < end:
            single.append(Segment(start, end, turn.speaker))
            at = end
    return single


def _united(stretches: Iterable[tuple[int, int]], duration: int) -> list[tuple[int, int]]:
    united: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        start, end = max(start, 0), min(end, duration)
        if start >= end:
            continue
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _without(turns: Sequence[Segment], several: Sequence[tuple[int, int]]) -> tuple[list[Segment], list[Dropped]]:
    left: list[Segment] = []
    dropped: list[Dropped] = []
    for turn in turns:
        at = turn.start
        for start, end in several[max(0, bisect_left(several, (turn.start, 0)) - 1) :]:
            if start >= turn.end:
                break
            start, end = max(start, at), min(end, turn.end)
            if start >= end:
                continue
            if at < start:
                left.append(Segment(at, start, turn.speaker))
            dropped.append(Dropped(start, end, OVERLAP))
            at = end
        if at < turn.end:
            left.append(Segment(at, turn.end, turn.speaker))
    return left, dropped


def _largest_silence(turn: Segment, speech: Sequence[tuple[int, int]], shortest: int) -> tuple[int, int] | None:
    """Inside the turn, with speech on both sides; if possible such that neither side is too short to be kept."""
    at = max(0, bisect_left(speech, (turn.start, 0)) - 1)
    silences: list[tuple[int, int]] = []
    heard_to: int | None = None
    for start, end in speech[at:]:
        if start >= turn.end:
            break
        if end <= turn.start:
            continue
        if heard_to is not None and heard_to < start:
            silences.append((heard_to, start))
        heard_to = end if heard_to is None else max(heard_to, end)
    silences = [(start, end) for start, end in silences if turn.start < start and end < turn.end]
    fair = [each for each in silences if each[0] - turn.start >= shortest and turn.end - each[1] >= shortest]
    return max(fair or silences, key=lambda each: (each[1] - each[0], -each[0]), default=None)


def _parts(turn: Segment, longest: int, unbroken: str) -> list[Segment]:
    """None longer: equal, or as long as may be and a rest."""
    number = -(-turn.samples // longest)
    if unbroken == "equal":
        bounds = [turn.start + turn.samples * n // number for n in range(number + 1)]
    else:
        bounds = [min(turn.start + longest * n, turn.end) for n in range(number + 1)]
    return [Segment(start, end, turn.speaker) for start, end in pairwise(bounds)]


def _inside(stretch: Dropped, kept: Sequence[Segment], starts: Sequence[int]) -> bool:
    at = bisect_left(starts, stretch.end) - 1
    return at >= 0 and stretch.end <= kept[at].end and stretch.start >= kept[at].start
