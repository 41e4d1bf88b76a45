"""Files that people asked for, and may have edited since."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest

from app.errors import WorkError
from app.outputs import Outcome, Outputs
from tests.app.memory_files import MemoryFiles


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    folder = tmp_path / "memory"
    folder.mkdir()
    return Outputs(folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "talk.txt"


def test_what_is_new_is_written_and_what_is_the_same_is_not_touched(outputs: Outputs, path: Path) -> None:
    assert outputs.write(path, "one\n") == (Outcome.WRITTEN, None)
    before = path.stat()

    assert outputs.write(path, "one\n") == (Outcome.UNCHANGED, None)

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_our_own_is_replaced_without_a_backup(outputs: Outputs, path: Path) -> None:
    for text in ("one\n", "two\n", "three\n"):
        assert outputs.write(path, text) == (Outcome.WRITTEN, None)
    assert path.read_text() == "three\n"
    assert [file.name for file in path.parent.iterdir()] == ["talk.txt"]


def test_an_edit_stays_when_there_is_nothing_new_to_say(outputs: Outputs, path: Path) -> None:
    outputs.write(path, "one\n")
    path.write_text("ONE\n")

    assert outputs.write(path, "one\n") == (Outcome.EDIT_KEPT, None)

    assert path.read_text() == "ONE\n"


def test_an_edit_is_kept_beside_what_is_new(outputs: Outputs, path: Path) -> None:
    outputs.write(path, "one\n")
    for number, edit in enumerate(("edit 1\n", "edit 2\n"), 1):
        path.write_text(edit)
        outcome, backup = outputs.write(path, f"new {number}\n")
        assert outcome is Outcome.WRITTEN
        assert isinstance(backup, Path)
        assert backup.read_text() == edit
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {
        "talk.txt": "new 2\n",
        "talk.txt.bak": "edit 1\n",
        "talk.txt.bak2": "edit 2\n",
    }


def test_a_file_we_never_wrote_is_kept_beside(outputs: Outputs, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("my notes\n")

    assert outputs.write(path, "one\n").backup == path.with_name("talk.txt.bak")

    assert path.with_name("talk.txt.bak").read_text() == "my notes\n"


def test_a_kill_between_memory_and_file_makes_no_backup(
    outputs: Outputs, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs.write(path, "one\n")
    with monkeypatch.context() as patch:
        real = Outputs._remember

        def killed(self: Outputs, path: Path, hashes: list[str]) -> None:
            real(self, path, hashes)
            raise KeyboardInterrupt

        patch.setattr(Outputs, "_remember", killed)
        with pytest.raises(KeyboardInterrupt):
            outputs.write(path, "two\n")

    assert path.read_text() == "one\n"
    again = Outputs(path.parent.parent / "memory")
    assert again.write(path, "two\n") == (Outcome.WRITTEN, None)


def fail_half_way(outputs: Outputs, path: Path) -> None:
    """A limit on the size of files stands for the full disk: the same call fails, half way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError):
            outputs.write(path, "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_leaves_the_old_file(outputs: Outputs, path: Path) -> None:
    outputs.write(path, "one\n")
    fail_half_way(outputs, path)

    assert path.read_text() == "one\n"
    assert [file.name for file in path.parent.iterdir()] == ["talk.txt"]


def test_a_disk_without_room_leaves_an_edited_file_under_its_name(outputs: Outputs, path: Path) -> None:
    outputs.write(path, "one\n")
    path.write_text("edited\n")
    fail_half_way(outputs, path)

    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {"talk.txt": "edited\n"}
    assert outputs.write(path, "x" * 10_000).backup == path.with_name("talk.txt.bak"), (
        "what did not come was not edited"
    )
    assert path.read_text() == "x" * 10_000


def test_what_a_killed_run_left_half_written_goes(outputs: Outputs, path: Path) -> None:
    path.parent.mkdir()
    old, new = path.with_name(".run-app-old"), path.with_name(".run-app-new")
    for part in (old, new):
        part.touch()
    os.utime(old, (0, 0))

    outputs.write(path, "one\n")

    assert not old.exists()
    assert new.exists()  # somebody may be at it


def test_something_that_is_no_file_is_left_alone(outputs: Outputs, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)

    with pytest.raises(OSError):
        outputs.write(path, "one\n")

    assert stat.S_ISFIFO(path.stat().st_mode)


URL = "memory://out/talk.txt"


def test_an_output_elsewhere_is_replaced_where_it_is_ours(
    outputs: Outputs, memory: MemoryFiles, tmp_path: Path
) -> None:
    assert outputs.write(URL, "one\n") == (Outcome.WRITTEN, None)
    assert outputs.write(URL, "one\n") == (Outcome.UNCHANGED, None)
    assert Outputs(tmp_path / "memory").write("memory:///out/talk.txt", "two\n") == (Outcome.WRITTEN, None)
    assert memory.texts() == {"/out/talk.txt": "two\n"}


def test_an_edit_elsewhere_is_kept(outputs: Outputs, memory: MemoryFiles) -> None:
    outputs.write(URL, "one\n")
    memory.put("/out/talk.txt", data=b"edit\n")
    assert outputs.write(URL, "one\n") == (Outcome.EDIT_KEPT, None)
    assert outputs.write(URL, "two\n") == (Outcome.WRITTEN, f"{URL}.bak")
    memory.put("/out/talk.txt", data=b"edit 2\n")
    assert outputs.write(URL, "three\n") == (Outcome.WRITTEN, f"{URL}.bak2")
    assert memory.texts() == {
        "/out/talk.txt": "three\n",
        "/out/talk.txt.bak": "edit\n",
        "/out/talk.txt.bak2": "edit 2\n",
    }


@pytest.mark.parametrize("call", range(3))
def test_whatever_breaks_off_no_edit_is_lost(
    outputs: Outputs, memory: MemoryFiles, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """The first write is the backup's, the second the output's; the third is never made."""
    outputs.write(URL, "one\n")
    memory.put("/out/talk.txt", data=b"edit\n")
    whole, calls = memory.kind.pipe_file, iter(range(9))

    def pipe(self: Any, path: str, value: bytes, **more: object) -> None:
        if next(calls) == call:
            raise PermissionError("no")
        whole(self, path, value, **more)

    monkeypatch.setattr(memory.kind, "pipe_file", pipe)
    if call < 2:
        with pytest.raises(WorkError, match=r"^memory://out/talk\.txt(\.bak)?: access denied"):
            outputs.write(URL, "two\n")
    outputs.write(URL, "two\n")

    assert memory.texts()["/out/talk.txt"] == "two\n"
    assert "edit\n" in memory.texts().values()
