"""A person's corrections: what is still said keeps its times, what is new gets some."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.subtitles import SubtitleStyle
from app.transcript import Transcript
from app.web.corrections import corrected
from app.writers import WRITERS
from tests.app.talks import said, transcript, transcripts

TALK = transcript(
    said("I live in New Jersey now", speaker="SPEAKER_00"),
    said("Really", at=5, speaker="SPEAKER_01"),
    said("Yes", at=6, speaker="SPEAKER_00"),
)


def words(text: str) -> list[tuple[str, float, float]]:
    """Of the first segment, with this text in its place."""
    segment = corrected(TALK, {}, {"0": text}).segments[0]
    assert segment.text == " ".join(text.split())
    return [(word.word, round(word.start, 3), round(word.end, 3)) for word in segment.words]


AS_IT_WAS = words("I live in New Jersey now")


def test_names_are_given_to_segments_and_words() -> None:
    named = corrected(TALK, {"SPEAKER_00": "Ann"}, {})

    assert [segment.speaker for segment in named.segments] == ["Ann", "SPEAKER_01", "Ann"]
    assert {word.speaker for word in named.segments[0].words} == {"Ann"}


def test_a_word_for_a_word_keeps_the_times() -> None:
    assert words("I live in Old Jersey now") == [*AS_IT_WAS[:3], ("Old", *AS_IT_WAS[3][1:]), *AS_IT_WAS[4:]]


def test_one_word_for_two_takes_their_time() -> None:
    assert words("I live in Boston now") == [
        *AS_IT_WAS[:3],
        ("Boston", AS_IT_WAS[3][1], AS_IT_WAS[4][2]),
        AS_IT_WAS[5],
    ]


def test_a_word_more_stands_between_its_neighbours() -> None:
    new = words("I live in New Jersey right now")

    assert new[:5] == AS_IT_WAS[:5]
    assert new[6] == AS_IT_WAS[5]
    assert AS_IT_WAS[4][2] <= new[5][1] <= new[5][2] <= AS_IT_WAS[5][1]


def test_a_script_without_spaces_is_corrected_sign_by_sign() -> None:
    talk = transcript(said("今天 天气好", space=""))
    before = corrected(talk, {}, {"0": "今天天气好"}).segments[0].words

    after = corrected(talk, {}, {"0": "今天我气好"}).segments[0].words

    assert [word.word for word in after] == list("今天我气好")
    assert [word.start for word in after] == [word.start for word in before]
    assert (before[0].start, before[1].end, before[2].start, before[4].end) == (0.0, 0.4, 0.4, 0.8)


def test_an_empty_text_drops_the_line() -> None:
    assert [segment.text for segment in corrected(TALK, {}, {"1": "  "}).segments] == [
        "I live in New Jersey now",
        "Yes",
    ]


def test_both_are_in_every_format() -> None:
    both = corrected(TALK, {"SPEAKER_00": "Ann"}, {"0": "I live in Boston"})

    for form, write in WRITERS.items():
        text = write(both, SubtitleStyle())
        assert "Boston" in text, form
        assert "Jersey" not in text, form
        assert "Ann" in text, form


@given(transcripts(), st.text(alphabet="ab c.é我", max_size=60))
def test_whatever_is_written_the_words_are_the_text_in_order(talk: Transcript, text: str) -> None:
    if not talk.segments or not text.strip():
        return
    before = talk.segments[0]
    after = corrected(talk, {}, {"0": text}).segments[0]

    assert after.text == " ".join(text.split())
    assert (after.start, after.end) == (before.start, before.end)
    if before.words:
        assert "".join(word.word for word in after.words) == after.text.replace(" ", "")
        for one, two in pairwise(after.words):
            assert one.start <= two.start + 0.001
        assert all(word.start <= word.end + 0.001 for word in after.words)


@pytest.mark.parametrize("text", ["a\nb", "  a   b ", "a\tb"])
def test_blanks_are_single(text: str) -> None:
    assert corrected(TALK, {}, {"1": text}).segments[1].text == "a b"
