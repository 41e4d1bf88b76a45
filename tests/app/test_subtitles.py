"""Subtitles: by hand, and for any transcript."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.subtitles import LONG_PAUSE_S, SHORTEST_S, Cue, SubtitleStyle, cues, too_fast
from app.text import columns
from app.transcript import Segment, Transcript, Word
from tests.app.talks import said, transcript, transcripts

STYLE = SubtitleStyle()


def lines(*segments: Segment, style: SubtitleStyle = STYLE, named: bool = False) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(transcript(*segments), style, named=named)]


def times(*segments: Segment, style: SubtitleStyle = STYLE, duration: float = 600.0) -> list[tuple[float, float]]:
    return [(round(cue.start, 3), round(cue.end, 3)) for cue in cues(transcript(*segments, duration=duration), style)]


def test_a_short_sentence_is_one_line() -> None:
    assert lines(said("Well, there is not much difference.")) == [("Well, there is not much difference.",)]


def test_two_lines_are_of_like_length() -> None:
    assert lines(said("They all come from the same small town in the north of it.", each=0.3)) == [
        ("They all come from the same", "small town in the north of it.")
    ]


def test_a_line_ends_with_a_clause() -> None:
    assert lines(said("At least, you know, they all call me a Yankee down here.", each=0.3)) == [
        ("At least, you know,", "they all call me a Yankee down here.")
    ]


def test_no_word_is_left_alone() -> None:
    """Two full lines would hold all but the last word."""
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fif"
    first, second = lines(said(text, each=0.3))
    assert len(" ".join(first).split()) in (8, 9)
    assert len(" ".join(second).split()) in (6, 7)


def test_a_cue_ends_with_a_sentence_before_it_is_full() -> None:
    text = "We went there on a Monday in the spring. It was raining all the way down to the coast, and cold."
    assert lines(said(text)) == [
        ("We went there on a Monday in the spring.",),
        ("It was raining all the way", "down to the coast, and cold."),
    ]


def test_a_cue_ends_with_a_clause_if_no_sentence_ends() -> None:
    text = "whoever goes to that old house by the sea at night, takes a light with him and does not look back even once"
    first, second = lines(said(text, each=0.3))
    assert first[-1].endswith("night,")
    assert second[0].startswith("takes")


def test_a_cue_ends_at_a_pause_if_nothing_else_ends() -> None:
    text = "whoever goes to that old house by the sea ' ' takes a light with him and does not look back at it even so"
    first, second = lines(said(text, each=0.3))
    assert first[-1].endswith("sea")
    assert second[0].startswith("takes")
    first, second = lines(said(text.replace("'", ""), each=0.3))
    assert not first[-1].endswith("sea")


def test_no_cue_runs_on_over_a_long_pause() -> None:
    assert lines(said("So | yes")) == [("So",), ("yes",)]
    short = SubtitleStyle(min_duration_s=4)  # both lack time, and would lack less together
    assert lines(said("So | yes | I do"), style=short) == [("So",), ("yes",), ("I do",)]


def test_short_sentences_share_a_cue_when_none_could_be_read_alone() -> None:
    assert lines(said("Yes. No. Why?", each=0.3)) == [("Yes. No. Why?",)]
    assert lines(said("Yes. No. Why?", each=0.9)) == [("Yes.",), ("No.",), ("Why?",)]


def test_speakers_never_share_a_cue() -> None:
    assert lines(said("Yes.", speaker="Ann"), said("No.", 0.4, speaker="Bob")) == [("Yes.",), ("No.",)]


def test_a_name_stands_where_its_turn_begins() -> None:
    talk = (
        said("Are you there?", 0, speaker="Ann"),
        said("It is me.", 8, speaker="Ann"),
        said("Yes.", 12, speaker="Dr. Bo"),
        said("Who?", 15),
        said("Me.", 18, speaker="Dr. Bo"),
    )
    named = [cue.lines for cue in cues(transcript(*talk), STYLE, named=True)]
    assert named == [("Ann: Are you there?",), ("It is me.",), ("Dr. Bo: Yes.",), ("Who?",), ("Dr. Bo: Me.",)]


def test_a_name_counts_for_the_width_and_never_stands_alone() -> None:
    style = SubtitleStyle(max_line_width=20)
    assert lines(said("is everybody there?", speaker="SPEAKER_00"), style=style, named=True) == [
        ("SPEAKER_00: is", "everybody there?")
    ]
    assert lines(said("unbelievable", speaker="Ann Lee"), style=SubtitleStyle(12), named=True) == [
        ("Ann Lee:", "unbelievable")
    ]
    narrow = SubtitleStyle(max_line_width=10, max_lines=1)
    assert lines(said("unbelievably good", speaker="Dr. Bo"), style=narrow, named=True) == [
        ("Dr. Bo:", "unbelievably"),
        ("good",),
    ]
    assert lines(said("o" * 60, speaker="Dr. Bo"), style=narrow, named=True) == [("Dr. Bo:", "o" * 60)]


def test_a_word_wider_than_the_line_stays_whole() -> None:
    word = "Donaudampfschifffahrtsgesellschaft"
    style = SubtitleStyle(max_line_width=12)
    assert lines(said(f"die {word} von Wien", each=1.5), style=style) == [("die", word), ("von Wien",)]
    assert lines(said(f"{word} von Wien"), style=style) == [(word, "von Wien")]


def test_one_line_where_one_is_asked_for() -> None:
    style = SubtitleStyle(max_line_width=20, max_lines=1)
    assert lines(said("They all come from the same small town"), style=style) == [
        ("They all come from",),
        ("the same small town",),
    ]


def test_segments_run_on_in_one_cue_where_no_sentence_ended() -> None:
    assert lines(said("this is where"), said("they cut it", 1.2)) == [("this is where they cut it",)]


@pytest.mark.parametrize("space", ["", " "])
def test_the_text_says_how_words_are_joined(space: str) -> None:
    assert lines(said("私は 行く。", space=space)) == [(f"私は{space}行く。",)]


def test_han_needs_no_space_between_sentences_and_hangul_does() -> None:
    assert lines(said("行く。", each=0.2), said("来る。", 0.2, each=0.2)) == [("行く。来る。",)]
    assert lines(said("그래", each=0.2), said("가자", 0.2, each=0.2)) == [("그래 가자",)]


def test_a_wide_character_takes_two_columns() -> None:
    (cue,) = cues(transcript(said(" ".join("我们今天一起去山上看日出"), space="")), SubtitleStyle(max_line_width=12))
    assert cue.lines == ("我们今天一起", "去山上看日出")


def test_no_line_begins_with_what_closes_or_ends_with_what_opens() -> None:
    """Timed as a whole, so that only the script says where a line may end."""
    text = "「はい」と言った。" * 8
    for width in range(10, 30):
        for line in [line for cue in lines(Segment(0, 60, text), style=SubtitleStyle(width)) for line in cue]:
            assert line[0] not in "」。っ", line
            assert line[-1] != "「", line


def test_thai_is_broken_between_letters_but_not_before_its_marks_or_after_its_leading_vowels() -> None:
    text = "สวัสดีตอนเช้าทุกท่านวันนี้เราจะไปเที่ยวทะเลกันไหมครับ"
    for width in range(10, 30):
        found = [line for cue in lines(Segment(0, 9, text), style=SubtitleStyle(width)) for line in cue]
        assert "".join(found) == text
        for line in found:
            assert columns(line) <= width
            assert line[0] not in "ะัาำิีึืุู็่้๊๋์ๆ", line
            assert line[-1] not in "เแโใไ", line


def test_no_line_ends_between_a_number_and_its_sign() -> None:
    """The recogniser has them as two words, the text has no space between them."""
    segment = Segment(0, 2, "1234567890%", (Word(0, 1, "1234567890", 0.9), Word(1, 2, "%", 0.9)))
    assert lines(segment, style=SubtitleStyle(10)) == [("1234567890%",)]


def test_french_marks_stay_with_their_word() -> None:
    style = SubtitleStyle(10)
    assert lines(said("cent livres !"), style=style) == [("cent", "livres !")]
    assert lines(said("incroyable !"), style=style) == [("incroyable !",)]
    assert lines(said("« incroyable »"), style=style) == [("« incroyable »",)]


def test_a_space_that_forbids_a_break_is_heeded() -> None:
    assert lines(Segment(0, 2, "les 10\u00a0000 ans"), style=SubtitleStyle(10)) == [("les", "10\u00a0000 ans")]


def test_without_word_times_a_segment_is_divided_by_its_characters() -> None:
    found = cues(transcript(Segment(10, 20, "aaaa bbbb cccc dddd")), SubtitleStyle(10, 1))
    assert [cue.lines for cue in found] == [("aaaa bbbb",), ("cccc dddd",)]
    assert [cue.start for cue in found] == pytest.approx([10, 10 + 10 * 10 / 19])


def test_words_that_are_not_those_of_the_text_lose_nothing() -> None:
    words = (Word(0, 1, "one", 0.9), Word(1, 2, "two", 0.9))
    assert lines(Segment(0, 4, "something else was said", words)) == [("something else was said",)]
    words = (Word(0, 1, "something", 0.9), Word(1, 4, "elsewhere", 0.9))
    assert times(Segment(0, 4, "something else was said", words)) == [(0, 4)]
    words = (Word(0, 1, "one", 0.9), Word(1, 2, "two", 0.9))
    assert lines(Segment(0, 4, "at one o'clock and two o'clock", words)) == [("at one o'clock and two o'clock",)]


def test_a_cue_stays_on_until_it_can_be_read() -> None:
    fast = said("seventeen characters and another seventeen", each=0.1)  # 42 in 0.5 s
    assert times(fast) == [(0, round(42 / 17, 3))]
    assert times(fast, style=SubtitleStyle(max_cps=10)) == [(0, 4.2)]
    assert too_fast(cues(transcript(fast), STYLE), STYLE) == 0
    assert times(said("Yes.", each=0.1)) == [(0, 0.833)]


def test_a_cue_never_stays_on_over_the_next() -> None:
    fast = said("seventeen characters and another seventeen", each=0.1, speaker="Ann")
    after = said("Yes.", 1.2, each=1.0, speaker="Bob")
    assert times(fast, after) == [(0, 1.117), (1.2, 2.2)]
    whole = cues(transcript(fast, after), STYLE)
    assert whole[0].cps == pytest.approx(42 / (1.2 - 1 / 12))
    assert too_fast(whole, STYLE) == 1
    assert too_fast(whole, SubtitleStyle(max_cps=40)) == 0


def test_a_cue_never_stays_on_after_the_recording() -> None:
    assert times(said("Yes.", each=0.1), duration=0.5) == [(0, 0.5)]
    assert times(said("Yes.", at=1.0, each=0.3), duration=1.2) == [(1.0, 1.2)]


def test_cues_are_apart_and_short_gaps_are_closed() -> None:
    """Two frames between two that follow at once, as after a gap that would only flicker; a longer one stays."""
    talk = [said("Yes.", at, each=1.0, speaker=who) for at, who in ((0, "Ann"), (1, "Bob"), (2.4, "Ann"), (4.1, "Bob"))]
    assert times(*talk) == [(0, 0.917), (1, 2.317), (2.4, 3.4), (4.1, 5.1)]


def test_a_wide_gap_leaves_every_cue_some_time() -> None:
    talk = [said("Yes.", at, each=0.3, speaker=who) for at, who in ((0, "Ann"), (0.3, "Bob"))]
    assert times(*talk, style=SubtitleStyle(min_gap_s=0.5)) == [(0, 0.15), (0.3, 1.133)]


def test_no_cue_ends_before_its_last_word() -> None:
    talk = transcript(said("well " * 12, each=1.0))
    for cue, its in of_cues(cues(talk, STYLE), letters(talk)):
        assert cue.end >= its[-1].end - 1 / 12


def test_no_cue_stays_on_for_ever() -> None:
    for segment in (said("well " * 20, each=1.0), Segment(0, 60, "well " * 20), said("Aaah!", each=60.0)):
        assert max(end - start for start, end in times(segment)) <= STYLE.max_duration_s


def test_words_at_one_instant_are_shown_one_after_the_other() -> None:
    """As recognisers pile them at the end of a chunk."""
    piled = [said("one", 5, each=0.0, speaker="Ann"), said("two", 5, each=0.0, speaker="Bob")]
    for found in (times(*piled), times(*piled, duration=5.0)):
        (start, end), (next_start, next_end) = found
        assert start < end < next_start < next_end
    assert times(*piled)[0][0] == 5.0


def test_nobody_speaks() -> None:
    assert cues(transcript(), STYLE) == []
    assert cues(transcript(Segment(0, 1, " ")), STYLE, named=True) == []


def test_hours_take_seconds() -> None:
    """The work grows with the text, not with its square: one hour takes half a second."""
    talk = transcript(*(said("and so it goes " * 5, i * 6.0, each=0.3) for i in range(600)), duration=3600)
    begin = time.process_time()
    found = cues(talk, STYLE)
    assert time.process_time() - begin < 8
    assert sum(len(" ".join(cue.lines).split()) for cue in found) == 600 * 20


STYLES = st.builds(SubtitleStyle, st.integers(10, 60), st.integers(1, 3), st.integers(5, 25))


class Letter(NamedTuple):
    """A character of a transcript, but no space, with the times of its word, or its segment's."""

    written: str
    speaker: str | None
    start: float
    end: float
    begins: bool
    """A segment, or a word after a space."""


def letters(whole: Transcript) -> list[Letter]:
    found: list[Letter] = []
    for segment in whole.segments:
        timed = [(w.word, w.start, w.end) for w in segment.words] or [(segment.text, segment.start, segment.end)]
        for number, (text, start, end) in enumerate(timed):
            for place, letter in enumerate(text):
                if letter != " ":
                    begins = place == 0 and (number == 0 or " " in segment.text)
                    found.append(Letter(letter, segment.speaker, start, end, begins))
    return found


def of_cues(found: list[Cue], all_letters: list[Letter]) -> list[tuple[Cue, list[Letter]]]:
    """The letters of each cue, by their place in the whole."""
    pairs: list[tuple[Cue, list[Letter]]] = []
    at = 0
    for cue in found:
        count = len("".join("".join(cue.lines).split()))
        pairs.append((cue, all_letters[at : at + count]))
        at += count
    assert at == len(all_letters)
    return pairs


@settings(deadline=None)
@given(transcripts(), STYLES)
def test_nothing_is_lost_and_nobody_says_anothers_words(whole: Transcript, style: SubtitleStyle) -> None:
    found = cues(whole, style)
    for cue, its in of_cues(found, letters(whole)):
        assert "".join("".join(cue.lines).split()) == "".join(letter.written for letter in its)
        assert {letter.speaker for letter in its} == {cue.speaker}


@settings(deadline=None)
@given(transcripts(), STYLES, st.booleans())
def test_cues_fit_the_screen(whole: Transcript, style: SubtitleStyle, named: bool) -> None:
    for cue in cues(whole, style, named=named):
        lone_name = named and cue.lines[0] in ("Ann:", "Bob:")
        assert 1 <= len(cue.lines) <= style.max_lines + lone_name
        for line in cue.lines:
            assert line == line.strip() != ""
            assert columns(line) <= style.max_line_width or " " not in line


@settings(deadline=None)
@given(transcripts(), STYLES)
def test_cues_are_in_order_and_apart(whole: Transcript, style: SubtitleStyle) -> None:
    found = cues(whole, style)
    for cue in found:
        assert 0 <= cue.start < cue.end <= whole.duration
        assert cue.end - cue.start <= style.max_duration_s + 1e-9
    for one, other in pairwise(found):
        assert one.end < other.start


@settings(deadline=None)
@given(transcripts(), STYLES)
def test_cues_begin_with_their_first_word_and_run_on_over_no_long_pause(
    whole: Transcript, style: SubtitleStyle
) -> None:
    earliest = 0.0
    for cue, its in of_cues(cues(whole, style), letters(whole)):
        assert its[0].start <= cue.start + 1e-9
        if its[0].begins:
            assert cue.start == pytest.approx(max(its[0].start, earliest))
        earliest = cue.start + SHORTEST_S
        for one, other in pairwise(its):
            assert other.start - one.end < LONG_PAUSE_S or not other.begins
