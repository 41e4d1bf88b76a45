"""The command over real files, with its real workers; most tests take the first step alone, which needs no model."""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.app.conftest import RunApp
from tests.app.sounds import RATE, encode, tone, write_wav

Emilia = Callable[..., subprocess.CompletedProcess[str]]
FIRST = ("--steps", "standardise")
MODELS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline")


@pytest.fixture
def emilia(run_app: RunApp) -> Emilia:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return run_app("emilia", *arguments, *MODELS)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good recordings, of which two have one name, a silent one and a broken one."""
    made = tmp_path / "in"
    made.mkdir()
    encode(made / "a.mp3", tone(2), "libmp3lame")
    write_wav(made / "a.wav", tone(3, hertz=300))
    write_wav(made / "b.wav", tone(1, hertz=200))
    write_wav(made / "silence.wav", np.zeros(16_000, np.float32))
    (made / "broken.mp3").write_bytes(bytes(range(256)) * 64)
    return made


def done(out: Path) -> dict[str, int]:
    """Names of the done-marks, and when they were made."""
    return {path.name: path.stat().st_mtime_ns for path in (out / ".run-app-emilia" / "done").glob("*.json")}


def said(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_broken_recording_does_not_stop_the_others(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    result = emilia(folder, "out", *FIRST)

    assert result.returncode == 1
    assert "broken.mp3: not a recording" in said(result)
    assert "standardise: 4 of 5 files" in result.stderr
    assert len(done(tmp_path / "out")) == 4


def test_the_same_command_does_nothing_twice(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    emilia(folder, "out", *FIRST)
    before = done(tmp_path / "out")

    again = emilia(folder, "out", *FIRST)

    assert done(tmp_path / "out") == before
    assert again.returncode == 1
    assert "broken.mp3: not a recording" in said(again)
    assert "in quarantine: --retry tries it again" in again.stderr
    assert "standardise:" not in again.stderr


def test_what_is_new_or_changed_is_done_and_nothing_else(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mp3").unlink()
    assert emilia(folder, "out", *FIRST).returncode == 0
    before = done(tmp_path / "out")
    write_wav(folder / "b.wav", tone(2, hertz=250))
    write_wav(folder / "c.wav", tone(2, hertz=350))

    again = emilia(folder, "out", *FIRST)

    assert "standardise: 2 of 2 files" in said(again)
    assert {name: at for name, at in done(tmp_path / "out").items() if name in before} == before


@pytest.mark.slow
def test_what_finished_before_a_kill_is_not_done_again(
    emilia: Emilia, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        write_wav(folder / f"{number}.wav", np.tile(tone(30, hertz=100 + number), 10))
    arguments = [*command, "emilia", str(folder), "out", *FIRST, *MODELS]
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 120
        while len(done(tmp_path / "out")) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    time.sleep(2)  # its worker ends within that
    before = done(tmp_path / "out")
    assert 3 <= len(before) < 12

    assert emilia(folder, "out", *FIRST).returncode == 0

    after = done(tmp_path / "out")
    assert len(after) == 12
    assert {name: at for name, at in after.items() if name in before} == before


def test_what_fails_three_times_is_in_quarantine_until_it_is_let_out(emilia: Emilia, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_wav(folder / "a.wav", tone(2))
    emilia(folder, "out", *FIRST)
    (mark,) = done(tmp_path / "out")
    ledger = tmp_path / "out" / ".run-app-emilia"
    sound = ledger / "audio" / f"{mark.removesuffix('.json')}.flac"
    sound.unlink()
    sound.mkdir()  # in the way of what is to be written
    (ledger / "done" / mark).unlink()

    result = emilia(folder, "out", *FIRST)

    assert result.returncode == 1
    assert said(result).count("IsADirectoryError") >= 3
    assert json.loads((ledger / "tries" / mark).read_text())["number"] == 3
    sound.rmdir()
    assert "in quarantine" in said(emilia(folder, "out", *FIRST))
    assert emilia(folder, "out", *FIRST, "--retry").returncode == 0
    assert list(done(tmp_path / "out")) == [mark]


def test_an_output_of_other_settings_says_what_would_be_done_again(
    emilia: Emilia, folder: Path, tmp_path: Path
) -> None:
    emilia(folder, "out", *FIRST)
    before = done(tmp_path / "out")

    refused = emilia(folder, "out", *FIRST, "--dnsmos-min", "3.2")
    louder = tmp_path / "emilia.toml"
    louder.write_text("target_dbfs = -18\n")
    both = emilia(folder, "out", *FIRST, "--config", louder)

    assert refused.returncode == both.returncode == 2
    line = "the last run here had dnsmos_min: 3.0, now 3.2: export would be done again; --redo does it"
    assert line in said(refused)
    everything = "standardise, diarize, vad, asr, score, export would be done again"
    assert f"target_dbfs: -20.0, now -18.0: {everything}" in said(both)
    assert done(tmp_path / "out") == before
    assert emilia(folder, "out", *FIRST, "--dnsmos-min", "3.2", "--redo").returncode == 1
    assert done(tmp_path / "out") == before


def test_a_second_run_in_the_same_folder_stops(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    emilia(folder, "out", *FIRST)
    with (tmp_path / "out" / ".run-app-emilia" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        result = emilia(folder, "out", *FIRST)

    assert result.returncode == 2
    assert "another run is at work here" in said(result)


def test_shards_share_a_folder_and_do_it_all_between_them(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mp3").unlink()
    for shard in ("1/3", "2/3", "3/3"):
        assert emilia(folder, "out", *FIRST, "--shard", shard).returncode == 0
    assert len(done(tmp_path / "out")) == 4

    assert "standardise:" not in said(emilia(folder, "out", *FIRST))


def test_two_workers_do_what_one_does(emilia: Emilia, folder: Path, tmp_path: Path) -> None:
    emilia(folder, "one", *FIRST)

    result = emilia(folder, "two", *FIRST, "--workers", "2")

    assert "standardise: 4 of 5 files" in said(result)
    assert set(done(tmp_path / "one")) == set(done(tmp_path / "two"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("empty", "out"), "no recordings in this folder"),
        (("absent", "out"), "No such file"),
        (("wrong.jsonl", "out"), "wrong.jsonl:2: not a JSON object"),
        (("in", "in/out"), "lies in"),
        (("in", "out", "--shard", "3/2"), "--shard 3/2: must be i/N"),
        (("in", "out", "--steps", "dance"), "unknown step 'dance'"),
        (("in", "out", "--languages", "en,klingon"), "does not know 'klingon'"),
        (("in", "out", "--dnsmos-min", "6"), "dnsmos_min = 6.0: must be at least 0 and at most 5"),
        (("in", "out", "--separation-model", "none.onnx"), "none.onnx: no such file"),
        (("in", "out", "--config", "none.toml"), "none.toml: No such file"),
        (("in", "file"), "can't write there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    emilia: Emilia, folder: Path, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "wrong.jsonl").write_text('{"path": "in/a.wav"}\n{"path": \n')

    result = emilia(*arguments)

    assert result.returncode == 2
    assert line in said(result)
    assert not (tmp_path / "out" / ".run-app-emilia" / "settings.json").exists()


def test_a_full_disk_stops_the_run_in_one_line_and_blames_no_recording(
    emilia: Emilia, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_wav(folder / "a.wav", np.random.default_rng(1).normal(0, 0.1, 5 * RATE).astype(np.float32))
    # A limit on a file's size stands in for it: the write fails in the middle.
    limited = ["bash", "-c", 'ulimit -f 60; exec "$@"', "-", *command, "emilia", "in", "out", *FIRST, *MODELS]

    full = subprocess.run(limited, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert full.returncode == 1
    assert "what is finished is kept, the same command goes on" in said(full)
    ledger = tmp_path / "out" / ".run-app-emilia"
    assert not any((ledger / "tries").iterdir())
    assert not any((ledger / "audio").iterdir())
    assert emilia("in", "out", *FIRST).returncode == 0
