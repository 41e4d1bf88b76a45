"""Nothing that was finished is lost or done again, however a run ends: real kills, real aborts, a full disk.

The recognition is real; alignment and diarization, which take long to load, are light ones here (tests/app/faults).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.sounds import write_aligner, write_wav

FAULTS = Path(__file__).parent / "faults"
STAGES = ("decode", "vad", "asr", "align", "diarize")
FILES = {"a.wav": (6, 12), "b.wav": (14, 20)}
"""Seconds of the sample in each."""

Line = list[str]


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path) -> None:
    waveform = decode(sample()).waveform
    for name, (begin, end) in FILES.items():
        write_wav(tmp_path / name, waveform[begin * 16_000 : end * 16_000])
    write_aligner(tmp_path / "aligner")


@pytest.fixture
def line(command: list[str]) -> Line:
    return [
        *command,
        "transcribe",
        *FILES,
        "--model",
        "tiny.en",
        "-o",
        "out",
        "--names",
        "Ann,Bob",
        "--align-model",
        "./aligner",
    ]


@pytest.fixture
def faulty(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PYTHONPATH": str(FAULTS)}


def run(line: Line, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )


def outputs(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((folder / "out").iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """What comes of it when nothing happens; made once."""
    made: dict[str, str] = {}

    def make(line: Line, faulty: dict[str, str], folder: Path) -> dict[str, str]:
        if not made:
            state, out = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("undisturbed")
            place = [word if word != "out" else str(out / "out") for word in line]
            done = run(place, faulty | {"XDG_STATE_HOME": str(state)}, folder)
            assert done.returncode == 0, done.stderr
            made.update(outputs(out))
            assert len(made) == 6
            assert "Bob" in made["a.json"]
        return made

    return make


def events(environment: dict[str, str]) -> list[dict[str, str]]:
    log = Path(environment["XDG_STATE_HOME"], "run-app", "events.jsonl")
    return [json.loads(entry) for entry in log.read_text().splitlines()]


def times_done(environment: dict[str, str]) -> Counter[tuple[str, str]]:
    """By file and stage. A kill between the result on the disk and its line in the log leaves no line; then the first
    who takes the result up again stands for it.
    """
    log = [((Path(event["file"]).name, event["stage"]), event["event"]) for event in events(environment)]
    done = Counter(what for what, event in log if event == "done")
    return done + Counter({what for what, event in log if event == "reused" and not done[what]})


EACH_STAGE = [stage if stage == "asr" else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES]
EACH_ONCE = {(name, stage): 1 for name in FILES for stage in STAGES}


class Started:
    """The command, and its stderr up to the line that was waited for."""

    def __init__(self, line: Line, environment: dict[str, str], folder: Path, until: str) -> None:
        self.process = subprocess.Popen(
            line, cwd=folder, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self.process.stderr is not None
        self.said = []
        for said in self.process.stderr:
            self.said.append(said)
            if said.startswith(until):
                break
        else:
            raise AssertionError(f"{until!r} was not said: {self.said}")
        self.workers = psutil.Process(self.process.pid).children()

    def end(self) -> int:
        assert self.process.stderr is not None
        self.said += self.process.stderr.readlines()
        return self.process.wait(60)


def held_in(stage: str, line: Line, environment: dict[str, str], folder: Path) -> Started:
    """The command, in the midst of that stage until it is killed."""
    held = folder / "held"
    started = Started(line, environment | {"FAULT": f"{stage}:hold:{held}"}, folder, f"{stage}: a.wav")
    deadline = time.monotonic() + 120
    while not held.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return started


@pytest.mark.parametrize("stage", EACH_STAGE)
def test_a_killed_front(
    line: Line,
    faulty: dict[str, str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, str]],
    stage: str,
) -> None:
    started = held_in(stage, line, faulty, tmp_path)
    started.process.kill()
    assert started.end() == -signal.SIGKILL
    assert psutil.wait_procs(started.workers, timeout=2)[1] == []

    again = run(line, faulty, tmp_path)

    assert again.returncode == 0, again.stderr
    assert outputs(tmp_path) == undisturbed(line, faulty, tmp_path)
    assert times_done(faulty) == EACH_ONCE
    if stage in ("asr", "diarize"):
        assert "a.wav: done before: decode, vad" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stage", EACH_STAGE)
def test_a_killed_worker(
    line: Line,
    faulty: dict[str, str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, str]],
    stage: str,
) -> None:
    """The same run goes on with another one."""
    started = held_in(stage, line, faulty, tmp_path)
    started.workers[0].kill()

    assert started.end() == 0, started.said
    assert outputs(tmp_path) == undisturbed(line, faulty, tmp_path)
    assert times_done(faulty) == EACH_ONCE
    assert any("died of SIGKILL" in said and "trying once more" in said for said in started.said)


@pytest.mark.slow
@pytest.mark.parametrize("stage", EACH_STAGE)
def test_an_abort_in_a_stage(
    line: Line,
    faulty: dict[str, str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, str]],
    stage: str,
) -> None:
    done = run(line, faulty | {"FAULT": f"{stage}:abort:{tmp_path / 'struck'}"}, tmp_path)

    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path) == undisturbed(line, faulty, tmp_path)
    assert times_done(faulty) == EACH_ONCE
    (said,) = [said for said in done.stderr.splitlines() if "died" in said]
    assert said.startswith(str(tmp_path / "a.wav"))  # and b.wav, where both were under way
    assert re.search(rf"(: {stage}|\({stage}\)): the worker died of SIGABRT", said)
    assert "sitecustomize.py:" in said  # the last line of Python


@pytest.mark.slow
@pytest.mark.parametrize("stage", EACH_STAGE)
def test_ctrl_c(
    line: Line,
    faulty: dict[str, str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, str]],
    stage: str,
) -> None:
    started = held_in(stage, line, faulty, tmp_path)
    for pid in (started.workers[0].pid, started.process.pid):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    assert started.end() == 130
    assert "the same command goes on" in started.said[-1]

    again = run(line, faulty, tmp_path)

    assert again.returncode == 0, again.stderr
    assert outputs(tmp_path) == undisturbed(line, faulty, tmp_path)
    assert times_done(faulty) == EACH_ONCE


def in_small_disks(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a shell script where `small/` is a disk of 4 MB, in a namespace of its own."""
    (folder / "small").mkdir(exist_ok=True)
    mounted = f"mount -t tmpfs -o size=4m tmpfs small && {{ {script}\n}}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", mounted],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no namespace can be made here: {done.stderr.strip()}")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("stage", EACH_STAGE)
def test_a_full_disk_for_the_state(
    line: Line,
    faulty: dict[str, str],
    tmp_path: Path,
    undisturbed: Callable[..., dict[str, str]],
    stage: str,
) -> None:
    """The run itself goes through; what could not be kept is done again, what was kept is not."""
    expected = undisturbed(line, faulty, tmp_path)
    filler = tmp_path / "small" / "filler"
    environment = faulty | {"XDG_STATE_HOME": str(tmp_path / "small")}
    struck = f"FAULT={stage}:fill:{shlex.quote(str(filler))}"
    script = f"""
{struck} {shlex.join(line)} >&2; echo $?
cp -r out first
rm {shlex.quote(str(filler))}; rm -r out
{shlex.join(line)} >&2; echo $?
cp small/run-app/events.jsonl second.jsonl"""

    done = in_small_disks(script, tmp_path, environment)

    assert done.stdout.split() == ["0", "0"], done.stderr
    assert "can't be kept for later" in done.stderr
    assert outputs(tmp_path) == expected
    assert {path.name: path.read_text() for path in (tmp_path / "first").iterdir()} == expected
    kept = [json.loads(entry) for entry in (tmp_path / "second.jsonl").read_text().splitlines()]
    reused = {event["stage"] for event in kept if event["event"] == "reused" and event["file"].endswith("a.wav")}
    # Its waveform goes when a file is done: who is to hear it again decodes it again.
    assert reused >= set(STAGES[: STAGES.index(stage)]) - {"decode"}


@pytest.mark.slow
def test_a_full_disk_for_the_outputs(
    line: Line, faulty: dict[str, str], tmp_path: Path, undisturbed: Callable[..., dict[str, str]]
) -> None:
    """What was written stays whole; the text goes to stdout; with room again, nothing is done twice."""
    expected = undisturbed(line, faulty, tmp_path)
    filler = tmp_path / "small" / "filler"
    line = [word if word not in ("out", "b.wav") else "small/out" for word in line if word != "b.wav"]
    script = f"""
FAULT=diarize:fill:{shlex.quote(str(filler))} {shlex.join(line)}; echo $?
cp -r small/out first; rm {shlex.quote(str(filler))}
{shlex.join(line)} >&2; echo $?; cp -r small/out out"""

    done = in_small_disks(script, tmp_path, faulty)

    words = done.stdout.split()
    assert (words[-2], words[-1]) == ("1", "0"), done.stderr
    assert "can't be written (No space left on device)" in done.stderr
    plain = {path.name: path.read_text() for path in (tmp_path / "first").iterdir()}
    assert plain["a.txt"]  # as the recogniser gave it
    assert json.loads(plain["a.json"])["segments"]
    assert done.stdout.startswith("[")
    assert outputs(tmp_path) == {name: text for name, text in expected.items() if name.startswith("a.")}
    assert set(times_done(faulty).values()) == {1}


def test_a_stage_that_always_aborts_costs_only_what_it_would_add(
    line: Line, faulty: dict[str, str], tmp_path: Path
) -> None:
    done = run(line, faulty | {"FAULT": f"diarize:abort-always:{tmp_path / 'struck'}"}, tmp_path)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in ("a", "b"):
        written = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert written["segments"]
        assert "no speakers: the worker died of SIGABRT" in written["notes"][0]
    assert times_done(faulty) == {(name, stage): 1 for name in FILES for stage in STAGES[:4]}
    assert "0 of 2 files done, 2 failed, 2 of them written in part" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["front", "worker"])
def test_a_kill_in_real_diarization(command: list[str], environment: dict[str, str], tmp_path: Path, whom: str) -> None:
    """The same with the real models: the recognition is not done again, and the speakers come."""
    line = [*command, "transcribe", "--sample", "--model", "tiny.en", "-o", "out", "--diarizer", "embedded"]
    started = Started(line, environment, tmp_path, "diarize: sample.wav")
    if whom == "front":
        started.process.kill()
        assert started.end() == -signal.SIGKILL
        again = run(line, environment, tmp_path)
        assert again.returncode == 0, again.stderr
        assert "sample.wav: done before: decode, vad, asr" in again.stderr
    else:
        started.workers[0].kill()
        assert started.end() == 0, started.said

    written = json.loads((tmp_path / "out" / "sample.json").read_text())
    assert {segment["speaker"] for segment in written["segments"]} == {"SPEAKER_00", "SPEAKER_01"}
    assert times_done(environment) == {("sample.wav", stage): 1 for stage in ("decode", "vad", "asr", "diarize")}


@pytest.mark.slow
def test_a_worker_that_dies_when_all_is_done_costs_nothing(line: Line, faulty: dict[str, str], tmp_path: Path) -> None:
    done = run(line, faulty | {"FAULT": "asr:abort-at-the-end:-"}, tmp_path)

    assert done.returncode == 0
    assert "all was done, but then the worker died of SIGABRT" in done.stderr
    assert "trying once more" not in done.stderr


@pytest.mark.slow
def test_an_interrupted_recognition_goes_on_inside_the_file(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """An hour of ASR is not lost either: it is kept batch by batch."""
    talk = decode(sample()).waveform[6 * 16_000 :]
    write_wav(tmp_path / "long.wav", np.tile(talk, 8))
    line = [*command, "transcribe", "long.wav", "--model", "tiny.en", "-o", "out", "--batch-size", "1"]
    started = Started(line, environment, tmp_path, "asr: long.wav")
    folder = Path(environment["XDG_STATE_HOME"], "run-app", "artefacts")
    deadline = time.monotonic() + 120
    while sum(path.read_bytes().count(b"\n") for path in folder.glob("*.part")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.process.kill()
    started.end()

    (part,) = folder.glob("*.part")
    kept = part.read_bytes().count(b"\n")
    again = run(line, environment, tmp_path)

    assert again.returncode == 0, again.stderr
    interrupted = outputs(tmp_path)
    fresh = run(
        [word if word != "out" else "fresh" for word in line],
        environment | {"XDG_STATE_HOME": str(tmp_path / "state")},
        tmp_path,
    )
    assert fresh.returncode == 0, fresh.stderr
    assert interrupted["long.txt"] == (tmp_path / "fresh" / "long.txt").read_text()
    batches = json.loads(interrupted["long.json"])["asr"]["batches"]
    assert 3 <= kept < batches
    assert list(folder.glob("*.part")) == []
    assert list(folder.glob("*.f32")) == []
