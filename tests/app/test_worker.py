"""Front and worker, and what is left when one of them dies: real processes, real signals."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.conftest import RunApp
from tests.app.sounds import tiny_en, write_wav

Start = Callable[..., AbstractContextManager["Running"]]


class Running:
    """The command under way, with its stderr followed as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, part: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if part in line:
                return
        raise AssertionError(f"{part!r} was not said: {self.said}")

    def worker(self) -> psutil.Process:
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def end(self) -> int:
        assert self.process.stderr is not None
        self.said += self.process.stderr.read().splitlines()
        return self.process.wait(timeout=120)


@pytest.fixture
def long_talk(tmp_path: Path) -> Path:
    """A minute and a half of speech: long enough to be interrupted."""
    return write_wav(tmp_path / "long.wav", np.tile(decode(sample()).waveform[6 * 16_000 :], 4))


@pytest.fixture
def start(environment: dict[str, str], command: list[str], tmp_path: Path) -> Start:
    @contextmanager
    def running(*arguments: str | Path) -> Iterator[Running]:
        with subprocess.Popen(
            [
                *command,
                "transcribe",
                *map(str, arguments),
                "-o",
                "out",
                "-f",
                "txt",
                "--model",
                "tiny.en",
                "--jobs",
                "1",
            ],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                yield Running(process)
            finally:
                process.kill()

    return running


def logs(environment: dict[str, str]) -> list[Path]:
    return sorted(Path(environment["XDG_STATE_HOME"], "run-app", "logs").glob("*"))


def test_the_worker_is_gone_two_seconds_after_its_front(start: Start, long_talk: Path) -> None:
    with start(long_talk) as running:
        running.until("asr: long.wav")
        worker = running.worker()
        time.sleep(0.5)  # in the middle of native code

        running.process.kill()

        assert psutil.wait_procs([worker], timeout=2)[1] == []


def test_ctrl_c_ends_both_and_keeps_what_is_written(start: Start, long_talk: Path, tmp_path: Path) -> None:
    with start("--sample", long_talk) as running:
        running.until("asr: long.wav")
        worker = running.worker()

        # As a terminal does: to everyone in the foreground group.
        for pid in (worker.pid, running.process.pid):
            os.kill(pid, signal.SIGINT)

        assert running.end() == 130
        assert running.said[-1] == "run-app: interrupted; what is finished is kept, the same command goes on from there"
        assert not worker.is_running()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample.txt"]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside_leaves_nothing_behind(
    start: Start, environment: dict[str, str], long_talk: Path, by: signal.Signals
) -> None:
    before = logs(environment)
    with start(long_talk) as running:
        running.until("asr: long.wav")
        worker = running.worker()

        running.process.send_signal(by)

        assert running.end() == -by
        assert not worker.is_running()
    assert logs(environment) == before


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_worker_that_dies_once_costs_nothing(
    start: Start, environment: dict[str, str], long_talk: Path, tmp_path: Path, by: signal.Signals
) -> None:
    with start(long_talk, "--sample") as running:
        running.until("asr: long.wav")
        time.sleep(0.3)
        os.kill(running.worker().pid, by)
        code = running.end()

    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.txt", "sample.txt"]
    (line,) = [line for line in running.said if "died" in line]
    assert re.match(rf"{long_talk}: asr: the worker died of {by.name} at [1-9]\d* MiB", line)
    assert "trying once more in a fresh one; what was finished is kept" in line
    assert "Traceback" not in "\n".join(running.said)
    if by == signal.SIGKILL:
        assert "no out-of-memory kill was counted" in line
    else:
        # faulthandler knows where Python was.
        assert re.search(r", at .+\.py:\d+ in ", line), line


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGABRT])
def test_a_worker_that_dies_of_one_file_twice_costs_that_file(
    start: Start, environment: dict[str, str], long_talk: Path, tmp_path: Path, by: signal.Signals
) -> None:
    with start(long_talk, "--sample") as running:
        for _ in range(2):
            running.until("asr: long.wav")
            os.kill(running.worker().pid, by)
        code = running.end()

    assert code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample.txt"]
    line = [line for line in running.said if "died" in line][-1]
    assert f"{long_talk}: asr: the worker died of {by.name}" in line
    assert Path(line.rpartition("its log is ")[2]) in logs(environment)
    assert "1 of 2 files done, 1 failed" in running.said


@pytest.mark.slow
def test_a_parent_that_ignores_its_children_hides_no_death(
    environment: dict[str, str], command: list[str], long_talk: Path
) -> None:
    """SIGCHLD comes ignored from some service managers; waiting for a child then tells nothing of its end."""
    ignore = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = [sys.executable, "-c", ignore, *command, "transcribe", str(long_talk), "--model", "tiny.en"]
    with subprocess.Popen(words, cwd=long_talk.parent, env=environment, text=True, stderr=subprocess.PIPE) as process:
        running = Running(process)
        running.until("asr: long.wav")
        running.worker().kill()
        assert running.end() == 0
    assert any("died of SIGKILL" in line for line in running.said), running.said


def test_no_library_in_the_worker_may_ask_the_hub(start: Start, long_talk: Path) -> None:
    with start(long_talk) as running:
        running.until("asr: long.wav")
        assert running.worker().environ()["HF_HUB_OFFLINE"] == "1"


@pytest.mark.slow
def test_a_run_that_went_well_leaves_no_log(run_app: RunApp, environment: dict[str, str]) -> None:
    before = logs(environment)

    assert run_app("transcribe", "--sample", "--model", "tiny.en").returncode == 0

    assert logs(environment) == before


def test_a_damaged_model_is_a_line_and_a_log(run_app: RunApp, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_en().iterdir():
        if file.is_file():
            (broken / file.name).write_bytes(file.read_bytes()[: 1_000_000 if file.name == "model.bin" else None])

    done = run_app("transcribe", "--sample", "--model", broken, "-o", "out")

    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("run-app:")]
    assert "asr can't load its model: RuntimeError: " in line
    assert "Traceback" in Path(line.rpartition("the traceback is in ")[2].rstrip(")")).read_text()
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_terminal_shows_a_bar_and_a_pipe_shows_lines(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    script = ["script", "-qec", shlex.join([*command, "transcribe", "--sample", "--model", "tiny.en"]), "/dev/null"]

    shown = subprocess.run(
        script,
        cwd=tmp_path,
        env=environment | {"TERM": "xterm"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert shown.returncode == 0, shown.stdout
    assert "\x1b[" in shown.stdout
    assert "━" in shown.stdout  # rich's bar
    assert "asr: sample.wav" in shown.stdout


@pytest.mark.parametrize(
    "streams",
    [
        "| true",  # the reader of stdout leaves early
        pytest.param(">&-", marks=pytest.mark.slow),
        "<&- >&- 2>&-",
        pytest.param(">/dev/full", marks=pytest.mark.slow),
        pytest.param("2>/dev/full", marks=pytest.mark.slow),
        pytest.param("2>&1 | head -n 2", marks=pytest.mark.slow),
    ],
)
def test_whatever_becomes_of_the_streams_the_files_are_written(
    environment: dict[str, str], command: list[str], tmp_path: Path, streams: str
) -> None:
    line = shlex.join([*command, "transcribe", "--sample", "--model", "tiny.en"])

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} {streams}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception" not in done.stderr + done.stdout
    assert len(list(tmp_path.iterdir())) == 3
    if streams == ">/dev/full":
        assert "stdout can't be written (No space left on device)" in done.stderr


@pytest.mark.slow
def test_a_terminal_that_can_not_draw_shows_lines(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    shown = subprocess.run(
        ["script", "-qec", shlex.join([*command, "transcribe", "--sample", "--model", "tiny.en"]), "/dev/null"],
        cwd=tmp_path,
        env=environment | {"TERM": "dumb"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert "\nasr: sample.wav\n" in shown.stdout


def test_a_language_stdout_can_not_spell_is_escaped(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    code = "import sys; sys.stdout.reconfigure(encoding='ascii')\n"
    code += "from app.display import Display; from app.delivery import _print; from app.transcript import *\n"
    code += "_print(Transcript('es', 1.0, 1.0, (Segment(0, 1, '¿Qué?'),)), Display())"

    done = subprocess.run([command[0], "-c", code], env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Qu\\xe9" in done.stdout


def test_a_state_folder_that_can_not_be_written_is_a_line(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "state" / "run-app").mkdir(parents=True)
    (tmp_path / "state" / "run-app" / "logs").touch()

    done = subprocess.run(
        [*command, "transcribe", "--sample", "--model", "tiny.en"],
        cwd=tmp_path,
        env=environment | {"XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert "the state folder can't be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_each_death_keeps_its_own_log(start: Start, environment: dict[str, str], long_talk: Path) -> None:
    before = logs(environment)
    another = Path(shutil.copy(long_talk, long_talk.with_name("another.wav")))
    with start(long_talk, another, "--sample") as running:
        for name in ("long.wav", "long.wav", "another.wav", "another.wav"):
            running.until(f"asr: {name}")
            os.kill(running.worker().pid, signal.SIGKILL)
        assert running.end() == 1
    assert len(logs(environment)) == len(before) + 4
    assert "1 of 3 files done, 2 failed" in running.said
