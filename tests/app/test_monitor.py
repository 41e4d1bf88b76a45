"""The live view, over real processes and a real terminal. The cards are a library in NVML's place."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.conftest import RunApp
from tests.app.sounds import write_wav

HOLD = "import sys, time; held = bytearray(b'x') * (int(sys.argv[1]) << 20); print('ready', flush=True); time.sleep({})"
NVML = """
class NVMLError(Exception): pass
class Told:
    def __init__(self, **fields): self.__dict__.update(fields)
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return "NVIDIA L40S"
def nvmlDeviceGetMemoryInfo(handle): return Told(used=(1000 + handle) << 20, total=46068 << 20)
def nvmlDeviceGetComputeRunningProcesses(handle):
    return [Told(pid=PID, usedGpuMemory=300 << 20), Told(pid=1, usedGpuMemory=None)]
def nvmlDeviceGetUtilizationRates(handle):
    if handle: raise NVMLError("Not Supported")
    return Told(gpu=87)
"""


@contextmanager
def holding(mib: int, *, seconds: float = 60, within: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process that holds so much memory, or one that waits for such a one."""
    words = [*within, sys.executable, "-c", HOLD.format(seconds), str(mib)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                child.kill()
            process.kill()


def row(output: str, pid: int) -> list[str]:
    """RSS, peak, CPU % and VRAM of a process, from the table."""
    (line,) = [line for line in output.splitlines() if re.match(rf"\s*{pid} ", line)]
    return line.split()[-4:]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


class Terminal:
    """The command on a terminal of its own, with its output as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.shown = process, ""

    def until(self, pattern: str) -> str:
        """The first match."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + 120
        while (part := self.process.stdout.read(1)) and time.monotonic() < deadline:
            self.shown += part
            if part in "\r\n" and (found := re.search(pattern, self.shown)):
                return found[0]
        raise AssertionError(f"{pattern!r} was not shown: {self.shown}")

    def type(self, keys: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def end(self) -> int:
        assert self.process.stdout is not None
        self.shown += self.process.stdout.read()
        return self.process.wait(timeout=120)


@contextmanager
def on_terminal(words: Sequence[str], environment: dict[str, str], folder: Path) -> Iterator[Terminal]:
    with subprocess.Popen(
        ["script", "-qefc", f"exec {shlex.join(words)}", "/dev/null"],
        cwd=folder,
        env={"TERM": "xterm", "COLUMNS": "120", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Terminal(process)
        finally:
            process.kill()


def test_a_child_is_shown_with_what_it_holds(run_app: RunApp) -> None:
    with holding(200, within=["bash", "-c", '"$@"; true', "parent"]) as parent:
        (child,) = psutil.Process(parent.pid).children()

        done = run_app("monitor", "--pid", str(parent.pid), "--once")

    assert done.returncode == 0, done.stderr
    resident, peak, cpu, vram = row(done.stdout, child.pid)
    assert 200 <= number(resident) <= 260
    assert number(peak) >= number(resident)
    assert number(row(done.stdout, parent.pid)[0]) < 20
    assert int(cpu) < 50
    assert vram == "-"


def test_the_peak_is_that_of_its_whole_life(run_app: RunApp) -> None:
    code = "held = bytearray(b'x') * (200 << 20); del held; print('ready', flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = run_app("monitor", "--pid", str(process.pid), "--once")
        process.kill()

    resident, peak, *_ = row(done.stdout, process.pid)
    assert number(resident) < 100
    assert number(peak) >= 200


def test_a_busy_process_takes_a_core(run_app: RunApp) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        done = run_app("monitor", "--pid", str(process.pid), "--once")
        process.kill()

    assert int(row(done.stdout, process.pid)[2]) > 3  # others may want the cores too


def test_the_host_is_told(run_app: RunApp) -> None:
    done = run_app("monitor", "--once")

    available, total = re.search(r"host: ([\d,]+) of ([\d,]+) MiB available, swap", done.stdout).groups()  # type: ignore[union-attr]
    assert abs(number(total) - psutil.virtual_memory().total / 2**20) < 1
    assert 0 < number(available) < number(total)


def test_what_goes_to_a_file_is_plain_and_not_cut(run_app: RunApp) -> None:
    with holding(1) as process:
        done = run_app("monitor", "--pid", str(process.pid))

    assert done.returncode == 0, "without a terminal it prints one table and ends"
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    assert done.stderr == ""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Over a minute of speech: at work for long enough."""
    return write_wav(tmp_path / "long.wav", np.tile(decode(sample()).waveform[6 * 16_000 :], 4))


@pytest.mark.slow
def test_run_app_is_found_with_its_worker(
    environment: dict[str, str], command: list[str], run_app: RunApp, talk: Path
) -> None:
    words = [*command, "transcribe", str(talk), "--model", "tiny.en", "-f", "txt"]
    with subprocess.Popen(words, cwd=talk.parent, env=environment, stderr=subprocess.PIPE, text=True) as front:
        try:
            assert front.stderr is not None
            assert any("asr: long.wav" in line for line in front.stderr)
            (worker,) = psutil.Process(front.pid).children()

            done = run_app("monitor", "--once")
        finally:
            front.kill()

    assert re.search(rf"^{front.pid} +transcribe ", done.stdout, re.M)
    assert re.search(rf"^{worker.pid} +worker ", done.stdout, re.M)
    assert number(row(done.stdout, worker.pid)[0]) > number(row(done.stdout, front.pid)[0])
    assert " monitor " not in done.stdout


def test_another_program_of_that_name_is_not_ours(run_app: RunApp, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import time; print('ready', flush=True); time.sleep(60)")
    words = [sys.executable, "-m", "app"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        done = run_app("monitor", "--once")
        process.kill()

    assert not re.search(rf"^{process.pid} ", done.stdout, re.M)


def test_cards_and_who_holds_their_memory(environment: dict[str, str], command: list[str], tmp_path: Path) -> None:
    with holding(1) as process:
        (tmp_path / "pynvml.py").write_text(NVML.replace("PID", str(process.pid)))
        done = subprocess.run(
            [*command, "monitor", "--once", "--pid", str(process.pid)],
            env=environment | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert row(done.stdout, process.pid)[3] == "600", "300 MiB on each of two cards"
    cards = [line.split() for line in done.stdout.splitlines() if "L40S" in line]
    assert cards == [
        ["0", "NVIDIA", "L40S", "1,000", "46,068", "87"],
        ["1", "NVIDIA", "L40S", "1,001", "46,068", "-"],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pid", "4194999"], "--pid 4194999: there is no such process"),
        (["--pid", "99999999999999999999"], "--pid 99999999999999999999: there is no such process"),
        (["--pid", "0"], "must be an integer of at least 1"),
        (["--pid", "-1"], "--pid"),
        (["--interval", "0"], "must be seconds from 0.1 to 3600"),
        (["--interval", "nan"], "must be seconds from 0.1 to 3600"),
        (["--interval", "often"], "must be seconds from 0.1 to 3600"),
    ],
)
def test_wrong_usage_is_a_line(run_app: RunApp, arguments: list[str], said: str) -> None:
    done = run_app("monitor", *arguments, "--once")

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_process_that_nobody_has_waited_for_has_ended(run_app: RunApp) -> None:
    with subprocess.Popen(["true"]) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)

        done = run_app("monitor", "--pid", str(process.pid))

    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"run-app: --pid {process.pid}: that process has ended"]


@pytest.mark.slow
def test_the_end_of_a_process_is_told_with_its_peak(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    with holding(150, seconds=2) as process:
        words = [*command, "monitor", "--pid", str(process.pid), "--interval", "0.2"]
        with on_terminal(words, environment, tmp_path) as terminal:
            peak = terminal.until(rf"{process.pid} \S+ .* ended; its peak was [\d,]+ MiB")
            code = terminal.end()

    assert code == 0, "with it the monitor ends"
    assert 150 <= number(peak.split()[-2]) <= 200


def test_ctrl_c_ends_it_well(environment: dict[str, str], command: list[str], tmp_path: Path) -> None:
    with (
        holding(1) as process,
        on_terminal([*command, "monitor", "--pid", str(process.pid)], environment, tmp_path) as terminal,
    ):
        terminal.until("MiB available")
        terminal.type("\x03")
        code = terminal.end()

    assert code == 0
    assert "Traceback" not in terminal.shown
    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("\x1b[?25l"), "the cursor is back"


@pytest.mark.slow
def test_it_waits_for_a_run_and_stays_when_it_ends(
    environment: dict[str, str], command: list[str], tmp_path: Path, talk: Path
) -> None:
    with on_terminal([*command, "monitor", "--interval", "0.2"], environment, tmp_path) as terminal:
        terminal.until("MiB available")
        words = [*command, "transcribe", str(talk), "--model", "tiny.en"]
        with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
            terminal.until(rf"{process.pid} +transcribe ")
            process.kill()
        terminal.until(rf"{process.pid} transcribe ended; its peak was")
        terminal.until("MiB available")
        terminal.type("\x03")
        assert terminal.end() == 0


def test_a_terminal_that_can_not_draw_gets_one_table(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    with (
        holding(1) as process,
        on_terminal(
            [*command, "monitor", "--pid", str(process.pid)], environment | {"TERM": "dumb"}, tmp_path
        ) as terminal,
    ):
        assert terminal.end() == 0

    assert "\x1b" not in terminal.shown
    assert number(row(terminal.shown, process.pid)[0]) > 0


@pytest.mark.slow
def test_watching_costs_little(environment: dict[str, str], command: list[str], tmp_path: Path) -> None:
    """At one look a second: under 5 % of a core (1 % and less on a quiet machine)."""
    with holding(1) as process:
        words = [*command, "monitor", "--pid", str(process.pid)]
        with on_terminal(words, environment, tmp_path) as terminal:
            terminal.until("MiB available")
            (monitor,) = psutil.Process(terminal.process.pid).children(recursive=True)[-1:]
            before = monitor.cpu_times()
            time.sleep(10)
            after = monitor.cpu_times()
            terminal.type("\x03")
            terminal.end()

    assert (after.user + after.system) - (before.user + before.system) < 0.5


def test_the_commands_arguments_are_light(environment: dict[str, str]) -> None:
    code = "import app.cli, sys; print(sorted({'rich', 'psutil', 'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n"
