"""The stages of a job in this process: real recognition, and a card that is said to be full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import pipeline
from app.artefacts import Artefacts
from app.audio import decode
from app.events import EventLog
from app.inputs import sample
from app.messages import Failed, Job, Message, Noted, Result
from app.stages.asr_faster_whisper import FasterWhisper
from app.transcript import Transcript
from tests.app.sounds import tiny_en, write_wav


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    talk = write_wav(tmp_path / "talk.wav", np.tile(decode(sample()).waveform[6 * 16_000 :], 5))
    return Job(
        files=(str(talk),),
        model=str(tiny_en()),
        model_name="tiny.en",
        asr="faster-whisper",
        vad="silero",
        device="cpu",
        compute_type="int8",
        batch_size=2,
        threads=2,
        language=None,
        resident=False,
    )


def run(job: Job, folder: Path) -> list[Message]:
    folder.mkdir(exist_ok=True)
    said: list[Message] = []
    pipeline.run(job, said.append, Artefacts(folder), EventLog(folder))
    return said


def transcript(said: list[Message]) -> Transcript:
    (result,) = [message for message in said if isinstance(message, Result)]
    return result.transcript


@pytest.mark.slow
def test_a_step_down_and_a_kill_repeat_and_lose_nothing(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call finds the card full; the fourth is the last that the process lives to make."""
    whole = FasterWhisper.decode
    heard: list[float] = []
    calls = 0

    def faulty(self: FasterWhisper, work: Any, batch: list[Any], language: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("CUDA failed with error out of memory")
        if calls == 4:
            raise Killed
        said = whole(self, work, batch, language)
        heard.extend(chunk.start for chunk in batch)
        return said

    expected = transcript(run(job, tmp_path / "undisturbed"))
    monkeypatch.setattr(FasterWhisper, "decode", faulty)
    with pytest.raises(Killed):
        run(job, tmp_path / "state")
    said = run(job, tmp_path / "state")
    done = transcript(said)

    assert len(heard) == len(set(heard)) >= 3  # no chunk twice
    assert [segment.text for segment in done.segments] == [segment.text for segment in expected.segments]
    again = transcript(run(job, tmp_path / "state"))
    assert again == done  # found under the key of what was asked


@pytest.mark.slow
def test_a_step_down_is_said_and_stands_in_the_transcript(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FasterWhisper.decode

    def full(self: FasterWhisper, work: Any, batch: list[Any], language: str) -> Any:
        if self.rung().batch_size > 1:
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
        return whole(self, work, batch, language)

    monkeypatch.setattr(FasterWhisper, "decode", full)
    said = run(job, tmp_path / "state")

    assert [message.text for message in said if isinstance(message, Noted)] == [
        "asr: RuntimeError: CUBLAS_STATUS_ALLOC_FAILED; going on with batch size 2 -> 1"
    ]
    assert transcript(said).notes == ("asr ran out of means and went on with batch size 2 -> 1",)


def test_an_error_of_another_kind_is_no_reason_to_step_down(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(FasterWhisper, "decode", broken)
    said = run(job, tmp_path / "state")

    assert [message for message in said if isinstance(message, Failed)] == [
        Failed("asr failed: ValueError: a bug", 0, bug=True)
    ]
    assert not [message for message in said if isinstance(message, Noted)]
