"""Weights that are cut short, told without loading them."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest

from app.verify.intact import fault
from tests.app.sounds import tiny_en


def test_whole_weights() -> None:
    assert fault(tiny_en() / "model.bin") == ""


@pytest.mark.parametrize("kept", [10, 60, 5_000, 40_000_000, 75_537_490, 75_537_501])
def test_weights_cut_anywhere(kept: int, tmp_path: Path) -> None:
    whole = (tiny_en() / "model.bin").read_bytes()
    assert len(whole) == 75_537_502
    path = tmp_path / "model.bin"
    path.write_bytes(whole[:kept])

    if kept < 17:  # not even the name of the format is there: app.models refuses that
        assert fault(path) == ""
    else:
        assert "cut short" in fault(path)


def test_nothing_zeros_and_a_pointer(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for content, said in ((b"", "0 bytes"), (bytes(500), "zeros"), (b"version https://git-lfs.github.com/spec", "LFS")):
        path.write_bytes(content)
        assert said in fault(path)


def test_an_archive_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", bytes(100_000))
    whole = path.read_bytes()
    assert fault(path) == ""

    path.write_bytes(whole[:50_000])

    assert "the end of its archive is missing" in fault(path)


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = json.dumps({"__metadata__": {}, "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(16)
    path.write_bytes(whole)
    assert fault(path) == ""

    for kept in (4, 20, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert "cut short" in fault(path)
