"""Children in which things are tried that may abort, hang, or take all memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.diagnosis import Death, explain
from app.surroundings import read_surroundings

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Ended:
    """How a child came to its end."""

    code: int
    """As subprocess gives it: negative is the signal."""
    output: str
    """Its stdout."""
    log: str
    """Its stderr, faulthandler's report among it."""
    seconds: float
    cpu_s: float
    peak: int
    """Its highest resident set, in bytes, by the kernel's count."""
    death: Death | None
    """Why it ended, where that was not with exit code 0."""
    timed_out: bool = False

    @property
    def said(self) -> Any:
        """The JSON of its last line; None where there is none."""
        try:
            return json.loads(self.output.strip().rpartition("\n")[2])
        except ValueError:
            return None


def run_python(
    code: str,
    environment: Mapping[str, str],
    *arguments: str,
    python: Sequence[str] = (sys.executable, "-P"),
    timeout_s: float = TIMEOUT_S,
) -> Ended:
    """Run this code in a fresh interpreter, with faulthandler, in exactly this environment.

    What it has to tell it prints as JSON in its last line. A child that takes too long is killed: `timed_out`.
    """
    return run([*python, "-X", "faulthandler", "-c", code, *arguments], environment, timeout_s=timeout_s)


def run(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> Ended:
    """Run a program to its end. OSError where it can't be started."""
    before = read_surroundings()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = subprocess.Popen(
            list(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=log
        )
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            process.kill()

        timer = threading.Timer(timeout_s, kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begin
        output.seek(0)
        log.seek(0)
        printed, told = output.read().decode(errors="replace"), log.read().decode(errors="replace")
    peak = usage.ru_maxrss * 1024
    death = explain(code, told, peak, before, read_surroundings()) if code else None
    return Ended(code, printed, told, seconds, usage.ru_utime + usage.ru_stime, peak, death, overdue.is_set())
