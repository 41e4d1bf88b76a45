from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.emilia.reasons import OVERLAP, SEGMENT_SHORT, SILENCE
from app.emilia.segments import Segment, Segmentation, samples, segment
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings

SETTINGS = EmiliaSettings()


def cut(
    *turns: tuple[float, float, str],
    speech: Iterable[tuple[float, float]] = (),
    overlaps: Iterable[tuple[float, float]] = (),
    duration: float = 600,
    settings: EmiliaSettings = SETTINGS,
) -> Segmentation:
    def both(stretches: Iterable[tuple[float, float]]) -> list[tuple[int, int]]:
        return [(samples(start), samples(end)) for start, end in stretches]

    spoken = [Segment(samples(start), samples(end), who) for start, end, who in turns]
    return segment(spoken, both(overlaps), both(speech), samples(duration), settings)


def kept(result: Segmentation) -> list[tuple[float, float, str]]:
    return [(each.start / SAMPLE_RATE, each.end / SAMPLE_RATE, each.speaker) for each in result.segments]


def lost(result: Segmentation) -> list[tuple[float, float, str]]:
    return [(each.start / SAMPLE_RATE, each.end / SAMPLE_RATE, each.reason) for each in result.dropped]


def test_a_turn_of_twenty_seconds_passes_whatever_silences_are_in_it() -> None:
    result = cut((0, 20, "A"), speech=[(0, 8), (12, 20)])

    assert kept(result) == [(0, 20, "A")]


def test_a_longer_turn_is_split_at_its_largest_silence_which_is_dropped() -> None:
    result = cut((0, 25, "A"), speech=[(0, 6), (6.5, 12), (13, 25)])

    assert kept(result) == [(0, 12, "A"), (13, 25, "A")]
    assert lost(result) == [(12, 13, SILENCE)]


def test_the_split_goes_on_until_every_part_is_short_enough() -> None:
    result = cut((0, 50, "A"), speech=[(0, 10), (10.5, 24), (25, 38), (38.4, 50)])

    assert kept(result) == [(0, 10, "A"), (10.5, 24, "A"), (25, 38, "A"), (38.4, 50, "A")]


def test_a_silence_that_would_leave_a_part_too_short_is_passed_over_where_there_is_another() -> None:
    result = cut((0, 25, "A"), speech=[(0, 1), (3, 12), (12.3, 25)])

    assert kept(result) == [(0, 12, "A"), (12.3, 25, "A")]


def test_speech_without_a_silence_passes_up_to_thirty_seconds_and_is_then_cut_into_equal_parts() -> None:
    assert kept(cut((0, 29, "A"), speech=[(0, 29)])) == [(0, 29, "A")]

    assert kept(cut((0, 31, "A"), speech=[(0, 31)])) == [(0, 15.5, "A"), (15.5, 31, "A")]


def test_a_silence_inside_of_a_short_part_is_counted_once() -> None:
    result = cut((0, 30, "A"), speech=[(0, 0.5), (1.5, 2), (2.8, 30)])

    ends = sorted((start, end) for start, end, *_ in [*kept(result), *lost(result)])
    assert all(one[1] <= other[0] for one, other in pairwise(ends)), ends


def test_the_original_leaves_a_rest_instead() -> None:
    compat = dataclasses.replace(SETTINGS, unbroken="rest")

    assert kept(cut((0, 70, "A"), settings=compat)) == [(0, 30, "A"), (30, 60, "A"), (60, 70, "A")]
    result = cut((0, 31, "A"), settings=compat)
    assert kept(result) == [(0, 30, "A")]
    assert lost(result) == [(30, 31, SEGMENT_SHORT)]


def test_a_short_part_joins_the_one_before_and_the_pause_comes_along() -> None:
    result = cut((0, 5, "A"), (6, 8, "A"))

    assert kept(result) == [(0, 8, "A")]
    assert result.bridged == samples(1)


def test_a_part_is_not_joined_over_a_long_pause_nor_to_another_speaker_nor_beyond_thirty_seconds() -> None:
    assert kept(cut((0, 5, "A"), (7, 9, "A"))) == [(0, 5, "A")]
    assert kept(cut((0, 5, "A"), (5.5, 7, "B"))) == [(0, 5, "A")]
    assert kept(cut((0, 5, "A"), (5.5, 7, "B"), (7.2, 8, "A"))) == [(0, 5, "A")]
    assert kept(cut((0, 28.5, "A"), (29, 30.5, "A"), speech=[(0, 28.5)])) == [(0, 28.5, "A")]


def test_a_part_of_three_seconds_stays_by_itself() -> None:
    assert kept(cut((0, 5, "A"), (5.5, 8.5, "A"))) == [(0, 5, "A"), (5.5, 8.5, "A")]


def test_what_stays_short_is_dropped_with_its_reason() -> None:
    result = cut((0, 2, "A"), (10, 12.9, "B"))

    assert kept(result) == []
    assert lost(result) == [(0, 2, SEGMENT_SHORT), (10, 12.9, SEGMENT_SHORT)]


def test_where_several_speak_nobodys_segment_is_and_none_is_joined_over_it() -> None:
    result = cut((0, 10, "A"), overlaps=[(5, 6), (5.5, 7.5)])

    assert kept(result) == [(0, 5, "A")]
    assert lost(result) == [(5, 7.5, OVERLAP), (7.5, 10, SEGMENT_SHORT)]


def test_overlaps_are_kept_where_the_settings_say_so() -> None:
    settings = dataclasses.replace(SETTINGS, overlaps="keep")

    assert kept(cut((0, 10, "A"), overlaps=[(5, 6)], settings=settings)) == [(0, 10, "A")]


def test_a_turn_that_runs_over_the_end_of_the_file_ends_there() -> None:
    assert kept(cut((0, 12, "A"), duration=10)) == [(0, 10, "A")]


def test_a_silence_that_was_merged_over_again_is_not_dropped() -> None:
    result = cut((0, 21, "A"), speech=[(0, 19), (19.5, 21)])

    assert kept(result) == [(0, 21, "A")]
    assert lost(result) == []


times = st.integers(0, samples(120))
stretches = st.lists(st.tuples(times, st.integers(1, samples(50))).map(lambda each: (each[0], each[0] + each[1])))
spoken = st.lists(
    st.builds(
        lambda start, length, who: Segment(start, start + length, who),
        times,
        st.integers(1, samples(50)),
        st.sampled_from("ABC"),
    )
)
settings = st.builds(
    EmiliaSettings,
    overlaps=st.sampled_from(("drop", "keep")),
    longest_turn_s=st.sampled_from((5.0, 20.0, 40.0)),
    merge_below_s=st.sampled_from((0.0, 3.0, 60.0)),
    merge_gap_s=st.sampled_from((0.0, 2.0, 60.0)),
    merge_span_s=st.sampled_from((0.0, 30.0, 100.0)),
)


@given(spoken, stretches, stretches.map(sorted), st.integers(0, samples(130)), settings)
def test_whatever_was_heard_the_segments_hold_to_the_rules(
    turns: list[Segment],
    overlaps: list[tuple[int, int]],
    speech: list[tuple[int, int]],
    duration: int,
    chosen: EmiliaSettings,
) -> None:
    result = segment(turns, overlaps, speech, duration, chosen)

    assert all(samples(3) <= each.samples <= samples(30) for each in result.segments)
    assert all(each.start >= 0 and each.end <= duration for each in result.segments)
    everything = sorted((each.start, each.end) for part in (result.segments, result.dropped) for each in part)
    assert all(end <= start for (_, end), (start, _) in pairwise(everything))
    assert all(each.samples > 0 for each in result.dropped)
    for each in result.segments:
        owners = {turn.speaker for turn in turns if turn.start < each.end and each.start < turn.end}
        assert each.speaker in owners
        if chosen.overlaps == "drop":
            assert not any(start < each.end and each.start < end for start, end in overlaps)


@given(spoken, stretches, stretches.map(sorted), settings)
def test_every_sample_of_a_turn_is_kept_or_dropped_once(
    turns: list[Segment], overlaps: list[tuple[int, int]], speech: list[tuple[int, int]], chosen: EmiliaSettings
) -> None:
    result = segment(turns, overlaps, speech, samples(120), chosen)

    covered: list[tuple[int, int]] = []
    for turn in sorted(turns, key=lambda each: each.start):
        start, end = max(turn.start, covered[-1][1] if covered else 0), min(turn.end, samples(120))
        if start < end:
            covered.append((start, end))
    total = sum(end - start for start, end in covered)
    assert sum(each.samples for each in result.segments) - result.bridged == total - sum(
        each.samples for each in result.dropped
    )
    assert result.bridged >= 0


apart = st.lists(st.tuples(st.integers(1, samples(4)), st.integers(1, samples(40)), st.sampled_from("AB")), max_size=12)


@given(apart, stretches.map(sorted))
def test_no_segment_holds_a_sample_of_another_speakers_turn(
    gaps: list[tuple[int, int, str]], speech: list[tuple[int, int]]
) -> None:
    at, turns = 0, []
    for gap, length, who in gaps:
        turns.append(Segment(at + gap, at + gap + length, who))
        at += gap + length

    for each in segment(turns, [], speech, at, SETTINGS).segments:
        assert {t.speaker for t in turns if t.start < each.end and each.start < t.end} == {each.speaker}
