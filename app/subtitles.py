"""A transcript set as subtitles: what stands on the screen together, in which lines, from when to when.

Which words share a cue is a shortest path over all places where one may end: what a cut there costs, what it costs to
run on over a pause or a sentence's end, and the time that a reader would lack. Each cue's lines are then laid out in
the same way. The bounds, and where they are from:

- 42 columns, 2 lines, 5/6 s to 7 s, 2 frames (at 24 a second) between two cues, shorter gaps than 0.5 s closed, and
  17 characters a second for adults in most languages (20 in English): Netflix's Timed Text Style Guides.
- no gap for a pause below a second: the BBC's Subtitle Guidelines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from app.text import columns, ends_clause, ends_sentence, may_part, plain, spaced
from app.transcript import PAUSE_S, Segment, Transcript

LONG_PAUSE_S = 1.0
"""No cue runs on over this."""
CLOSED_GAP_S = 0.5
"""A shorter gap between two cues only flickers: the first stays on until the second."""
SHORTEST_S = 0.1
"""What a cue gets where the recogniser puts several at the same instant."""

# What the path weighs. One cue is better than two (a cue costs more than half of what a full one does for being full),
# and full ones of the same size are better than one full and one short.
CUE = 0.6
FULL = 1.0
CUT = 2.0
"""Ends where nothing in the speech ends."""
RUN_ON = 1.0
"""Runs on over a sentence's end."""
LACK = 1.5
"""For each second that the reader would need more than there is."""
BREAK = 0.4
"""A line that ends where nothing ends, beside lines of different length."""


@dataclass(frozen=True)
class SubtitleStyle:
    """The bounds of a subtitle. Columns are characters, but 2 for a wide one of East Asia."""

    max_line_width: int = 42
    """In columns. A longer word stays whole, alone in its line."""
    max_lines: int = 2
    max_cps: float = 17.0
    """Columns a second. Where the speech is faster, the cue stays on into the pause that follows; text is never cut."""
    min_duration_s: float = 5 / 6
    max_duration_s: float = 7.0
    min_gap_s: float = 2 / 24


@dataclass(frozen=True)
class Cue:
    """What stands on the screen from `start` to `end`, in seconds of the input; of one speaker."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None = None

    @property
    def cps(self) -> float:
        """How fast it has to be read, in columns a second; a line's end counts for nothing."""
        return columns("".join(self.lines)) / (self.end - self.start)


class _Unit(NamedTuple):
    """What no line is broken in: a word with its punctuation, or one character of a script without spaces."""

    text: str
    start: float
    end: float
    speaker: str | None
    space: bool
    """One follows, unless a line ends here."""
    label: bool = False
    """Part of the speaker's name."""


def cues(transcript: Transcript, style: SubtitleStyle, *, named: bool = False) -> list[Cue]:
    """The whole text in cues that never overlap, in order, within the transcript's duration.

    No cue has two speakers. `named`: where a speaker's turn begins, the text begins with `Ann:`. A segment whose
    words have no times, or are not those of its text, is timed by the share of its characters.
    """
    units = _in_order(_labelled(_units(transcript)) if named else _units(transcript), transcript.duration)
    if not units:
        return []
    ends = [_strength(before, after) for before, after in pairwise(units)] + [math.inf]
    bounds = _best_path(units, ends, style, transcript.duration)
    times = _times([units[begin:end] for begin, end in bounds], style, transcript.duration)
    return [
        Cue(start, end, _lines(units[first:after], ends[first:after], style.max_line_width), units[first].speaker)
        for (first, after), (start, end) in zip(bounds, times, strict=True)
    ]


def too_fast(cues: Iterable[Cue], style: SubtitleStyle) -> int:
    """How many stay faster than the bound, because the speech is."""
    return sum(round(cue.cps, 2) > style.max_cps for cue in cues)


def _units(transcript: Transcript) -> list[_Unit]:
    units: list[_Unit] = []
    for segment in transcript.segments:
        of_segment = _of_segment(segment)
        if units and of_segment:
            units[-1] = units[-1]._replace(space=spaced(units[-1].text, of_segment[0].text))
        units += of_segment
    return units


def _of_segment(segment: Segment) -> list[_Unit]:
    text = plain(segment.text)
    timed = _timed(segment, text)
    units: list[_Unit] = []
    for (begin, start, end), (after, *_) in pairwise([*timed, (len(text), 0.0, 0.0)]):
        cuts = [begin, *(at for at in range(begin + 1, after) if may_part(text, at)), after]
        each = (end - start) / (after - begin)
        for first, last in pairwise(cuts):
            from_s, to_s = start + (first - begin) * each, start + (last - begin) * each
            piece = text[first:last]
            unit = _Unit(piece.rstrip(), from_s, to_s, segment.speaker, piece.endswith(" "))
            if units and not may_part(text, first):  # a number and its %, two words to the recogniser
                units[-1] = unit._replace(text=_text([units[-1], unit]), start=units[-1].start)
            else:
                units.append(unit)
    return units


def _timed(segment: Segment, text: str) -> list[tuple[int, float, float]]:
    """Where in the text something with a time of its own begins, and its start and end in seconds."""
    timed: list[tuple[int, float, float]] = []
    at = 0
    for word in segment.words:
        written = word.word.strip()
        found = text.find(written, at)
        if found < 0 or not written:
            timed = []
            break
        timed.append((found if timed else 0, word.start, word.end))
        at = found + len(written)
    return timed or ([(0, segment.start, segment.end)] if text else [])


def _labelled(units: list[_Unit]) -> list[_Unit]:
    labelled: list[_Unit] = []
    before: str | None = None
    for unit in units:
        if unit.speaker and unit.speaker != before:
            labelled += (
                _Unit(part, unit.start, unit.start, unit.speaker, True, label=True)
                for part in f"{unit.speaker}:".split()
            )
        before = unit.speaker
        labelled.append(unit)
    return labelled


def _in_order(units: list[_Unit], duration: float) -> list[_Unit]:
    """A recogniser's words may begin before the last one, or end after the recording."""
    ordered: list[_Unit] = []
    latest = 0.0
    for unit in units:
        latest = min(max(latest, unit.start), duration)
        ordered.append(unit._replace(start=latest, end=min(max(latest, unit.end), duration)))
    return ordered


def _strength(before: _Unit, after: _Unit) -> float:
    """How much ends between the two: 0 nothing, 1 a sentence; inf: a cue always ends here, -inf: none ever does."""
    pause = after.start - before.end
    if before.speaker != after.speaker or pause >= LONG_PAUSE_S:
        return math.inf
    if before.label:
        return -math.inf
    written = 1.0 if ends_sentence(before.text) else 0.6 if ends_clause(before.text) else 0.0
    return max(written, min(pause / PAUSE_S, 1.0))


def _best_path(
    units: Sequence[_Unit], ends: Sequence[float], style: SubtitleStyle, duration: float
) -> list[tuple[int, int]]:
    """The units of each cue, as first and one after the last. `ends`: how much ends after each unit."""
    count = len(units)
    widths = [columns(unit.text) for unit in units]
    starts = [*(unit.start for unit in units), duration]
    least = [0.0, *[math.inf] * count]
    came_from = [0] * (count + 1)
    for first in range(count):
        whole = line = run_on = 0.0
        lines = 1
        for last in range(first, count):
            space = last > first and units[last - 1].space
            whole += space + widths[last]
            line += space + widths[last]
            if last > first and line > style.max_line_width:
                lines, line = lines + 1, widths[last]
            too_much = lines > style.max_lines or units[last].end - starts[first] > style.max_duration_s
            if too_much and last > first and not units[last - 1].label:  # a name never stands alone
                break
            needed = max(style.min_duration_s, whole / style.max_cps)
            lack = max(0.0, needed - (starts[last + 1] - style.min_gap_s - starts[first]))
            cost = (
                least[first]
                + CUE
                + FULL * (whole / (style.max_lines * style.max_line_width)) ** 2
                + CUT * max(0.0, 1.0 - ends[last])
                + RUN_ON * run_on
                + LACK * lack
            )
            if cost < least[last + 1]:
                least[last + 1], came_from[last + 1] = cost, first
            if ends[last] == math.inf:
                break
            run_on += max(0.0, ends[last])
    bounds: list[tuple[int, int]] = []
    after = count
    while after:
        bounds.append((came_from[after], after))
        after = came_from[after]
    return bounds[::-1]


def _times(pieces: Sequence[Sequence[_Unit]], style: SubtitleStyle, duration: float) -> Iterator[tuple[float, float]]:
    """From the first word to the end of the last, or as long as it takes to read, if there is room before the next."""
    apart = min(SHORTEST_S, duration / len(pieces))
    starts = [pieces[0][0].start]
    for piece in pieces[1:]:
        starts.append(max(piece[0].start, starts[-1] + apart))
    starts.append(duration)
    for number in reversed(range(len(pieces))):
        starts[number] = min(starts[number], starts[number + 1] - apart)
    for piece, (start, following) in zip(pieces, pairwise(starts), strict=True):
        last = piece is pieces[-1]
        room = following if last else max(following - style.min_gap_s, (start + following) / 2)
        text = sum(columns(unit.text) + unit.space for unit in piece) - piece[-1].space
        end = max(piece[-1].end, start + style.min_duration_s, start + text / style.max_cps)
        if not last and room - end < CLOSED_GAP_S:
            end = room
        yield start, min(end, room, start + style.max_duration_s)


def _lines(units: Sequence[_Unit], ends: Sequence[float], limit: int) -> tuple[str, ...]:
    """As few lines as it takes, of like length, ending where something ends. `limit` in columns."""
    widths = [columns(unit.text) for unit in units]
    paths: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, (0,))}
    while len(units) not in paths:
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for first, (cost, breaks) in paths.items():
            width = 0
            for last in range(first, len(units)):
                width += widths[last] + (last > first and units[last - 1].space)
                if width > limit and last > first:
                    break
                end = BREAK * (1.0 - min(max(ends[last], 0.0), 1.0)) if last + 1 < len(units) else 0.0
                through = cost + (width / limit) ** 2 + end
                if last + 1 not in longer or through < longer[last + 1][0]:
                    longer[last + 1] = through, (*breaks, last + 1)
        paths = longer
    return tuple(_text(units[first:after]) for first, after in pairwise(paths[len(units)][1]))


def _text(units: Sequence[_Unit]) -> str:
    return "".join(f"{unit.text} " if unit.space else unit.text for unit in units).rstrip()
