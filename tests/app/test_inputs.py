"""From what was typed to recordings, and the names of their outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inputs import collect


def stems(*names: str, folder: Path) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [str(item.stem) for item in collect([folder / name for name in names])[0]]


def test_no_two_outputs_share_a_name(tmp_path: Path) -> None:
    assert stems("a.mp3", "b.mp3", folder=tmp_path / "1") == ["a", "b"]
    assert stems("a.mp3", "a.wav", folder=tmp_path / "2") == ["a.mp3", "a.wav"]
    assert stems("x/a.wav", "y/a.wav", folder=tmp_path / "3") == ["x/a.wav", "y/a.wav"]
    assert len(set(stems("a.mp3", "a.wav", "a.mp3.wav", "z/a.mp3.wav", folder=tmp_path / "4"))) == 4
    stems("p/x/a.wav", "q/x/a.wav", folder=tmp_path)
    inputs, _ = collect([tmp_path / "p" / "x", tmp_path / "q" / "x"])
    assert len({item.stem for item in inputs}) == 2


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.mp3", ["a.mp3"]),
        ("**/*.mp3", ["a.mp3", "day/b.mp3", "day/night/c.mp3"]),
        ("day/?.*", ["day/b.mp3"]),
        ("day*", ["day/b.mp3", "day/night/c.mp3"]),  # a folder that matches is taken whole
        ("**", ["a.mp3", "day/b.mp3", "day/night/c.mp3"]),
        ("a[1].mp3", ["a[1].mp3"]),  # a file may be called so
    ],
)
def test_a_pattern_in_quotes(tmp_path: Path, pattern: str, found: list[str]) -> None:
    for name in ("a.mp3", "day/b.mp3", "day/night/c.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if "[" in pattern:
        (tmp_path / pattern).touch()

    inputs, errors = collect([tmp_path / pattern])

    assert sorted(str(item.path.relative_to(tmp_path)) for item in inputs) == found
    assert errors == []


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    inputs, errors = collect([tmp_path / "*.mp3"])

    assert inputs == []
    assert str(errors[0]) == f"{tmp_path}/*.mp3: no such file or folder"
