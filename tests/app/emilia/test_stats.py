from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.emilia import reasons
from app.emilia.filters import Candidate
from app.emilia.release import rows
from app.emilia.segments import Segment, samples, segment
from app.emilia.settings import EmiliaSettings
from app.emilia.stats import Fate, statistics

VERDICTS = list(reasons.WORDS)[list(reasons.WORDS).index(reasons.LANGUAGE) : -1]
"""Those that a segment can have."""


def fate(turns: list[tuple[float, float, str]], duration: float, verdicts: list[str | None], path: str = "a") -> Fate:
    cut = segment(
        [Segment(samples(start), samples(end), who) for start, end, who in turns],
        [],
        [],
        samples(duration),
        EmiliaSettings(),
    )
    candidates = [Candidate(path, s.start, s.end, s.speaker, "Hallo", "de", 0.9, 3.3) for s in cut.segments]
    return Fate(path, path, samples(duration), None, cut, candidates, verdicts)


def test_every_second_is_kept_or_has_its_reason() -> None:
    one = fate(
        [(1, 6, "SPEAKER_00"), (7, 9, "SPEAKER_01"), (10, 14, "SPEAKER_00"), (15, 17, "SPEAKER_00")],
        20,
        [None, reasons.DNSMOS],
    )

    content = statistics([one])

    # The second segment is 10-17: the pause of a second in it is no longer nobody's.
    assert content["seconds"] == {
        "input": 20.0,
        "kept": 5.0,
        "dropped": {"no_speech": 6.0, "segment_short": 2.0, "dnsmos": 7.0},
    }
    assert content["segments"] == {"kept": 1, "dnsmos": 1}
    assert content["languages"] == {"de": {"segments": 1, "seconds": 5.0}}


def test_a_recording_that_failed_is_counted_whole_and_named() -> None:
    broken = Fate("b", "b.mp3", 0, ("standardise", "no sound"), None, [], [])
    half = Fate("c", "c.mp3", samples(8), ("asr", "died"), None, [], [])

    content = statistics([broken, half])

    assert content["seconds"] == {"input": 8.0, "kept": 0.0, "dropped": {"file_failed": 8.0}}
    assert content["files"] == {"input": 2, "with_segments": 0, "without_segments": 0, "failed": 2}
    assert content["failed"][1] == {"path": "c.mp3", "step": "asr", "reason": "died"}


def test_a_recording_without_a_segment_says_what_took_most_of_it() -> None:
    content = statistics([fate([], 10, [], "noise"), fate([(0, 9, "A")], 10, [reasons.LANGUAGE], "yiddish")])

    assert content["no_segments"] == {"noise": "no_speech", "yiddish": "language"}
    assert content["files"]["without_segments"] == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 40), st.sampled_from("AB"), st.sampled_from(VERDICTS))))
def test_the_samples_sum_exactly_to_the_input(turns: list[tuple[int, int, str, str]]) -> None:
    spoken = [(start + 1 / 7, float(start + length), who) for start, length, who, _ in turns]
    cut = segment([Segment(samples(s), samples(e), w) for s, e, w in spoken], [], [], samples(60), EmiliaSettings())
    verdicts: list[str | None] = [each[3] if n % 2 else None for n, each in enumerate(turns)][: len(cut.segments)]
    verdicts += [None] * (len(cut.segments) - len(verdicts))

    content = statistics([fate(spoken, 60, verdicts)])

    assert content["samples"]["kept"] + sum(content["samples"]["dropped"].values()) == samples(60)
    assert all(number > 0 for number in content["samples"]["dropped"].values())


def test_rows_have_the_releases_names_and_number_each_speakers_segments() -> None:
    turns = [(0.0, 4.0, "SPEAKER_00"), (5.0, 9.0, "SPEAKER_01"), (12.0, 16.0, "SPEAKER_00"), (20.0, 24.0, "SPEAKER_00")]
    one = fate(turns, 30, [None, None, reasons.DNSMOS, None], "talk")

    found = list(rows([fate([], 3, []), one], [[], ["talk_0.mp3", "talk_1.mp3", "talk_2.mp3"]]))

    assert [row.get("id") for row in found] == [
        "DE_B00001_S00000_W000000",
        "DE_B00001_S00001_W000000",
        None,
        "DE_B00001_S00000_W000001",
    ]
    assert found[3]["wav"] == "talk/talk_2.mp3"
    assert found[3]["speaker"] == "DE_B00001_S00000"
    assert found[2]["dropped"] == reasons.DNSMOS
    assert found[0]["duration"] == pytest.approx(4)
