"""Several workers side by side on this machine: the same results, and what becomes of a misfortune."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from app.audio import decode
from app.display import Display
from app.errors import WorkError
from app.inputs import Input, sample
from app.messages import Job, Message, Result
from app.runners import Runners
from app.supervisor import AnyWorker, Gone
from app.transcript import Transcript
from tests.app.conftest import RunApp
from tests.app.sounds import write_wav
from tests.app.test_jobs import events

FAULTS = Path(__file__).parent / "faults"
SECONDS = {"a.wav": (6, 9), "b.wav": (14, 18), "c.wav": (20, 22), "d.wav": (22, 27)}
OPTIONS = ("--model", "tiny.en", "--offline", "-f", "json,txt")


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    waveform = decode(sample()).waveform
    (tmp_path / "in").mkdir()
    for name, (begin, end) in SECONDS.items():
        write_wav(tmp_path / "in" / name, waveform[begin * 16_000 : end * 16_000])
    return [tmp_path / "in" / name for name in SECONDS]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_death_among_two_workers_and_a_file_that_kills_each(
    run_app: RunApp, recordings: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    alone = run_app("transcribe", "in", *OPTIONS, "--threads", "1", "-o", "alone")
    assert alone.returncode == 0, alone.stderr
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(FAULTS)}
    environment |= {"FAULT": f"asr:abort:{tmp_path / 'struck'},asr:abort-at:{tmp_path / 'in/b.wav'}"}

    done = run_app("transcribe", "in", *OPTIONS, "--workers", "2", "-o", "out")

    assert done.returncode == 1, done.stderr
    assert "2 workers of 1 thread" in done.stderr
    (lost,) = [line for line in done.stderr.splitlines() if "its log is" in line]
    assert lost.startswith(f"{tmp_path / 'in/b.wav'}: asr: the worker died of SIGABRT")
    assert "3 of 4 files done, 1 failed" in done.stderr
    expected = contents(tmp_path / "alone")
    assert contents(tmp_path / "out") == {name: each for name, each in expected.items() if not name.startswith("b.")}
    found = [(Path(event["file"]).name, event["event"]) for event in events(environment) if event["stage"] == "asr"]
    assert Counter(name for name, event in found if event == "done") == {"a.wav": 1, "c.wav": 1, "d.wav": 1}

    environment["FAULT"] = ""
    again = run_app("transcribe", "in", *OPTIONS, "--workers", "2", "-o", "out")
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "out") == expected


def test_ctrl_c_ends_all_workers_and_says_how_to_go_on(
    command: list[str], recordings: list[Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    words = [*command, "transcribe", "in", *OPTIONS, "--workers", "2", "-o", "out"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while len(workers := psutil.Process(process.pid).children(recursive=True)) < 2:
            assert time.monotonic() < deadline
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)

    assert process.returncode == 130
    assert (
        said.splitlines()[-1] == "run-app: interrupted; what is finished is kept, the same command goes on from there"
    )
    assert "Traceback" not in said
    assert psutil.wait_procs(workers, timeout=10)[1] == []


class FakeWorker:
    """On a machine that is lost after so many files, or never."""

    def __init__(self, place: int, lasts: int, done: list[tuple[int, str]]) -> None:
        self.place, self.lasts, self.done = place, lasts, done
        self.memory = SimpleNamespace(resident={}, on_cards={}, last=0, phase=lambda name: None)
        self.log = SimpleNamespace(keep=lambda: "its log")
        self._death: Any = None

    def give(self, job: Job, *, last: bool = True) -> None:
        self._job, self._death = job, None

    def messages(self) -> Iterator[Message]:
        for index, file in enumerate(self._job.files):
            if self.lasts == 0:
                self._death = SimpleNamespace(line="the worker is lost", memory=False)
                return
            self.lasts -= 1
            self.done.append((self.place, file))
            yield Result(index, Transcript("en", 1.0, 1.0, ()), True)

    def death(self) -> Any:
        return self._death

    def kill(self) -> None:
        pass


class FakeFront:
    """Takes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str, style: str | None = None) -> None:
        self.lines.append(line)

    def final(self, item: Input, transcript: Transcript) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def team(lasts: list[int], files: int, job: Job) -> tuple[Runners, list[Input], list[tuple[int, str]], FakeFront]:
    done: list[tuple[int, str]] = []
    gone: set[int] = set()
    hired: set[int] = set()
    together = threading.Barrier(len(lasts))

    @contextmanager
    def hire(place: int) -> Iterator[AnyWorker]:
        if place in gone:
            raise Gone(f"node{place} is lost")
        if place not in hired:  # the first worker is not to have done all before there is a second
            hired.add(place)
            together.wait(60)
        worker = FakeWorker(place, lasts[place], done)
        try:
            yield cast(AnyWorker, worker)
        finally:
            if worker.lasts == 0:
                gone.add(place)

    inputs = [Input(Path(f"/in/{number}.wav"), Path(str(number))) for number in range(files)]
    front = FakeFront()
    names = [f"node{place}" for place in range(len(lasts))]
    runners = Runners([job] * len(lasts), names, hire, cast(Any, front), cast(Any, front), cast(Display, front))
    return runners, inputs, done, front


@pytest.fixture
def job() -> Job:
    return Job((), "", "", "", "", "cpu", "int8", 1, 1, None, resident=False)


def test_what_a_lost_machine_had_in_hand_goes_to_the_others(job: Job) -> None:
    runners, inputs, done, front = team([-1, 3], 40, job)

    runners.run(inputs)

    assert Counter(file for _, file in done) == {str(item.path): 1 for item in inputs}
    assert runners.written == {item.path for item in inputs}
    assert runners.failed == set()
    assert len([file for place, file in done if place == 1]) == 3
    assert "node1 is lost: what it had in hand goes to the others" in front.lines


def test_without_a_machine_the_run_ends_and_says_how_to_go_on(job: Job) -> None:
    runners, inputs, done, _ = team([2, 3], 40, job)

    with pytest.raises(WorkError, match="no machine is left to work on; what is finished is kept, the same command"):
        runners.run(inputs)

    assert len(done) == 5
