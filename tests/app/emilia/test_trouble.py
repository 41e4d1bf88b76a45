"""What a run meets on a real machine: a recording that kills its workers, a disk without room, many files."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.app.conftest import RunApp
from tests.app.emilia.corpus import LEDGER, ONE, STEPS, Corpus, marks, rests, undisturbed
from tests.app.sounds import RATE, tone, write_wav

FIRST = ("--steps", "standardise", "--model", "tiny.en", "--diarizer", "embedded", "--offline", "--workers", "1")
CPU_S = 3
"""What each process of the run may take; the front and a short recording take half a second."""
FULL = "No space left on device; what is finished is kept, the same command goes on"
HOURS = 8
"""Of a recording that takes several times that."""


def write_hours(path: Path) -> None:
    """Silence at 8 kHz, 8 bit, that takes no room on the disk."""
    size = HOURS * 3600 * 8000
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt ")
        file.write(struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)


@pytest.mark.slow
def test_a_recording_that_kills_every_worker_is_in_quarantine_and_the_others_are_done(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_hours(folder / "hours.wav")
    write_wav(folder / "a.wav", tone(2))
    write_wav(folder / "b.wav", tone(3, hertz=300))
    # Hard limit and soft limit are one: the kernel sends SIGKILL.
    limited = ["bash", "-c", f'ulimit -t {CPU_S}; exec "$@"', "-", *command, "emilia", "in", "out", *FIRST]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            limited,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    result = run()

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for attempt in (1, 2):
        assert f"attempt {attempt} failed, it is tried again" in result.stderr
    assert "attempt 3" not in result.stderr
    assert len(marks(tmp_path / "out")) == 2
    (tries,) = (tmp_path / "out" / LEDGER / "tries").iterdir()
    kept = json.loads(tries.read_text())
    assert kept["number"] == 3
    assert "the worker died of SIGKILL" in kept["reason"]

    again = run()

    assert again.returncode == 1
    assert "attempt" not in again.stderr
    last = again.stderr.splitlines()[-2]
    assert "hours.wav: standardise: " in last
    assert "died of SIGKILL" in last
    assert "in quarantine: --retry tries it again" in last
    assert rests(tmp_path / "out") == [str(tries)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, command: list[str]) -> Corpus:
    return undisturbed(tmp_path_factory, command)


Small = Callable[..., tuple[list[str], str, str]]


@pytest.fixture
def on_a_small_disk(tmp_path: Path) -> Small:
    """Run a command twice with OUT on a disk of its own: of `size` at first, then of 50 MB. Gives the exit codes, with
    failed attempts between, and what was said each time; OUT is kept as `kept`.
    """
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root can mount a disk of a few kilobytes")
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a disk")

    def run(
        line: list[str], environment: dict[str, str], size: str, fill: Path | None = None
    ) -> tuple[list[str], str, str]:
        out = tmp_path / "disk"
        out.mkdir()
        script = f"""
            mount -t tmpfs -o size=50m none '{out}' || exit 99
            {f"cp -a '{fill}/.' '{out}'" if fill else ""}
            mount -o remount,size={size} '{out}' || exit 99
            "$@" 2> '{tmp_path}/first'; echo $?; ls '{out}/{LEDGER}/tries'
            mount -o remount,size=50m '{out}'
            "$@" 2> '{tmp_path}/second'; echo $?
            cp -a '{out}' '{tmp_path}/kept'
        """
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "-", *line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.split(), (tmp_path / "first").read_text(), (tmp_path / "second").read_text()

    return run


def test_a_full_disk_stops_the_first_step_and_with_more_room_the_same_command_goes_on(
    on_a_small_disk: Small, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.1, 10 * RATE).astype(np.float32)
    write_wav(folder / "noise.wav", noise)
    write_wav(folder / "tone.wav", tone(1))

    codes, first, second = on_a_small_disk([*command, "emilia", "in", "disk", *FIRST], environment, "200k")

    assert codes == ["1", "0"]  # no attempt between them
    assert first.splitlines()[-1].endswith(
        "No space left on device; what is finished is kept, the same command goes on"
    )
    assert "noise.wav" not in first
    assert "standardise: 2 of 2 files" in second
    assert rests(tmp_path / "kept") == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["export", "tables"])
def test_a_full_disk_at_the_end_stops_in_one_line_too(
    corpus: Corpus, on_a_small_disk: Small, tmp_path: Path, step: str
) -> None:
    before = corpus.before("export", tmp_path / "before")
    line = corpus.line(tmp_path / "disk", *ONE)
    room = sum(-(-path.stat().st_size // 4096) * 4 for path in before.rglob("*"))
    exported = sum(-(-path.stat().st_size // 4096) * 4 for path in corpus.out.glob("a-*/*"))
    size = room + (exported // 2 if step == "export" else exported + 150)

    codes, first, _ = on_a_small_disk(line, corpus.environment, f"{size}k", before)

    assert codes == ["1", "0"], first
    assert first.splitlines()[-1].endswith(
        "No space left on device; what is finished is kept, the same command goes on"
    )
    assert f"{step}: " in first
    assert [each for each in STEPS if f"{each}: " in first.partition("recordings")[2]][-1] == step
    corpus.is_like(tmp_path / "kept")
    assert rests(tmp_path / "kept") == []


def test_a_finished_first_step_of_many_files_is_seen_at_a_glance(run_app: RunApp, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(200):
        write_wav(folder / f"{number}.wav", tone(0.05, hertz=100 + number))
    options = ("--steps", "standardise", "--model", "tiny.en", "--diarizer", "embedded", "--offline")
    first = run_app("emilia", "in", "out", *options)
    assert first.returncode == 0, first.stderr
    assert "standardise: 200 of 200 files" in first.stderr

    again = run_app("emilia", "in", "out", *options)

    assert again.returncode == 0
    assert "standardise:" not in again.stderr
    for result in (first, again):
        assert ".wav" not in result.stderr
        assert len(result.stderr.splitlines()) < 12
