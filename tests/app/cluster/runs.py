"""Runs of `emilia` on Ray that a test can disturb."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from tests.app.cluster.nodes import left_of
from tests.app.emilia.corpus import PATIENCE_S, Corpus, Running

T = TypeVar("T")
RAY = ("--engine", "ray", "--workers", "1", "--threads", "1")


class RayRunning(Running):
    """Its workers are not the command's children, but all have its environment, which has a state folder of its own."""

    def __enter__(self) -> RayRunning:
        super().__enter__()
        return self

    def workers(self) -> list[psutil.Process]:
        found = self.named("app.emilia.worker")
        self.pids |= {each.pid for each in found}
        return found

    def named(self, word: str) -> list[psutil.Process]:
        """What runs of it with this word in its command line."""
        return [each for each in left_of(self.environment) if any(word in part for part in command_of(each))]

    def until(self, said: str) -> str:
        """Wait for a line with this; the line."""
        lines = wait_for(lambda: [line for line in list(self.said) if said in line], f"{said!r}: {self.said}")
        return lines[0]


def command_of(process: psutil.Process) -> list[str]:
    """Empty where it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def wait_for(look: Callable[[], T], what: str, seconds: float = 2 * PATIENCE_S) -> T:
    """What `look` gives once it gives something."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


def on_ray(corpus: Corpus, environment: Mapping[str, str], out: Path, *more: str, set_up: str = "") -> RayRunning:
    """The command; `set_up` is Python that its process executes before."""
    line: Sequence[str] = corpus.line(out, *RAY, *more)
    if set_up:
        start = len(corpus.command)
        code = f"import sys; {set_up}; from app.cli import main; raise SystemExit(main(sys.argv[1:]))"
        line = [*corpus.command, "--", sys.executable, "-P", "-c", code, *line[start:]]
    return RayRunning(line, dict(environment))
