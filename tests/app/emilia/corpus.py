"""Three small recordings of one stem, what an undisturbed run makes of them, and runs that a test can disturb."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.app.conftest import persons_environment
from tests.app.emilia.conftest import carriers
from tests.app.sounds import encode, write_wav
from tests.app.voices import missing_voices, mix

VOICE = "en_US_f_Allison"
STEPS = ("standardise", "diarize", "vad", "asr", "score", "export", "tables")
"""All that a run without a separation model starts workers for."""
OPTIONS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline", "--dnsmos-min", "2")
ONE = ("--workers", "1")
FILES = 3
LEDGER = ".run-app-emilia"
SLICE_S = 0.003
"""What a worker may do between two looks at how far it is; a recording takes longer at every step."""
PATIENCE_S = 60.0


def write_corpus(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    encode(folder / "a.mp3", mix([VOICE], 14, 2).waveform, "libmp3lame", bits=128_000)
    write_wav(folder / "a.wav", mix([VOICE], 10, 1).waveform)
    write_wav(folder / "sub" / "a.wav", mix([VOICE], 12, 5).waveform)


def marks(out: Path) -> dict[str, int]:
    """Names of the done-marks, and when they were made."""
    found = {path.name: path.stat().st_mtime_ns for path in (out / LEDGER / "done").glob("*.json")}
    return dict(sorted(found.items(), key=lambda each: each[1]))


def dataset(out: Path) -> dict[str, bytes]:
    """All that a run gives, by its path in OUT."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] != LEDGER
    }


def results(out: Path) -> dict[str, bytes]:
    """What each step found, by its key."""
    return {path.name: path.read_bytes() for path in sorted((out / LEDGER / "done").iterdir())}


def rests(out: Path) -> list[str]:
    """Unfinished files that nobody will finish, and failed attempts."""
    ledger = out / LEDGER
    found = [*(ledger / "tries").iterdir(), *out.glob(".run-app-????????")]
    return [str(path) for path in [*found, *(path for path in ledger.rglob(".*"))]]


@dataclass
class Running:
    """The command, in a process group of its own. A context manager that leaves nothing behind."""

    line: Sequence[str]
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)
    """Its stderr so far, by lines."""
    pids: set[int] = field(default_factory=set)
    """Of all workers that were seen."""

    def __enter__(self) -> Running:
        self.process = subprocess.Popen(
            self.line,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        left = [*self.workers(), psutil.Process(self.process.pid)] if self.process.poll() is None else []
        for process in left:
            process.kill()
        self.end()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(iter(self.process.stderr.readline, ""))

    def end(self) -> int:
        """Wait for it; the exit code."""
        code = self.process.wait(240)
        self._reader.join(PATIENCE_S)
        return code

    @property
    def text(self) -> str:
        text = "".join(self.said)
        assert "Traceback" not in text, text
        return text

    def workers(self) -> list[psutil.Process]:
        """Those that live."""
        found = []
        try:
            for child in psutil.Process(self.process.pid).children():
                if "app.emilia.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        except psutil.NoSuchProcess:  # it ended meanwhile
            pass
        self.pids |= {each.pid for each in found}
        return found

    def watch(self) -> int:
        """Count its workers to the end; the exit code."""
        while self.process.poll() is None:
            self.workers()
            time.sleep(0.04)
        return self.end()

    def beginning(self, step: str) -> psutil.Process:
        """Its first worker of this step, held as it begins."""
        until = time.monotonic() + PATIENCE_S
        while not any(re.fullmatch(rf"{step}: \d+ files?\n", line) for line in list(self.said)) or not self.workers():
            assert self.process.poll() is None, f"ended before {step}: {self.said}"
            assert time.monotonic() < until, f"no worker for {step}: {self.said}"
            time.sleep(0.002)
        (worker,) = self.workers()
        hold(worker)
        return worker

    def amid(self, step: str, out: Path) -> psutil.Process:
        """The step's worker, held when it is through with a part of the recordings, not with all."""
        worker = self.beginning(step)
        before = len(marks(out))
        until = time.monotonic() + PATIENCE_S
        while not _under_way(step, len(marks(out)) - before, out):
            assert time.monotonic() < until, f"{step} does not come to an end"
            worker.resume()
            time.sleep(SLICE_S)
            hold(worker)
        return worker


def _under_way(step: str, done: int, out: Path) -> bool:
    if step == "tables":  # one item, which is the whole
        assert not done, "tables was over at once"
        return any((out / LEDGER / "audio").glob(".*.part"))
    assert done < FILES, f"{step} was over at once"
    return done > 0


def hold(worker: psutil.Process) -> None:
    """Stop it where it is; all its threads stand still on return."""
    worker.suspend()
    while worker.status() != psutil.STATUS_STOPPED:
        time.sleep(0.0005)


def gone(processes: Iterable[psutil.Process], seconds: float) -> bool:
    """Whether all of them end within so many seconds; what nobody has waited for yet has ended too."""
    return all(_ended(each) for each in psutil.wait_procs(list(processes), timeout=seconds)[1])


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Corpus:
    """The recordings, and the dataset that an undisturbed run by one worker makes of them."""

    folder: Path
    out: Path
    command: Sequence[str]
    environment: dict[str, str]
    said: str
    pids: frozenset[int]
    """Of its workers."""

    def line(self, out: Path, *more: str) -> list[str]:
        return [*self.command, "emilia", str(self.folder), str(out), *OPTIONS, *more]

    def start(self, out: Path, *more: str) -> Running:
        return Running(self.line(out, *more), self.environment)

    def run(self, out: Path, *more: str) -> str:
        """To a good end; returns what it said."""
        with self.start(out, *more) as running:
            assert running.end() == 0, running.said
        return running.text

    def before(self, step: str, out: Path) -> Path:
        """A copy of the dataset as it was when this step began."""
        shutil.copytree(self.out, out)
        for name in list(marks(out))[STEPS.index(step) * FILES :]:
            (out / LEDGER / "done" / name).unlink()
        (out / LEDGER / "tables").unlink()
        for path in out.glob("[!.]*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return out

    def is_like(self, out: Path) -> None:
        """Assert that another run came to the same, byte for byte."""
        ours, theirs = dataset(self.out), dataset(out)
        assert theirs.keys() == ours.keys()
        assert [name for name in ours if ours[name] != theirs[name]] == []
        ours, theirs = results(self.out), results(out)
        assert theirs.keys() == ours.keys()
        assert [name for name in ours if ours[name] != theirs[name]] == []


_made: dict[str, Corpus] = {}


def undisturbed(temporary: pytest.TempPathFactory, command: Sequence[str]) -> Corpus:
    """Made once for all modules."""
    if not _made:
        if missing_voices([VOICE]):
            pytest.skip(f"the prompts of {VOICE} are not installed: scripts/test-audio")
        environment = persons_environment(temporary.mktemp("home"), temporary.mktemp("state")) | carriers()
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait busily cost others their cores
        place = temporary.mktemp("corpus")
        write_corpus(place / "in")
        line = [*command, "emilia", str(place / "in"), str(place / "out"), *OPTIONS, *ONE]
        with Running(line, environment) as running:
            assert running.watch() == 0, running.said
        made = Corpus(place / "in", place / "out", command, environment, running.text, frozenset(running.pids))
        assert rests(made.out) == []
        _made["one"] = made
    return _made["one"]


def interrupt(running: Running) -> None:
    """Ctrl-C, as the terminal sends it: to the whole group."""
    psutil.Process(running.process.pid)  # raises where it is gone already
    os.killpg(running.process.pid, signal.SIGINT)
