"""Pure functions around a transcript: splitting, and the trip through a pipe."""

from __future__ import annotations

import random

import pytest

from app import messages
from app.messages import Broken, Failed, Finished, Loaded, Message, Noted, Progress, Released, Result, Reused, Started
from app.stages import Span
from app.stages.asr_chunks import merge_spans, missed
from app.transcript import LONGEST_SEGMENT_S, Segment, Transcript, Word, split_at_sentences


def words(*pieces: tuple[float, float, str]) -> tuple[Word, ...]:
    return tuple(Word(start, end, text, 0.9) for start, end, text in pieces)


def chunk(*pieces: tuple[float, float, str]) -> Segment:
    return Segment(pieces[0][0], pieces[-1][1], "".join(p[2] for p in pieces), words(*pieces))


def split(*pieces: tuple[float, float, str]) -> list[tuple[float, float, str]]:
    return [(s.start, s.end, s.text) for s in split_at_sentences(chunk(*pieces))]


def test_a_sentence_ends_a_segment() -> None:
    assert split((0, 1, " Hello."), (1, 2, " How"), (2, 3, " are"), (3, 4, ' you?"'), (4, 5, " Fine")) == [
        (0, 1, "Hello."),
        (1, 4, 'How are you?"'),
        (4, 5, "Fine"),
    ]


def test_a_pause_ends_a_segment() -> None:
    assert split((0, 1, " well"), (1.5, 2, " then"), (3, 4, " yes")) == [(0, 2, "well then"), (3, 4, "yes")]


def test_no_segment_of_words_grows_without_end() -> None:
    pieces = split(*((i * 0.5, i * 0.5 + 0.4, " and") for i in range(100)))

    assert max(end - start for start, end, _ in pieces) <= LONGEST_SEGMENT_S
    assert sum(text.count("and") for _, _, text in pieces) == 100


def test_a_script_without_spaces_is_joined_without_spaces() -> None:
    assert split((0, 1, "私は"), (1, 2, "行く。"), (2, 3, "君は")) == [(0, 2, "私は行く。"), (2, 3, "君は")]


def test_words_stand_in_the_transcript_without_the_space_before_them() -> None:
    (piece,) = split_at_sentences(chunk((0, 1, " well"), (1, 2, " then")))

    assert [word.word for word in piece.words] == ["well", "then"]


def test_without_word_times_a_segment_stays_whole() -> None:
    assert split_at_sentences(Segment(0, 9, " One. Two.")) == [Segment(0, 9, "One. Two.")]


def test_chunks_hold_all_speech_and_fit_the_window() -> None:
    chance = random.Random(7)
    spans, at = [], 0.0
    for _ in range(500):
        at += chance.uniform(0, 12)
        length = chance.uniform(0.1, 30)
        spans.append(Span(at, at + length))
        at += length

    chunks = merge_spans(spans)

    assert len(chunks) < len(spans)
    assert all(c.end - c.start <= 30.0 for c in chunks)
    for span in spans:
        assert sum(c.start <= span.start and span.end <= c.end for c in chunks) == 1
    assert merge_spans([]) == []


SPEECH = (Span(0, 4), Span(5, 9), Span(10, 14), Span(16, 20))


@pytest.mark.parametrize(
    ("heard", "rest"),
    [
        (Span(0.1, 13.9), []),  # all of it
        (Span(0.1, 13.0), []),  # the last word's own end
        (Span(0.1, 9.2), [Span(10, 14)]),  # silent since a pause
        (Span(0.1, 6.5), [Span(6.5, 14)]),  # silent in the middle of a span
        (Span(1.0, 13.9), []),  # the first word's own beginning
        (Span(5.0, 13.9), [Span(0, 4)]),  # it began after the first pause
        (Span(7.0, 13.9), [Span(0, 7.0)]),
        (Span(5.5, 8.5), [Span(0, 5.5), Span(8.5, 14)]),
        (Span(0.0, 0.5), []),  # next to nothing: the same again would be nothing again
        (None, []),
    ],
)
def test_speech_that_was_not_heard_is_found(heard: Span | None, rest: list[Span]) -> None:
    assert missed(Span(0, 14), SPEECH, heard) == rest


TALK = Transcript(
    "es",
    0.97,
    3700.5,
    (
        Segment(0.0, 1.2344, "¿Qué tal?", words((0.0, 0.5, "¿Qué"), (0.5, 1.2344, "tal?"))),
        Segment(3661.0006, 3662.9996, "Adiós."),
    ),
    ("2 damaged packets passed over",),
)


@pytest.mark.parametrize(
    "message",
    [
        Loaded("asr", "base on cpu", 1.5),
        Started("vad", None),
        Progress("asr", 1, 3.0, 9.0),
        Finished("asr", 2, 17.5, 1.0, 30.0),
        Broken("align", None),
        Result(1, TALK, final=True),
        Reused(("decode", "vad"), 3),
        Noted("asr: batch size 8 -> 4", None, bug=False),
        Released("asr"),
        Failed("a.wav: empty\nor not", 0),
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    line = messages.encode(message)

    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert messages.decode(line) == message
