"""Several files in the hands of one model: the same results, and what becomes of a misfortune among them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from app import pipeline
from app.artefacts import Artefacts
from app.audio import decode
from app.events import EventLog
from app.inputs import sample
from app.messages import Failed, Finished, Job, Loaded, Message, Noted, Released, Result, Started
from app.stages.asr_faster_whisper import FasterWhisper
from tests.app.conftest import RunApp
from tests.app.sounds import tiny_en, write_aligner, write_wav

FILES = {"a.wav": (6, 12), "b.wav": (14, 20), "c.wav": (20, 26)}
"""Seconds of the sample in each."""
FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path) -> None:
    waveform = decode(sample()).waveform
    for name, (begin, end) in FILES.items():
        write_wav(tmp_path / name, waveform[begin * 16_000 : end * 16_000])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        files=tuple(str(tmp_path / name) for name in FILES),
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
        jobs=2,
    )


def run(job: Job, folder: Path) -> list[Message]:
    folder.mkdir(exist_ok=True)
    said: list[Message] = []
    pipeline.run(job, said.append, Artefacts(folder), EventLog(folder))
    return said


def events(environment: dict[str, str]) -> list[dict[str, Any]]:
    log = Path(environment["XDG_STATE_HOME"], "run-app", "events.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def texts(said: list[Message]) -> dict[int, list[str]]:
    results = [message for message in said if isinstance(message, Result) and message.final]
    return {result.file: [segment.text for segment in result.transcript.segments] for result in results}


@pytest.mark.slow
def test_two_files_at_once_through_one_model(run_app: RunApp, tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_app("transcribe", *FILES, "--model", "tiny.en", "--jobs", "2", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("asr: faster-whisper")] == [
        "asr: faster-whisper on cpu, int8, 2 workers of 1 thread"
    ]
    asr = [event["event"] for event in events(environment) if event["stage"] == "asr"]
    assert asr[:2] == ["started", "started"]
    assert asr.count("done") == len(FILES)
    written = {name: json.loads((tmp_path / "out" / f"{Path(name).stem}.json").read_text()) for name in FILES}
    assert all((one["asr"]["threads"], one["asr"]["batch_size"]) == (2, 2) for one in written.values())
    assert "originally from Chicago" in " ".join(segment["text"] for segment in written["b.wav"]["segments"])


@pytest.mark.slow
def test_the_results_are_those_of_one_after_another(job: Job, tmp_path: Path) -> None:
    said = run(job, tmp_path / "together")

    alone = dataclasses.replace(job, jobs=1, batch_size=1)
    assert texts(said) == texts(run(alone, tmp_path / "alone"))
    assert [message.stage for message in said if isinstance(message, Loaded)] == ["vad", "asr"]


@pytest.mark.slow
@pytest.mark.parametrize("resident", [True, False])
def test_a_full_card_among_several_files(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: bool
) -> None:
    """Two files at once do not fit; one after another they do, without a step down."""
    whole, calls, both = FasterWhisper.decode, itertools.count(), threading.Barrier(2)

    def full(self: FasterWhisper, *arguments: Any) -> Any:
        if (call := next(calls)) < 2:
            both.wait(timeout=60)
        if call == 1:
            raise RuntimeError("CUDA failed with error out of memory")
        return whole(self, *arguments)

    expected = texts(run(job, tmp_path / "undisturbed"))
    monkeypatch.setattr(FasterWhisper, "decode", full)
    said = run(dataclasses.replace(job, resident=resident), tmp_path / "state")

    assert texts(said) == expected
    assert not [message for message in said if isinstance(message, Failed | Noted)]


@pytest.mark.slow
def test_a_card_that_is_full_for_one_file_too(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed beside others steps down alone, and is told."""
    whole = FasterWhisper.decode

    def full(self: FasterWhisper, *arguments: Any) -> Any:
        if self.rung().batch_size > 1:
            raise RuntimeError("CUDA failed with error out of memory")
        return whole(self, *arguments)

    expected = texts(run(job, tmp_path / "undisturbed"))
    monkeypatch.setattr(FasterWhisper, "decode", full)
    said = run(job, tmp_path / "state")

    assert texts(said) == expected
    assert [message.text for message in said if isinstance(message, Noted)] == [
        "asr: RuntimeError: CUDA failed with error out of memory; going on with batch size 2 -> 1"
    ]


@pytest.mark.slow
def test_a_bug_costs_its_own_file(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FasterWhisper.decode

    def broken(self: FasterWhisper, work: Any, *arguments: Any) -> Any:
        if work.path.name == "b.wav":
            raise ValueError("a bug")
        return whole(self, work, *arguments)

    expected = texts(run(job, tmp_path / "undisturbed"))
    monkeypatch.setattr(FasterWhisper, "decode", broken)
    said = run(job, tmp_path / "state")

    assert texts(said) == {index: text for index, text in expected.items() if index != 1}
    assert [message for message in said if isinstance(message, Failed)] == [
        Failed("asr failed: ValueError: a bug", 1, bug=True)
    ]


@pytest.mark.slow
def test_a_worker_that_dies_with_several_files_in_hand(
    run_app: RunApp, tmp_path: Path, environment: dict[str, str]
) -> None:
    """It may have been either's doing: the next worker takes one at a time."""
    environment |= {"PYTHONPATH": str(FAULTS), "FAULT": f"asr:abort-late:{tmp_path / 'struck'}"}

    done = run_app("transcribe", *FILES, "--model", "tiny.en", "--jobs", "2", "-o", "out")

    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "died" in line]
    assert line.startswith(f"{tmp_path / 'a.wav'} (asr), {tmp_path / 'b.wav'} (asr): the worker died of SIGABRT")
    assert line.endswith("one file at a time")
    assert len(list((tmp_path / "out").glob("*.json"))) == len(FILES)
    asr = [(event["pid"], event["event"]) for event in events(environment) if event["stage"] == "asr"]
    assert [event for pid, event in asr if pid == asr[-1][0]] == ["started", "done"] * len(FILES)


@pytest.mark.slow
def test_a_stage_that_failed_is_not_under_way_when_another_kills_the_worker(
    run_app: RunApp, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Each death has its own stage, so both are given up in the end, and the text is there."""
    environment |= {"PYTHONPATH": str(FAULTS), "FAULT": f"align:raise:-,diarize:abort-always:{tmp_path / 'struck'}"}
    write_aligner(tmp_path / "aligner")
    options = ["--align-model", "./aligner", "--diarize", "--model", "tiny.en", "-o", "out"]

    done = run_app("transcribe", "a.wav", "b.wav", *options)

    assert done.returncode == 1, done.stderr
    deaths = [line.partition(": diarize: the worker died") for line in done.stderr.splitlines()]
    names = [Path(path).name for path, died, _ in deaths if died]
    assert names == ["a.wav", "a.wav", "b.wav", "b.wav"]
    for name in ("a", "b"):
        notes = json.loads((tmp_path / "out" / f"{name}.json").read_text())["notes"]
        assert any("align failed: ValueError: planted" in note for note in notes)
        assert any("no speakers: the worker died of SIGABRT" in note for note in notes)


@pytest.mark.slow
def test_one_at_a_time(run_app: RunApp, environment: dict[str, str]) -> None:
    done = run_app("transcribe", *FILES, "--model", "tiny.en", "--jobs", "1", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert [event["event"] for event in events(environment) if event["stage"] == "asr"] == ["started", "done"] * 3


@pytest.mark.slow
def test_of_equal_recordings_one_is_worked_on(run_app: RunApp, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "again.wav").write_bytes((tmp_path / "a.wav").read_bytes())

    done = run_app("transcribe", "a.wav", "again.wav", "--model", "tiny.en", "-o", "out", "-f", "txt")

    assert done.returncode == 0, done.stderr
    asr = [(Path(event["file"]).name, event["event"]) for event in events(environment) if event["stage"] == "asr"]
    assert asr == [("a.wav", "started"), ("a.wav", "done"), ("again.wav", "reused")]
    assert (tmp_path / "out" / "a.txt").read_text() == (tmp_path / "out" / "again.txt").read_text() != ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--jobs", "0"], "argument --jobs: 0: must be an integer of at least 1"),
        (["--jobs", "2", "--asr", "whisperx"], "--jobs 2: whisperx takes one file at a time"),
    ],
)
def test_what_can_not_be_done_at_once(run_app: RunApp, options: list[str], said: str) -> None:
    done = run_app("transcribe", *FILES, "--model", "tiny.en", *options)

    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_group_is_at_most_an_hour(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the hour has 13 seconds, and so two of the three files: each model loads twice."""
    monkeypatch.setattr(pipeline, "GROUP_S", 13.0)

    said = run(job, tmp_path / "state")

    stages = [message.stage for message in said if isinstance(message, Loaded | Released)]
    assert stages == ["vad", "vad", "asr", "asr"] * 2
    assert len(texts(said)) == len(FILES)


@pytest.mark.slow
def test_the_next_file_is_decoded_while_one_is_recognised(job: Job, tmp_path: Path) -> None:
    said = run(dataclasses.replace(job, jobs=1, resident=True), tmp_path / "state")

    began = said.index(Started("decode", 1))
    asr_done = [at for at, one in enumerate(said) if isinstance(one, Finished) and (one.stage, one.file) == ("asr", 0)]
    assert began < asr_done[0]
