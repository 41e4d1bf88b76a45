"""What bounds memory: on this machine, and on others shown by another root."""

from __future__ import annotations

from pathlib import Path

import psutil

from app.surroundings import read_surroundings

GIB = 2**30


def test_surroundings_of_this_machine() -> None:
    here = read_surroundings()

    assert here.total == psutil.virtual_memory().total
    assert 0 < here.available <= here.total
    assert here.group_limit is None or here.group_limit < 2**62  # version 1 has a number for none


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_cgroup_of_version_2_and_what_is_above_it(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/user.slice/run.scope/leaf\n",
        "proc/vmstat": "nr_free_pages 1\noom_kill 7\n",
        "proc/sys/vm/overcommit_memory": "2\n",
        "sys/fs/cgroup/memory.max": "4294967296\n",
        "sys/fs/cgroup/user.slice/memory.max": "2147483648\n",
        "sys/fs/cgroup/user.slice/memory.events": "low 0\noom 9\noom_kill 9\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.events": "low 0\noom 3\noom_kill 5\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.events.local": "low 0\noom 2\noom_kill 2\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/leaf/cgroup.procs": "",
    }

    read = read_surroundings(tree(tmp_path, files))

    # The tightest above counts as a limit; the kills are those of the nearest that counts, not of our neighbours.
    assert (read.group_limit, read.group_kills, read.machine_kills, read.strict) == (2 * GIB, 2, 7, True)


def test_a_container_that_is_told_its_hosts_path(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu:/docker/ab\n3:memory:/docker/ab\n0::/../../other\n",
        "sys/other/memory.max": "4096\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
        "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
    }

    read = read_surroundings(tree(tmp_path, files))

    assert (read.group_limit, read.group_kills) == (GIB, 5)


def test_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    read = read_surroundings(tmp_path)

    assert (read.group_limit, read.group_kills, read.machine_kills, read.shm_free) == (None, None, None, None)
    assert not read.strict
