"""What the stages have finished, on a real disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.artefacts import Artefacts, content_key, stage_key
from app.store import write_atomically


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path)


def test_a_recording_is_named_by_its_content(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    first.write_bytes(b"speech")
    again.write_bytes(b"speech")
    other.write_bytes(b"Speech")

    assert content_key(first) == content_key(again) != content_key(other)


def test_an_ending_that_decides_how_it_is_read_is_part_of_the_name(tmp_path: Path) -> None:
    for name in ("a.g722", "a.gsm"):
        (tmp_path / name).write_bytes(b"headerless")

    assert content_key(tmp_path / "a.g722") != content_key(tmp_path / "a.gsm")


def test_a_key_changes_with_the_stage_its_options_and_what_it_is_made_from() -> None:
    key = stage_key("asr", {"beam": 5}, ["x"])

    assert key == stage_key("asr", {"beam": 5}, ["x"])
    assert len({key, stage_key("vad", {"beam": 5}, ["x"]), stage_key("asr", {"beam": 6}, ["x"])}) == 3
    assert key != stage_key("asr", {"beam": 5}, ["y"])


def test_what_is_saved_is_loaded(artefacts: Artefacts) -> None:
    assert artefacts.load("k") is None
    artefacts.save("k", {"text": "¿Qué?", "n": [1, 2.5, None]})
    assert artefacts.load("k") == {"text": "¿Qué?", "n": [1, 2.5, None]}


@pytest.mark.parametrize("content", [b"", b'{"data": ', b"\xff\xfe"])
def test_a_damaged_artefact_is_one_that_is_not_there(artefacts: Artefacts, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k.json").write_bytes(content)

    assert artefacts.load("k") is None


def test_a_waveform_is_kept_until_it_is_dropped(artefacts: Artefacts, tmp_path: Path) -> None:
    waveform = np.linspace(-1, 1, 16_000, dtype=np.float32)

    mapped = artefacts.save_waveform("k", waveform)
    again = artefacts.waveform("k")

    assert np.array_equal(mapped, waveform)
    assert isinstance(mapped, np.memmap)
    assert again is not None
    assert np.array_equal(again, waveform)
    again[:] = 0  # a library may: the file is not changed by it
    third = artefacts.waveform("k")
    assert third is not None
    assert np.array_equal(third, waveform)
    artefacts.drop_waveform("k")
    assert artefacts.waveform("k") is None
    assert list(tmp_path.iterdir()) == []


def test_a_waveform_of_another_boot_is_not_trusted(artefacts: Artefacts, tmp_path: Path) -> None:
    artefacts.save_waveform("k", np.ones(10, np.float32))
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name("k.00000000.f32"))

    assert artefacts.waveform("k") is None


def test_a_checkpoint_holds_what_was_added_and_forgets_half_a_line(artefacts: Artefacts, tmp_path: Path) -> None:
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        assert checkpoint.lines() == []
        checkpoint.add({"n": 1})
        checkpoint.add({"n": 2})
    with (tmp_path / "k.part").open("ab") as file:
        file.write(b'{"n": 3')
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        assert checkpoint.lines() == [{"n": 1}, {"n": 2}]
        checkpoint.add({"n": 4})
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        assert checkpoint.lines() == [{"n": 1}, {"n": 2}, {"n": 4}]
    artefacts.drop_checkpoint("k")
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_does_not_take_leaves_no_gap(artefacts: Artefacts) -> None:
    """Later pieces say what is still to do: kept without an earlier one, that would be lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        checkpoint.add({"n": 1})
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
        try:
            checkpoint.add({"n": 2, "long": "x" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        checkpoint.add({"n": 3})
        assert [line["n"] for line in checkpoint.lines()] == [1, 2, 3]  # for who goes on in this process
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        assert checkpoint.lines() == [{"n": 1}]


def test_two_processes_never_share_a_checkpoint(artefacts: Artefacts, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from app.artefacts import Artefacts\n"
    code += "with Artefacts(Path(sys.argv[1])).checkpoint('k') as checkpoint: print(checkpoint)"
    with artefacts.checkpoint("k") as checkpoint:
        assert checkpoint is not None
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert other.stdout == "None\n"


def test_the_longest_unused_go_first_and_what_may_be_in_use_stays(artefacts: Artefacts, tmp_path: Path) -> None:
    now = time.time()
    ages = {"new": 0, "day": 2, "week": 7, "month": 40}
    for name, days in ages.items():
        write_atomically(tmp_path / f"{name}.json", "x" * 100)
        os.utime(tmp_path / f"{name}.json", (now - days * 86_400,) * 2)

    artefacts.prune(most_bytes=250)
    assert {path.stem for path in tmp_path.iterdir()} == {"new", "day"}
    artefacts.prune(most_bytes=50)
    assert {path.stem for path in tmp_path.iterdir()} == {"new"}


def test_what_is_used_again_is_young_again(artefacts: Artefacts, tmp_path: Path) -> None:
    artefacts.save("k", 1)
    os.utime(tmp_path / "k.json", (0, 0))

    artefacts.load("k")
    artefacts.prune()

    assert artefacts.load("k") == 1
