"""Transcripts made by hand, and any transcript."""

from __future__ import annotations

from hypothesis import strategies as st

from app.transcript import Segment, Transcript, Word


def said(text: str, at: float = 0.0, each: float = 0.4, space: str = " ", speaker: str | None = None) -> Segment:
    """A segment of words of `each` seconds; `|` between words is a pause of 1.2 s, `'` of 0.25 s."""
    words: list[Word] = []
    for part in text.split():
        if part in ("|", "'"):
            at += 1.2 if part == "|" else 0.25
            continue
        words.append(Word(at, at + each, part, 0.9, speaker))
        at += each
    return Segment(words[0].start, words[-1].end, space.join(w.word for w in words), tuple(words), speaker)


def transcript(*segments: Segment, duration: float = 600.0) -> Transcript:
    return Transcript("en", 1.0, duration, segments)


LETTERS = (
    st.text("abcdefghijklm", min_size=1, max_size=9),
    st.text("אבגדה", min_size=1, max_size=6),
    st.text("مرحبا", min_size=1, max_size=6),
    st.text("我们今天去看「」。、", min_size=1, max_size=4),
    st.text("ทะเลสวยมากนี้", min_size=1, max_size=5),
    st.text("한국어가나다", min_size=1, max_size=4),
    st.sampled_from(("😀", "👍🏽", "👩\u200d👩\u200d👧", "é", "e\u0301", "20", "%", "--", "-->", "<b>", "x" * 70)),
)
WORDS = st.builds(str.__add__, st.one_of(LETTERS), st.sampled_from(("", "", "", ".", ",", "?", "!”", "…")))
GAPS = st.sampled_from((0.0, 0.0, 0.0, 0.05, 0.3, 0.9, 1.0, 5.0))
LENGTHS = st.sampled_from((0.0, 0.05, 0.2, 0.5, 2.0, 20.0))


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Of some speakers, in any script; some segments without word times. Ten seconds of silence at the end."""
    at = 0.0
    segments: list[Segment] = []
    for _ in range(draw(st.integers(0, 6))):
        begin = at
        words: list[Word] = []
        for text in draw(st.lists(WORDS, min_size=1, max_size=12)):
            start = round(at + draw(GAPS), 3)
            at = round(start + draw(LENGTHS), 3)
            words.append(Word(start, at, text, 0.9))
        text = draw(st.sampled_from((" ", ""))).join(word.word for word in words)
        kept = tuple(words) if draw(st.booleans()) else ()
        speaker = draw(st.sampled_from((None, "Ann", "Bob")))
        segments.append(Segment(words[0].start if kept else begin, at, text, kept, speaker))
    return Transcript("en", 1.0, at + 10, tuple(segments))
