"""What is written is what other people's software reads."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
from itertools import groupby, pairwise
from pathlib import Path

import pysubs2
import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from app.commands import transcribe
from app.speakers import rename
from app.subtitles import SubtitleStyle, cues
from app.text import columns
from app.transcript import Segment, Transcript, Word
from app.writers import WRITERS
from tests.app.conftest import RunApp
from tests.app.sounds import tiny_en
from tests.app.talks import said, transcript, transcripts

STYLE = SubtitleStyle()
TALK = Transcript(
    "es",
    0.97,
    3700.5,
    (
        Segment(0.0, 1.2344, "¿Qué tal?", (Word(0.0, 0.5, "¿Qué", 0.9), Word(0.5, 1.2344, "tal?", 0.9))),
        Segment(3661.0006, 3662.9996, "Adiós."),
    ),
    ("2 damaged packets passed over",),
)
TURNS = transcript(
    said("Are you there?", 6.5, speaker="Ann"),
    said("It is me.", 8.5, speaker="Ann"),
    said("Yes.", 3661.0, speaker="Bob <b> & Co"),
    said("[door_bell] *rings*", 3664.0),
)

Shown = tuple[int, int, tuple[str, ...]]
"""Start and end in milliseconds, and the lines."""


def write(form: str, whole: Transcript, style: SubtitleStyle = STYLE) -> str:
    return WRITERS[form](whole, style)


def test_every_format_of_the_command_has_a_writer() -> None:
    assert tuple(WRITERS) == transcribe.FORMATS


def test_subrip() -> None:
    assert write("srt", TALK) == (
        "1\n00:00:00,000 --> 00:00:01,234\n¿Qué tal?\n\n2\n01:01:01,001 --> 01:01:03,000\nAdiós.\n\n"
    )


def test_webvtt() -> None:
    assert write("vtt", TALK) == (
        "WEBVTT\n\nNOTE 2 damaged packets passed over\n\n"
        "00:00:00.000 --> 00:00:01.234\n¿Qué tal?\n\n01:01:01.001 --> 01:01:03.000\nAdiós.\n"
    )


def test_what_means_something_in_webvtt_is_escaped() -> None:
    whole = dataclasses.replace(transcript(said("R&amp;D <b> -->")), notes=("1 --> 2\n\n3",))
    note, text = write("vtt", whole).split("\n\n")[1:]
    assert note == "NOTE 1 -> 2 3"
    assert text.splitlines()[1] == "R&amp;amp;D &lt;b&gt; --&gt;"


def test_text_is_a_segment_a_line_or_a_turn_a_line() -> None:
    assert write("txt", TALK) == "¿Qué tal?\nAdiós.\n"
    assert write("txt", TURNS) == ("Ann: Are you there? It is me.\nBob <b> & Co: Yes.\n[door_bell] *rings*\n")


def test_columns_are_whispers_and_then_the_speaker() -> None:
    assert write("tsv", TALK) == "start\tend\ttext\n0\t1234\t¿Qué tal?\n3661001\t3663000\tAdiós.\n"
    assert write("tsv", TURNS).splitlines()[:2] == ["start\tend\ttext\tspeaker", "6500\t7700\tAre you there?\tAnn"]


def test_markdown_is_a_paragraph_a_turn() -> None:
    assert write("md", TURNS).splitlines() == [
        "**Ann** [00:06] Are you there? It is me.",
        "",
        r"**Bob \<b\> \& Co** [1:01:01] Yes.",
        "",
        r"[1:01:04] \[door\_bell\] \*rings\*",
    ]
    assert write("md", TALK).splitlines()[-1] == "*Note:* 2 damaged packets passed over"


def test_a_monologue_has_paragraphs_that_end_with_a_sentence() -> None:
    talk = transcript(*(said("and so it goes" + "." * (i % 5 == 4), i * 7.0, each=1.5) for i in range(30)))
    spoken = write("md", talk).strip().split("\n\n")
    assert len(spoken) == 3
    assert all(paragraph.endswith(".") for paragraph in spoken)


def test_json_is_what_readers_of_whisperx_expect() -> None:
    text = write("json", TALK)
    written = json.loads(text)

    assert "¿Qué tal?" in text
    assert written["language"] == "es"
    assert written["segments"][0]["words"][1] == {"start": 0.5, "end": 1.2344, "word": "tal?", "score": 0.9}
    assert written["segments"][1] == {"start": 3661.0006, "end": 3662.9996, "text": "Adiós.", "words": []}
    assert "speaker" not in text
    assert written["notes"] == ["2 damaged packets passed over"]


def test_speakers_are_voices_in_webvtt_and_names_in_subrip() -> None:
    parsed = webvtt.from_string(write("vtt", TURNS), strict=True).captions
    voices = [html.unescape(caption.voice or "") for caption in parsed]
    assert voices == ["Ann", "Ann", "Bob <b> & Co", ""]
    assert [html.unescape(caption.text) for caption in parsed][2:] == ["Yes.", "[door_bell] *rings*"]
    texts = [event.text for event in pysubs2.SSAFile.from_string(write("srt", TURNS), "srt", keep_html_tags=True)]
    assert texts == ["Ann: Are you there?", "It is me.", "Bob <b> & Co: Yes.", "[door_bell] *rings*"]


def read_vtt(text: str) -> list[Shown]:
    return [
        (
            caption.start_time.in_milliseconds(),
            caption.end_time.in_milliseconds(),
            tuple(html.unescape(caption.text).split("\n")),
        )
        for caption in webvtt.from_string(text, strict=True).captions
    ]


def read_srt(text: str) -> list[Shown]:
    return [
        (caption.start_time.in_milliseconds(), caption.end_time.in_milliseconds(), tuple(caption.lines))
        for caption in webvtt.from_buffer(io.StringIO(text), format="srt").captions
    ]


def read_by_pysubs2(text: str, form: str) -> list[Shown]:
    events = pysubs2.SSAFile.from_string(text, form, keep_html_tags=True)
    return [(event.start, event.end, tuple(event.text.split(r"\N"))) for event in events]


STYLES = st.builds(SubtitleStyle, st.integers(10, 60), st.integers(1, 3), st.integers(5, 25))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(transcripts(), STYLES, st.lists(NAMES, max_size=2, unique=True))
def test_subtitles_are_read_as_they_were_made(whole: Transcript, style: SubtitleStyle, names: list[str]) -> None:
    whole, _ = rename(whole, names)
    made = cues(whole, style, named=True)
    srt = write("srt", whole, style)
    if not made:
        assert srt == ""
        return
    expected = [
        (round(cue.start * 1000), round(cue.end * 1000), tuple(line.replace("-->", "->") for line in cue.lines))
        for cue in made
    ]
    assert read_srt(srt) == expected
    # It takes a number in the last line of the file for the next cue's.
    assert [shown[:2] for shown in read_by_pysubs2(srt, "srt")] == [shown[:2] for shown in expected]

    made = cues(whole, style)
    vtt = write("vtt", whole, style)
    assert read_vtt(vtt) == [(round(cue.start * 1000), round(cue.end * 1000), cue.lines) for cue in made]
    voices = [html.unescape(caption.voice or "") for caption in webvtt.from_string(vtt, strict=True).captions]
    assert voices == [cue.speaker or "" for cue in made]


@settings(deadline=None)
@given(transcripts(), st.lists(NAMES, max_size=2, unique=True))
def test_a_table_is_read_as_it_was_made(whole: Transcript, names: list[str]) -> None:
    whole, _ = rename(whole, names)
    rows = list(csv.DictReader(io.StringIO(write("tsv", whole)), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [(int(row["start"]), int(row["end"]), row["text"], row.get("speaker") or None) for row in rows] == [
        (round(s.start * 1000), round(s.end * 1000), s.text, s.speaker) for s in whole.segments
    ]


def test_no_text_breaks_the_table() -> None:
    rows = write("tsv", transcript(Segment(0, 1, "one\ttwo\nthree \u2028 four"))).splitlines()
    assert rows == ["start\tend\ttext", "0\t1000\tone two three four"]


def rendered(markdown: str) -> list[str]:
    """Its paragraphs as a reader sees them, strong text between bullets."""
    marks = {"strong_open": "•", "strong_close": "•", "em_open": "/", "em_close": "/"}
    parsed = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    assert {token.type for token in parsed} <= {"paragraph_open", "inline", "paragraph_close"}
    seen: list[str] = []
    for inline in (token for token in parsed if token.type == "inline"):
        assert {token.type for token in inline.children or ()} <= {"text", "text_special", *marks}
        seen.append("".join(marks.get(token.type, token.content) for token in inline.children or ()))
    return seen


@pytest.mark.parametrize(
    "text",
    ["`a`", "*b*", "_c_", "[d](e)", "![d](e)", "<f>", "&amp;", "~~g~~", r"\*", "a\\", "# h", "- i", "1. j", "> k"],
)
def test_markdown_in_a_text_stays_text(text: str) -> None:
    whole = Transcript("en", 1.0, 10.0, (Segment(0, 1, text, (), text),), (text,))
    assert rendered(write("md", whole)) == [f"•{text}• [00:00] {text}", f"/Note:/ {text}"]


def test_no_dollar_is_a_formula_and_no_bar_a_column() -> None:
    """For GitHub, which reads both."""
    assert write("md", transcript(Segment(0, 1, "$5 | $6"))) == "[00:00] \\$5 \\| \\$6\n"


MARKED = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from("*_`[]()<>&#-+!|~$\\ 1.")
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | NAMES, MARKED), max_size=4), st.lists(MARKED, max_size=2))
def test_nothing_in_a_text_is_taken_for_markdown(texts: list[tuple[str | None, str]], notes: list[str]) -> None:
    segments = tuple(Segment(i, i + 1, text, (), who) for i, (who, text) in enumerate(texts))
    markdown = write("md", Transcript("en", 1.0, 10.0, segments, tuple(notes)))
    expected: list[str] = []
    for who, turn in groupby(segments, key=lambda segment: segment.speaker):
        spoken = list(turn)
        words = "".join("".join(segment.text.split()) for segment in spoken)
        expected.append(f"{f'•{who}•' if who else ''}[00:{int(spoken[0].start):02}]{words}")
    expected += ("/Note:/" + "".join(note.split()) for note in notes)
    assert ["".join(paragraph.split()) for paragraph in rendered(markdown)] == expected


def shown(path: Path) -> list[Shown]:
    return read_by_pysubs2(path.read_text(), path.suffix[1:])


@pytest.mark.slow
def test_every_format_and_subtitle_option_of_the_command(run_app: RunApp, tmp_path: Path) -> None:
    """Real speech. What is recognised once is used again, so that only the subtitles change."""

    def run(*options: str) -> list[Shown]:
        done = run_app("transcribe", "--sample", "--model", tiny_en(), "-f", "srt,vtt,tsv,md,txt,json", *options)
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if "subtitles faster than" in line]
        bound = float(options[options.index("--max-cps") + 1]) if "--max-cps" in options else STYLE.max_cps
        subtitles = shown(tmp_path / "sample.srt")
        fast = sum(sum(map(columns, lines)) / (end - start) * 1000 > bound * 1.001 for start, end, lines in subtitles)
        expected = f"sample.wav: {fast} of {len(subtitles)} subtitles faster than {bound:g} characters a second"
        assert [line.startswith(expected) for line in said] == [True] * bool(fast)
        return subtitles

    usual = run()
    assert read_vtt((tmp_path / "sample.vtt").read_text()) == usual == shown(tmp_path / "sample.vtt")
    text = (tmp_path / "sample.txt").read_text().split()
    assert len(text) > 60
    assert " ".join(line for *_, lines in usual for line in lines).split() == text
    table = (tmp_path / "sample.tsv").read_text().splitlines()
    assert [row.split("\t")[2] for row in table[1:]] == (tmp_path / "sample.txt").read_text().splitlines()
    assert " ".join(rendered((tmp_path / "sample.md").read_text())).split()[1:] == text
    segments = json.loads((tmp_path / "sample.json").read_text())["segments"]
    assert [segment["text"] for segment in segments] == [row.split("\t")[2] for row in table[1:]]

    assert max(columns(line) for *_, lines in usual for line in lines) <= 42
    assert max(len(lines) for *_, lines in usual) == 2
    narrow = run("--max-line-width", "20")
    assert max(columns(line) for *_, lines in narrow for line in lines) <= 20
    assert len(narrow) > len(usual)
    assert max(len(lines) for *_, lines in run("--max-line-width", "20", "--max-lines", "3")) == 3
    slow = run("--max-cps", "8")
    assert slow[-1][1] > usual[-1][1]  # only the last word has room after it
    for found in (usual, narrow, slow):
        assert all(start < end for start, end, _ in found)
        assert all(one[1] < other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-line-width", "9"], "--max-line-width: 9: must be an integer of at least 10"),
        (["--max-lines", "0"], "--max-lines: 0: must be an integer of at least 1"),
        (["--max-cps", "fast"], "--max-cps: fast: must be an integer of at least 1"),
        (["-f", "srt,docx"], "unknown format 'docx', choose from txt, srt, vtt, tsv, json, md"),
    ],
)
def test_nonsense_is_one_line(run_app: RunApp, options: list[str], said: str) -> None:
    done = run_app("transcribe", "--sample", *options)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
