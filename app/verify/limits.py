"""The limits of this process (ulimit), which every child of it stands under."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from app.diagnosis import TORCH_NEEDS
from app.surroundings import in_words, read_surroundings
from app.verify import Check, Seen, Status, needs
from app.verify.needs import GIB, MIB

TORCH_WORKS = int(5.6 * GIB)
"""From here on whisperX works on 2 cores. Between this and TORCH_NEEDS torch is imported, and what fails then names
anything but the limit; arenas and threads of 32 cores take up to 1.2 GiB more."""
BASE_BYTES = 145 * 10**6
TORCH_DATA = 800 * MIB
"""`import torch` ends in std::bad_alloc with an RLIMIT_DATA of 600 or 700 MiB."""
DATA_LESS = 460 * MIB
"""Of what is mapped, RLIMIT_DATA counts less: with 2 workers tiny.en fails at 1200 MiB and works at 1300, base fails at
1550 and works at 1650; with 4 tiny.en fails at 1500 and works at 1600.
"""
FEW_FILES = 256
LITTLE_LOCKED = 64 * 1024


def checks(seen: Seen, root: Path = Path("/")) -> list[Check]:
    """Address space, data segment, open files, locked memory, and the encoding of file names."""
    limits = {limit.option: limit for limit in read_surroundings(root).limits}
    found = [
        _address_space(seen, limits["-v"].size if "-v" in limits else None),
        _data(seen, limits["-d"].size if "-d" in limits else None),
        _files(),
        _locked(root),
    ]
    if sys.getfilesystemencoding().lower() != "utf-8":
        said = f"{sys.getfilesystemencoding()}: a file name or a transcript with an accent can't be written"
        found.append(Check("encoding", "encoding", "FAIL", said, "run-app --set PYTHONUTF8=1"))
    return found


def asr_needs(weights: int, workers: int) -> int:
    """Bytes of address space that transcribing without torch takes, each worker with a thread of its own and a chunk in
    hand. Measured, MiB that fail and that work:

    workers       1            2            4            8
    tiny.en  1400  1500   1700  1760   2050  2200   2750  2900
    base     1800  1850   2050  2100   2650  2750   3200  3400

    Of larger models only the weights are added, twice: as they are read and as they run.
    """
    known = min(weights, BASE_BYTES)
    return int(1300 * MIB + 1.5 * known + workers * (64 * MIB + 1.7 * known)) + 2 * (weights - known)


def _asr(seen: Seen) -> tuple[str, int]:
    """What of the profile needs no torch, in words, and what it takes of address space."""
    workers = needs.workers(seen.environment)
    by = "1 worker" if workers == 1 else f"{workers} workers"
    least = asr_needs(needs.weights(seen.environment) or BASE_BYTES, workers)
    return f"transcribing with {needs.model(seen.environment)} by {by}", least


def _address_space(seen: Seen, size: int | None) -> Check:
    def check(status: Status, said: str) -> Check:
        todo = "" if status == "OK" else lift("-v", resource.RLIMIT_AS)
        return Check("address-space", "address space", status, said, todo, {"limit": size})

    if size is None:
        return check("OK", "not limited")
    limit = f"limited to {in_words(size)} (RLIMIT_AS)"
    asr, least = _asr(seen)
    torch = needs.has_torch()
    if size < least:
        return check("FAIL", f"{limit}: {asr} takes about {in_words(least)}")
    if torch and size < TORCH_NEEDS:
        said = f"{limit}: `import torch` alone maps {in_words(TORCH_NEEDS)}, and ends in std::bad_alloc or ImportError"
        return check("FAIL", said)
    if torch and size < TORCH_WORKS:
        said = f"{limit}: torch is imported, and its stages fail or hang below {in_words(TORCH_WORKS)}"
        return check("FAIL", said)
    if seen.environment.get("RUN_APP_DEVICE") == "cuda":
        return check("WARN", f"{limit}: CUDA reserves far more address space than it uses memory")
    rest = "" if torch else f": enough without torch, which would map {in_words(TORCH_NEEDS)}"
    return check("OK", limit + rest)


def _data(seen: Seen, size: int | None) -> Check:
    id, what, facts = "data-segment", "data segment", {"limit": size}
    if size is None:
        return Check(id, what, "OK", "not limited", "", facts)
    asr, mapped = _asr(seen)
    least = mapped - DATA_LESS
    said, todo = f"limited to {in_words(size)} (RLIMIT_DATA)", lift("-d", resource.RLIMIT_DATA)
    if size < least:
        said += f": {asr} takes about {in_words(least)}"
        if needs.has_torch() and size < TORCH_DATA:
            said += ", and `import torch` ends in std::bad_alloc"
        return Check(id, what, "FAIL", said, todo, facts)
    stages = needs.STAGES + (needs.weights(seen.environment) or BASE_BYTES)
    if needs.has_torch() and size < stages:
        said += f": alignment and speakers take about {in_words(stages)}"
        return Check(id, what, "WARN", said, todo, facts)
    return Check(id, what, "OK", said, "", facts)


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    facts = {"soft": soft, "hard": hard}
    said = "not limited" if soft == resource.RLIM_INFINITY else f"{soft:,} at once"
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        return Check("open-files", "open files", "OK", said, "", facts)
    said += f": a page with a few visitors, or several files at once, takes up to {FEW_FILES}"
    return Check("open-files", "open files", "WARN", said, f"ulimit -n {min(hard, 1024) if hard > 0 else 1024}", facts)


def _locked(root: Path) -> Check:
    """Of use only to who pins host memory for a card; whether the driver counts that here is not known."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    facts = {"limit": soft}
    said = "not limited" if soft == resource.RLIM_INFINITY else f"up to {_small(soft)}"
    if soft == resource.RLIM_INFINITY or soft >= LITTLE_LOCKED or not has_card(root):
        return Check("locked-memory", "locked memory", "OK", said, "", facts)
    said += ": pinned buffers for a card may be refused"
    return Check("locked-memory", "locked memory", "WARN", said, lift("-l", resource.RLIMIT_MEMLOCK), facts)


def has_card(root: Path) -> bool:
    """Whether the kernel shows a device of NVIDIA's driver, or WSL's one."""
    return any((root / name).exists() for name in ("dev/nvidia0", "dev/dxg"))


def lift(option: str, which: int) -> str:
    """What lifts this limit; who can't do so himself reads where it comes from."""
    hard = resource.getrlimit(which)[1]
    where = "" if hard == resource.RLIM_INFINITY else _WHERE
    return f"ulimit {option} unlimited{where}"


_WHERE = " where it is set: ~/.bashrc, limits.conf, a systemd unit or a job scheduler"


def _small(size: int) -> str:
    return f"{size // 1024} KiB" if size < MIB else in_words(size)
