"""From what was typed to recordings, and the names of their outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.inputs import Input, collect
from app.remote import Location
from tests.app.memory_files import MemoryFiles
from tests.app.s3 import Server, bucket, client


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

    assert sorted(str(Path(item.path).relative_to(tmp_path)) for item in inputs) == found
    assert errors == []


def test_a_pattern_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    inputs, errors = collect([tmp_path / "*.mp3"])

    assert inputs == []
    assert str(errors[0]) == f"{tmp_path}/*.mp3: no such file or folder"


def places(*arguments: Location) -> dict[str, str]:
    inputs, errors = collect(arguments)
    assert errors == []
    return {str(item.path): str(item.stem) for item in inputs}


def test_a_folder_elsewhere_is_mirrored(memory: MemoryFiles) -> None:
    memory.put("/talks/b.mp3", "/talks/a.mp3", "/talks/day 1/c.wav", "/talks/.hidden.mp3", "/talks/notes.txt")

    assert places("memory://talks") == {
        "memory:///talks/a.mp3": "a",
        "memory:///talks/b.mp3": "b",
        "memory:///talks/day 1/c.wav": "day 1/c",
    }
    assert places("memory://talks/notes.txt") == {"memory:///talks/notes.txt": "notes"}  # named, it may be called so
    assert places("memory://talks/", "memory://talks/a.mp3") == places("memory://talks"), "each is done once"


def test_no_two_outputs_share_a_name_wherever_their_recordings_are(memory: MemoryFiles, tmp_path: Path) -> None:
    memory.put("/talks/a.mp3", "/talks/a.wav", "/x/talks/b.mp3", "/y/talks/b.mp3")
    for name in ("c.mp3", "talks/b.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    memory.put("/c.mp3")

    found = places("memory://talks", "memory://x/talks", "memory://y/talks", tmp_path / "talks", tmp_path / "c.mp3")
    assert list(found.values()) == [
        *("a.mp3", "a.wav", "memory/x/talks/b.mp3", "memory/y/talks/b.mp3"),
        *(f"{tmp_path / 'talks' / 'b.mp3'}"[1:], "c"),
    ]
    assert list(places(tmp_path / "c.mp3", "memory://c.mp3").values()) == [f"{tmp_path.name}/c.mp3", "memory/c.mp3"]


def test_objects_that_no_path_can_tell_apart(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket(s3)
    for key in ("a//b.mp3", "a/b.mp3"):
        client(s3).put_object(Bucket="speech", Key=key, Body=b"x")
    for name, value in s3.environment({}).items():
        monkeypatch.setenv(name, value)

    found = places("s3://speech")

    assert len(set(found.values())) == 2
    assert not [stem for stem in found.values() if Path(stem).is_absolute()]


def test_what_is_wrong_costs_its_own_place(memory: MemoryFiles, tmp_path: Path) -> None:
    memory.put("/talks/a.mp3", "/empty/notes.txt")
    (tmp_path / "b.wav").touch()

    urls = ("memory://none.mp3", "memory://talks", "memory://empty", "nosuch://x", "s3://me:geheim@bucket/a.mp3")
    inputs, errors = collect([*urls, "file://host/a.wav", str(tmp_path / "b.wav")])

    assert [item.name for item in inputs] == ["a.mp3", "b.wav"]
    assert [str(error).partition(": ")[2] for error in errors[:3]] == [
        *("no such file", "no recordings below it (by their endings)"),
        "fsspec knows no nosuch://; s3://, gs:// and https:// are some that it knows",
    ]
    assert len(errors) == 5
    assert "geheim" not in str(errors[3])


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.wav").touch()
    (item,) = collect([f"file://{tmp_path}/a%20b.wav"])[0]
    assert item.path == tmp_path / "a b.wav"


def test_the_name_of_a_web_address_is_plain_and_without_its_signature() -> None:
    item = Input("https://a.org/day/talk%20one.mp3?X-Amz-Signature=geheim", Path("x"))
    assert (item.name, item.shown) == ("talk one.mp3", "https://a.org/day/talk%20one.mp3")
    assert Input("https://a.org/..%2Ftalk.mp3", Path("x")).name == "..%2Ftalk.mp3"


def test_outputs_in_a_folder_elsewhere() -> None:
    item = Input(Path("/in/day 1/a.mp3"), Path("day 1/a"))
    for folder in ("s3://bucket/out", "s3://bucket/out/"):
        assert item.outputs(folder, ("txt",)) == {"txt": "s3://bucket/out/day 1/a.txt"}
