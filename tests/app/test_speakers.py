"""Turns over a transcript: by hand, and for any words and turns."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.speakers import assign, rename, speakers_in
from app.stages import Turn
from app.transcript import Segment, Transcript, Word

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


def word(text: str, start: float, end: float) -> Word:
    return Word(start, end, text, 0.9)


def transcript(*segments: Segment, language: str = "en") -> Transcript:
    base = Transcript(language, 1.0, 60.0, ())
    return dataclasses.replace(base, segments=segments)


def said(words: str, at: float = 0.0, each: float = 0.4, space: str = " ") -> Segment:
    """A segment of words of `each` seconds, one after the other; `|` between words is a gap of a second."""
    timed: list[Word] = []
    for part in words.split():
        if part == "|":
            at += 1.0
            continue
        timed.append(word(part, at, at + each))
        at += each
    text = space.join(w.word for w in timed)
    return Segment(timed[0].start, timed[-1].end, text, tuple(timed))


def spoken(result: Transcript) -> list[tuple[str | None, str]]:
    return [(segment.speaker, segment.text) for segment in result.segments]


def test_a_segment_of_one_voice_stays_whole() -> None:
    before = said("Good morning, all of you.")
    (after,) = assign(transcript(before), [Turn(0, 1.1, A), Turn(1.2, 9, A)]).segments
    assert after == dataclasses.replace(
        before, speaker=A, words=tuple(dataclasses.replace(w, speaker=A) for w in before.words)
    )


def test_a_segment_is_split_where_the_speaker_changes() -> None:
    result = assign(transcript(said("How are you? Fine, and you?")), [Turn(0, 1.2, A), Turn(1.2, 2.4, B)])
    assert spoken(result) == [(A, "How are you?"), (B, "Fine, and you?")]
    first, second = result.segments
    assert (first.start, first.end, second.start, second.end) == pytest.approx((0, 1.2, 1.2, 2.4))
    assert [w.speaker for w in first.words + second.words] == [A] * 3 + [B] * 3


def test_a_script_without_spaces_is_split_without_any() -> None:
    before = said("你好 我是 他", space="")
    result = assign(transcript(before, language="zh"), [Turn(0, 0.8, A), Turn(0.8, 1.2, B)])
    assert spoken(result) == [(A, "你好我是"), (B, "他")]


def test_a_word_goes_to_the_turn_of_most_of_it() -> None:
    result = assign(transcript(said("yes no", each=1.0)), [Turn(0, 1.4, A), Turn(1.4, 3, B)])
    assert spoken(result) == [(A, "yes"), (B, "no")]


def test_several_short_turns_of_one_voice_count_together() -> None:
    turns = [Turn(0, 0.3, A), Turn(0.3, 0.7, B), Turn(0.7, 1.0, A)]
    assert spoken(assign(transcript(said("hello", each=1.0)), turns)) == [(A, "hello")]


def test_a_word_outside_all_turns_goes_to_the_nearest() -> None:
    turns = [Turn(2, 3, A), Turn(10, 11, B)]
    for at, speaker in ((0.0, A), (4.0, A), (8.0, B), (50.0, B)):
        assert spoken(assign(transcript(said("hm", at)), turns)) == [(speaker, "hm")]


def test_a_word_of_no_length_has_a_speaker_too() -> None:
    turns = [Turn(0, 1, A), Turn(1.5, 2, B)]
    for at, speaker in ((0.5, A), (1.2, A), (1.4, B), (1.7, B), (2.5, B)):
        (segment,) = assign(transcript(Segment(at, at, "x", (word("x", at, at),))), turns).segments
        assert segment.speaker == speaker, at


def test_without_word_times_the_segment_goes_to_the_voice_of_most_of_it() -> None:
    result = assign(transcript(Segment(0, 10, "a b"), Segment(10, 12, "c")), [Turn(0, 4, A), Turn(4, 11, B)])
    assert spoken(result) == [(B, "a b"), (B, "c")]


def test_without_turns_nothing_changes() -> None:
    before = transcript(said("hello"))
    assert assign(before, ()) == before


def test_a_text_that_does_not_hold_its_words_still_comes_out_whole() -> None:
    before = dataclasses.replace(said("one two"), text="something else")
    assert spoken(assign(transcript(before), [Turn(0, 0.4, A), Turn(0.4, 1, B)])) == [(A, "one"), (B, "two")]


def three_voices() -> Transcript:
    turns = [Turn(0, 0.4, C), Turn(0.4, 0.8, A), Turn(5, 6, B)]
    return assign(transcript(said("one two"), said("three", 5.0)), turns)


def test_names_go_by_first_appearance_in_the_transcript() -> None:
    before = three_voices()
    assert speakers_in(before) == [C, A, B]
    after, note = rename(before, ("Ann", "Bob", "Cem"))
    assert note is None
    assert spoken(after) == [("Ann", "one"), ("Bob", "two"), ("Cem", "three")]
    assert [w.speaker for segment in after.segments for w in segment.words] == ["Ann", "Bob", "Cem"]


def test_too_few_and_too_many_names_are_said() -> None:
    after, note = rename(three_voices(), ("Ann", "Bob"))
    assert spoken(after) == [("Ann", "one"), ("Bob", "two"), (B, "three")]
    assert note == f"2 names for 3 speakers: without a name: {B}"
    after, note = rename(three_voices(), ("Ann", "Bob", "Cem", "Dana", "Eve"))
    assert note == "5 names for 3 speakers: not used: Dana, Eve"
    assert rename(transcript(said("hello")), ("Ann",))[1] == "1 name for 0 speakers: not used: Ann"
    assert rename(three_voices(), ()) == (three_voices(), None)


TIMES = st.floats(0, 60, allow_nan=False).map(lambda x: round(x, 2))
WORDS = st.text(st.characters(categories=["L"]), min_size=1, max_size=4)


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    bounds = sorted(draw(st.lists(TIMES, min_size=2, max_size=12, unique=True)))
    pairs = [pair for pair in pairwise(bounds) if draw(st.booleans())]
    return [Turn(start, end, draw(st.sampled_from((A, B, C)))) for start, end in pairs]


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    bounds = sorted(draw(st.lists(TIMES, min_size=2, max_size=12, unique=True)))
    words = tuple(word(draw(WORDS), *pair) for pair in pairwise(bounds))
    space = draw(st.sampled_from((" ", "")))
    return Segment(bounds[0], bounds[-1], space.join(w.word for w in words), words)


@given(segments(), turns())
def test_no_word_is_lost_and_the_order_stays(segment: Segment, timeline: list[Turn]) -> None:
    before = transcript(segment)
    after = assign(before, timeline)
    words = [w for piece in after.segments for w in piece.words]
    assert [dataclasses.replace(w, speaker=None) for w in words] == list(segment.words)
    assert "".join(after.text.split()) == "".join(segment.text.split())
    if timeline:
        assert {w.speaker for w in words} <= {turn.speaker for turn in timeline}
        for piece in after.segments:
            assert {w.speaker for w in piece.words} == {piece.speaker}
            assert segment.start <= piece.start <= piece.end <= segment.end
        for one, two in pairwise(after.segments):
            assert one.speaker != two.speaker
            assert one.end <= two.start
    assert assign(after, timeline) == after


@given(segments(), turns())
def test_a_word_inside_one_turn_is_its_speakers_whatever_else_happens(segment: Segment, timeline: list[Turn]) -> None:
    for piece in assign(transcript(segment), timeline).segments:
        for w in piece.words:
            inside = [turn for turn in timeline if turn.start <= w.start and w.end <= turn.end]
            if inside:
                assert w.speaker == inside[0].speaker
