"""The machine: limits, memory, disks, and under WSL its .wslconfig."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.surroundings import in_words, read_surroundings
from app.verify import Check, Seen, Status, Task, disks, limits, needs, wsl
from app.verify.needs import GIB, MIB
from app.verify.requirements import version_of

SHARED_MEMORY = GIB
"""A container's default is 64 MiB; programs that pass data between processes through it need more."""


def tasks(seen: Seen, root: Path = Path("/")) -> list[Task]:
    """Everything here is quick, and starts no child. `root` is where proc, sys, dev and mnt lie."""
    return [
        Task("limits", lambda: limits.checks(seen, root), 5),
        Task("memory", lambda: memory(seen, root), 5),
        Task("disks", lambda: disks.checks(seen), 5),
        Task("WSL", lambda: wsl.checks(seen, root), 5),
    ]


def memory(seen: Seen, root: Path = Path("/")) -> list[Check]:
    """What there is of it, what a control group leaves, what the kernel promises, swap, and /dev/shm."""
    counts = needs.meminfo(root)
    return [
        _free(seen, counts, root),
        _group(seen, counts, root),
        _promises(seen, counts, root),
        _swap(seen, counts),
        _shared(root),
    ]


def least(seen: Seen) -> tuple[int, str]:
    """Bytes below which something dies as soon as it is loaded, and what: the profile's model, or an import."""
    imports = [(size, f"`import {name}`") for name, size in needs.IMPORTS.items() if version_of(name)]
    return max((_model(seen), f"transcribing with {needs.model(seen.environment)}"), *imports)


def _model(seen: Seen) -> int:
    """Bytes below which the profile's model is not even loaded."""
    return (needs.weights(seen.environment) or 0) + needs.BESIDE_WEIGHTS


def enough(seen: Seen) -> int:
    """Bytes that every stage gets along with, one after another."""
    return (needs.weights(seen.environment) or 0) + (needs.STAGES if needs.has_torch() else 2 * needs.BESIDE_WEIGHTS)


def _takes(seen: Seen) -> str:
    stages = "alignment and speakers" if needs.has_torch() else "what goes with it"
    return f"{needs.model(seen.environment)} and {stages} take about {in_words(enough(seen))}"


def _smaller(seen: Seen) -> str:
    profile = ",".join(seen.profiles) or "cpu"
    return f"run-app --profile {profile} --set RUN_APP_MODEL=tiny" if _big(seen) else "more memory"


def _big(seen: Seen) -> bool:
    return (needs.weights(seen.environment) or 0) > 100 * 10**6


def _free(seen: Seen, counts: dict[str, int], root: Path) -> Check:
    total, available = counts.get("MemTotal"), counts.get("MemAvailable")
    if total is None or available is None:
        return Check("memory", "memory", "SKIP", "/proc/meminfo does not tell", "mount /proc")
    facts = {"total": total, "available": available, "needs": enough(seen)}
    said = f"{in_words(available)} free of {in_words(total)}; {_takes(seen)}"
    more = "memory= in .wslconfig, then wsl --shutdown" if wsl.under(root) else "more memory"
    size, what = least(seen)
    if total + counts.get("SwapTotal", 0) < size:
        said += f"; {what} alone takes {in_words(size)}"
        todo = _smaller(seen) if _big(seen) and size == _model(seen) else more
        return Check("memory", "memory", "FAIL", said, todo, facts)
    if total < enough(seen):
        return Check("memory", "memory", "WARN", said, _smaller(seen) if _big(seen) else more, facts)
    if available < enough(seen):
        return Check("memory", "memory", "WARN", said, "end what holds the rest: ps aux --sort -rss | head", facts)
    return Check("memory", "memory", "OK", said, "", facts)


def _group(seen: Seen, counts: dict[str, int], root: Path) -> Check:
    limit = read_surroundings(root).group_limit
    facts = {"limit": limit}
    if limit is None or limit >= counts.get("MemTotal", 0) > 0:
        return Check("cgroup-memory", "cgroup", "OK", "memory not limited", "", facts)
    said = f"memory limited to {in_words(limit)}; {_takes(seen)}"
    if limit >= enough(seen):
        return Check("cgroup-memory", "cgroup", "OK", said, "", facts)
    todo = f"raise the limit of the container (docker run --memory {_gigabytes(seen)}g) or unit (MemoryMax=)"
    size, what = least(seen)
    if limit < size:
        said += f"; {what} alone takes {in_words(size)}"
    said += "; the kernel kills what goes beyond"
    return Check("cgroup-memory", "cgroup", "FAIL" if limit < size else "WARN", said, todo, facts)


def _gigabytes(seen: Seen) -> int:
    return -(-enough(seen) // GIB) + 1


def _promises(seen: Seen, counts: dict[str, int], root: Path) -> Check:
    """With vm.overcommit_memory=2 a request fails once all promises reach a limit, however much is free."""
    name = "vm.overcommit_memory"
    try:
        mode = (root / "proc/sys/vm/overcommit_memory").read_text().strip()
    except OSError:
        return Check("overcommit", name, "SKIP", "the kernel does not tell it here", "mount /proc")
    if mode != "2":
        return Check("overcommit", name, "OK", f"{mode}: a request is not refused while memory is free")
    left = max(0, counts.get("CommitLimit", 0) - counts.get("Committed_AS", 0))
    facts = {"left": left}
    said = f"2: the kernel promises {in_words(left)} more, and refuses what goes beyond (std::bad_alloc)"
    status: Status = "FAIL" if left < enough(seen) else "WARN"
    return Check("overcommit", name, status, f"{said}; {_takes(seen)}", "sudo sysctl vm.overcommit_memory=0", facts)


def _swap(seen: Seen, counts: dict[str, int]) -> Check:
    size, free, available = (counts.get(name, 0) for name in ("SwapTotal", "SwapFree", "MemAvailable"))
    facts = {"total": size, "free": free}
    if size:
        return Check("swap", "swap", "OK", f"{in_words(free)} free of {in_words(size)}", "", facts)
    if available >= 2 * enough(seen):
        return Check("swap", "swap", "OK", "none; memory suffices without", "", facts)
    said = f"none, and {in_words(available)} of memory free: a moment's peak ends in the out-of-memory killer"
    return Check("swap", "swap", "WARN", said, "swap of a few GiB: man mkswap, man swapon", facts)


def _shared(root: Path) -> Check:
    id, what, folder = "shared-memory", "/dev/shm", root / "dev/shm"
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Check(id, what, "WARN", f"not there ({error.strerror}): locks between processes need it", "mount it")
    facts = {"total": usage.total, "free": usage.free}
    if reason := disks.refused(folder):
        said = f"can't be written ({reason}): locks between processes need it"
        return Check(id, what, "WARN", said, "sudo chmod 1777 /dev/shm", facts)
    said = f"{in_words(usage.free)} free of {in_words(usage.total)}"
    if usage.free < MIB:
        return Check(
            id, what, "WARN", f"{said}: who writes there dies of SIGBUS", "remove what lies in /dev/shm", facts
        )
    if usage.total >= SHARED_MEMORY:
        return Check(id, what, "OK", said, "", facts)
    # The object store of --engine ray holds paths and messages, no audio, and falls back to the disk.
    return Check(id, what, "OK", f"{said}: little, and no stage here uses it", "", facts)
