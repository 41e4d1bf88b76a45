"""Runs of the command `emilia`, each a whole process: what it says of its steps, and its process tree seen from
outside. For scripts/bench_emilia.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY_S = 0.05
"""Between two readings of the tree's resident set."""
SELDOM = 10
"""Of so many readings one looks for new processes, and takes the proportional set: both cost more."""
MIB = 2**20
BEGINS = re.compile(r"(\w+): \d+ files?")
ENDS = re.compile(r"(\w+): (\d+) of (\d+) files? in [\d:]+(?:, [\d.,]+ h, [\d.,]+ x real time)?, at most ([\d,]+) MiB")
DROPPED_NAMES = ("RUN_APP_", "HF_", "XDG_", "PYTHON", "OMP_", "GOMP_", "MALLOC_", "GRADIO_")


@dataclass(frozen=True)
class Step:
    """One step of a run."""

    seconds: float
    """Between the lines that say its beginning and its end, its worker's start and end included."""
    mib: float
    """The workers' peak resident sets together, as the command says it."""


@dataclass
class Tree:
    """The largest sums over all processes of a run, in MiB."""

    rss: float = 0.0
    """Memory that processes share counts once for each."""
    pss: float = 0.0
    """It counts once in all; looked at twice a second."""
    front: float = 0.0
    """Resident set of the command's own process."""
    processes: set[int] = field(default_factory=set)
    """All that were seen, the command's own among them."""
    cost_s: float = 0.0
    """CPU seconds that watching took."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    seconds: float
    cpu_s: float
    """User and system, of all its processes."""
    steps: Mapping[str, Step]
    tree: Tree | None
    said: Sequence[str]

    @property
    def mib(self) -> float:
        """Peak of the workers of the largest step."""
        return max((step.mib for step in self.steps.values()), default=0.0)


def emilia(
    folder: Path, source: Path, out: Path, *more: str, profile: str = "cpu", watched: bool = False, codes: str = "0"
) -> Run:
    """Run it to its end, with a home and a state of its own in `folder`, without a network.

    SystemExit with the end of what it said where its exit code is none of `codes`.
    """
    words = [str(Path(sys.executable).with_name("run-app")), "--profile", profile, "emilia", str(source), str(out)]
    words += ["--model", "base", "--diarizer", "embedded", "--offline", "--languages", "all", *more]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED_NAMES)}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    begin = time.monotonic()
    process = subprocess.Popen(
        words,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    last: deque[str] = deque(maxlen=40)
    begun: dict[str, float] = {}
    steps: dict[str, Step] = {}
    assert process.stderr
    try:
        with watching(process.pid) if watched else nobody() as tree:
            for line in process.stderr:
                at, line = time.monotonic(), line.rstrip()
                last.append(line)
                if found := ENDS.fullmatch(line):
                    steps[found[1]] = Step(at - begun[found[1]], float(found[4].replace(",", "")))
                elif found := BEGINS.fullmatch(line):
                    begun[found[1]] = at
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        if process.returncode is None:
            process.terminate()
            process.wait(30)
        raise
    if str(process.returncode) not in codes.split():
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}\n" + "\n".join(last))
    return Run(seconds, usage.ru_utime + usage.ru_stime, steps, tree, list(last))


@contextmanager
def nobody() -> Iterator[None]:
    """Where no tree is asked for: watching takes a little of the machine."""
    yield None


@contextmanager
def watching(pid: int) -> Iterator[Tree]:
    """The tree below this process, until the end of the block."""
    tree, over = Tree(), threading.Event()

    def look() -> None:
        begin = time.thread_time()
        top = psutil.Process(pid)
        every = [top]
        number = 0
        while not over.wait(EVERY_S):
            try:
                if number % SELDOM == 0:
                    every = [top, *top.children(recursive=True)]
                    tree.processes |= {each.pid for each in every}
                    tree.pss = max(tree.pss, sum(_pss(each) for each in every))
                tree.front = max(tree.front, _rss(top))
                tree.rss = max(tree.rss, sum(_rss(each) for each in every))
            except psutil.NoSuchProcess:
                break
            number += 1
        tree.cost_s = time.thread_time() - begin

    thread = threading.Thread(target=look, name="tree")
    thread.start()
    try:
        yield tree
    finally:
        over.set()
        thread.join()


def _rss(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / MIB)
    except psutil.Error:
        return 0.0


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss / MIB)
    except (psutil.Error, AttributeError):  # AttributeError: a kernel without smaps
        return 0.0
