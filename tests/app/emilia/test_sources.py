from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.emilia.sources import Shard, Source, find_sources, read_shard
from app.errors import UsageError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_recordings_of_one_name_do_not_collide(tmp_path: Path, out: Path) -> None:
    folder = make(tmp_path / "in", "a.mp3", "a.wav", "day1/a.mp3", "day2/a.mp3", "notes.txt")

    sources = find_sources(folder, out)

    assert [source.name for source in sources] == ["a.mp3", "a.wav", "day1/a.mp3", "day2/a.mp3"]
    assert len({source.id for source in sources}) == 4
    assert all(source.id.startswith("a-") for source in sources)


def test_an_identifier_does_not_depend_on_the_other_recordings_nor_on_where_the_folder_is(
    tmp_path: Path, out: Path
) -> None:
    before = find_sources(make(tmp_path / "in", "a.mp3"), out)[0].id
    make(tmp_path / "in", "a.wav", "0.wav", "b/a.mp3")
    (tmp_path / "in").rename(tmp_path / "moved")

    after = {source.name: source.id for source in find_sources(tmp_path / "moved", out)}

    assert after["a.mp3"] == before


@pytest.mark.parametrize("name", ["ein Gespräch/Teil 1 – über «x».wav", "../up.wav", "x" * 200 + ".mp3", ".wav.mp3"])
def test_an_identifier_is_a_name_that_a_folder_can_have(tmp_path: Path, out: Path, name: str) -> None:
    (tmp_path / "list.txt").write_text(f"{name}\n")

    (source,) = find_sources(tmp_path / "list.txt", out)

    (out / source.id).mkdir(parents=True)
    assert "/" not in source.id
    assert " " not in source.id


def test_a_name_that_is_no_text_is_a_recording_too(tmp_path: Path, out: Path) -> None:
    folder = make(tmp_path / "in")
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.wav")).write_bytes(b"x")

    (source,) = find_sources(folder, out)

    assert Path(source.path).read_bytes() == b"x"
    (out / source.id).mkdir(parents=True)


def test_a_list_and_a_manifest_name_recordings_relative_to_themselves(tmp_path: Path, out: Path) -> None:
    make(tmp_path, "talks/a.mp3", "b.wav")
    (tmp_path / "list.txt").write_text("# ours\ntalks/a.mp3\n\nb.wav\ntalks/../b.wav\n")
    (tmp_path / "all.jsonl").write_text(
        '{"audio": "talks/a.mp3", "text": "hello"}\n\n'
        f'{{"path": "{tmp_path}/b.wav"}}\n'
        '{"audio": {"path": "b.wav"}}\n'
    )

    listed, manifest = (find_sources(tmp_path / name, out) for name in ("list.txt", "all.jsonl"))

    assert [source.path for source in listed] == [tmp_path / "b.wav", tmp_path / "talks/a.mp3"]
    assert manifest == listed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"path": "a.mp3"', "not a JSON object: "),
        ('["a.mp3"]', "not a JSON object, but"),
        ('{"file": "a.mp3"}', "names no recording"),
        ('{"path": 7}', "names no recording"),
        ('{"path": ""}', "names no recording"),
        ('{"path": "a\\u0000.mp3"}', "names no recording"),
        ('{"path": "a\\ud800.mp3"}', "names no recording"),
    ],
)
def test_a_wrong_line_of_a_manifest_is_named_by_its_number(tmp_path: Path, out: Path, line: str, said: str) -> None:
    manifest = tmp_path / "all.jsonl"
    manifest.write_text(f'{{"path": "a.mp3"}}\n\n{line}\n')

    with pytest.raises(UsageError) as error:
        find_sources(manifest, out)

    assert str(error.value).startswith(f"{manifest}:3: ")
    assert said in str(error.value)


def test_nothing_to_do_is_said_in_one_line(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("# none\n")
    (tmp_path / "data.bin").write_bytes(b"\xff\x00")
    for name, said in {
        "empty": "no recordings in this folder",
        "list.txt": "names no recording",
        "data.bin": "neither a folder nor a list",
        "absent": "No such file",
    }.items():
        with pytest.raises(UsageError, match=said):
            find_sources(tmp_path / name, out)


def test_an_output_folder_inside_the_input_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "in", "a.mp3")

    with pytest.raises(UsageError, match="would be read as recordings"):
        find_sources(folder, folder / "out")


file_names = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(file_names, unique=True), st.integers(1, 9))
def test_shards_are_disjoint_and_complete_in_any_order(names: list[str], of: int) -> None:
    sources = [Source(name, Path("/", name), name) for name in names]
    shuffled = random.Random(1).sample(sources, len(sources))

    parts = [[s for s in sources if Shard(n, of).has(s)] for n in range(1, of + 1)]
    again = [[s for s in shuffled if Shard(n, of).has(s)] for n in range(1, of + 1)]

    assert sorted(s.name for part in parts for s in part) == sorted(names)
    assert [set(part) for part in parts] == [set(part) for part in again]


def test_a_shard_is_read_or_refused() -> None:
    assert read_shard("2/4") == Shard(2, 4)
    for text in ("0/4", "5/4", "2", "a/b", "1/0", "-1/2", "1/2/3", "１/２"):
        with pytest.raises(ValueError, match="i/N"):
            read_shard(text)
