"""What a whole process costs: wall and CPU seconds, and the peak of its largest process. For the benchmarks here."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    """User and system, of the process and of all children it waited for."""
    peak_mib: float
    """Resident set of the largest single process among them, by the kernel's own count."""


def measure(command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path) -> Cost:
    """Run a command to its end; SystemExit with the end of its output if it fails."""
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(map(str, command))}: exit {code}\n{log.read_text(errors='replace')[-2000:]}")
    process.returncode = code
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(*(statistics.median(column) for column in zip(*map(astuple, costs), strict=True)))


def ratios(ours: Sequence[Cost], theirs: Sequence[Cost]) -> Cost:
    """The median over the rounds of ours : theirs of the same round, so that a slow minute hits both."""
    return median(
        [
            Cost(*(a / b for a, b in zip(astuple(one), astuple(other), strict=True)))
            for one, other in zip(ours, theirs, strict=True)
        ]
    )
