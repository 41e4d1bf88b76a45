"""What bounds the memory of this process and of those it starts: limits, control groups, what the kernel counts."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil

from launcher import hardware

_LIMITS = (("address space", "-v", psutil.RLIMIT_AS), ("data segment", "-d", psutil.RLIMIT_DATA))
_NO_LIMIT = 2**62  # cgroup v1 writes "none" as the largest number of whole pages


class Limit(NamedTuple):
    """A limit that this process stands under, and every child it starts."""

    what: str
    option: str
    """The shell's: `ulimit -v`."""
    size: int
    """Bytes."""
    hard: bool
    """Whether the hard limit is finite as well: then only root can lift it."""

    def __str__(self) -> str:
        return f"the {self.what} is limited to {in_words(self.size)} (ulimit {self.option})"


@dataclass(frozen=True)
class Surroundings:
    """What bounds the memory of this process and its children at one moment. Sizes are in bytes."""

    limits: tuple[Limit, ...]
    """The finite ones of RLIMIT_AS and RLIMIT_DATA."""
    group_limit: int | None
    """The tightest memory limit of our control group and of those above it that can be seen; None: none."""
    group_kills: int | None
    """Processes of our control group that the kernel killed for memory so far; None: nobody counts."""
    machine_kills: int | None
    """The same for the whole machine, by /proc/vmstat."""
    total: int
    """Memory of the machine, or of WSL's virtual one."""
    available: int
    swap: int
    strict: bool
    """vm.overcommit_memory=2: a request for more than can be kept is refused, as under a limit."""
    shm_free: int | None
    """Room in /dev/shm."""
    wsl: bool


def read_surroundings(root: Path = Path("/")) -> Surroundings:
    """Read them now, for this process. `root` is where proc, sys and dev lie; a file that is missing is normal."""
    process = psutil.Process()
    limits = []
    for what, option, which in _LIMITS:
        soft, hard = process.rlimit(which)
        if soft != psutil.RLIM_INFINITY:
            limits.append(Limit(what, option, soft, hard != psutil.RLIM_INFINITY))
    groups = _groups(root)
    bounds = [bound for group in groups for bound in (_bound(group),) if bound is not None]
    # A group that doesn't account for memory leaves it to the next one above.
    kills = [kills for group in groups for kills in (_kills(group),) if kills is not None]
    memory = psutil.virtual_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traffic, where /proc/vmstat is missing; only the size is asked for
        swap = psutil.swap_memory().total
    try:
        shm_free = psutil.disk_usage(str(root / "dev/shm")).free
    except OSError:
        shm_free = None
    return Surroundings(
        limits=tuple(limits),
        group_limit=min(bounds, default=None),
        group_kills=kills[0] if kills else None,
        machine_kills=_counter(root / "proc/vmstat", "oom_kill"),
        total=memory.total,
        available=memory.available,
        swap=swap,
        strict=_read(root / "proc/sys/vm/overcommit_memory").strip() == "2",
        shm_free=shm_free,
        wsl=hardware.under_wsl(),
    )


def _groups(root: Path) -> list[Path]:
    """Folders of our control group and of all above it, ours first; version 2 and, where mounted, version 1.

    A container may be told a path that only its host can see; what is mounted then is its own group.
    """
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        parts = PurePosixPath(path).parts[1:]
        below = [] if ".." in parts else [top.joinpath(*parts[:depth]) for depth in range(len(parts), 0, -1)]
        found += [folder for folder in [*below, top] if folder.is_dir()]
    return found


def _bound(group: Path) -> int | None:
    """Bytes, from version 2's file or version 1's; None where nothing is bounded."""
    text = (_read(group / "memory.max") or _read(group / "memory.limit_in_bytes")).strip()
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _kills(group: Path) -> int | None:
    """By version 2 (without the groups below us, from Linux 5.2 on), or by version 1."""
    for name in ("memory.events.local", "memory.events", "memory.oom_control"):
        if (count := _counter(group / name, "oom_kill")) is not None:
            return count
    return None


def _counter(file: Path, name: str) -> int | None:
    found = re.search(rf"^{name} (\d+)$", _read(file), re.M)
    return int(found[1]) if found else None


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def in_words(size: int) -> str:
    """So many bytes, for people: to a hundredth of a GiB, so that a limit of 4.25 is told from a need of 4.3."""
    if size < 2**30:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**30:.2f}".rstrip("0").rstrip(".") + " GiB"
