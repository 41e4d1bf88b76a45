"""The front's side of a worker: start it, hear it, and say what its death means."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from app import messages
from app.memory import PeakMeter
from app.messages import Job, Message

GRACE_S = 5.0
KEPT_LOGS = 20
"""Logs of workers that died; the oldest go first."""


class Log:
    """The file a worker's libraries print to; gone at the end unless something in it is worth reading."""

    def __init__(self, folder: Path) -> None:
        for old in sorted(folder.iterdir())[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), suffix=".log", dir=folder)
        self.path, self.file = Path(name), os.fdopen(descriptor, "r+b")
        self._kept = False

    def keep(self) -> Path:
        """Leave it there; returns where."""
        self._kept = True
        return self.path

    def text(self) -> str:
        self.file.seek(0)
        return self.file.read().decode(errors="replace")

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        if not self._kept:
            self.path.unlink(missing_ok=True)


class Worker:
    """A running worker; a context manager that never leaves one behind.

    Everything the worker's libraries print is in `log`.
    """

    def __init__(self, job: Job, log: Log) -> None:
        self.log = log
        heard, told = os.pipe()
        lifeline, self._lifeline = os.pipe()
        # The mask is inherited over exec: Ctrl-C between the start of the child's interpreter and its own
        # decision to ignore it would else print a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.worker", str(told), str(lifeline)],
                # What the models need is on this machine by now; no library has to look for it elsewhere.
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                stdin=subprocess.PIPE,
                stdout=log.file,
                stderr=log.file,
                pass_fds=(told, lifeline),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            os.close(told)
            os.close(lifeline)
        self._messages = os.fdopen(heard, encoding="utf-8")
        self.memory = PeakMeter(self._process.pid)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(messages.encode(job).encode())
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once: the end of its messages tells

    def messages(self) -> Iterator[Message]:
        """All it says, to its end."""
        with self.memory.running():
            for line in self._messages:
                if line.endswith("\n"):  # a killed worker may leave half a line
                    yield messages.decode(line)
            self._process.wait()

    def death(self) -> str | None:
        """What its end means, in a line; None where it ended well."""
        code = self._process.wait()
        if code == 0:
            return None
        return explain_death(code, self.log.text(), self.memory.last)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self._lifeline)
        self._messages.close()


def explain_death(code: int, log: str, last_rss: int) -> str:
    """One line from a worker's exit code (negative: the signal), its log, and its last resident set in bytes."""
    if code >= 0:
        last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
        return f"the worker ended with exit code {code}" + (f": {last.strip()}" if last else "")
    try:
        name = signal.Signals(-code).name
    except ValueError:  # the real-time ones have no names
        name = f"signal {-code}"
    parts = [f"the worker died of {name} at {last_rss / 2**20:,.0f} MiB"]
    if "std::bad_alloc" in log:
        parts.append("std::bad_alloc in a library")
    if place := _last_line_of_python(log):
        parts.append(f"at {place}")
    if -code == signal.SIGKILL:
        parts.append("most often that is the kernel, out of memory")
    return ", ".join(parts)


def _last_line_of_python(log: str) -> str | None:
    """The innermost frame of the thread that died: faulthandler calls it the current one, unless it was in native
    code without the interpreter's lock; then it is the main thread, which comes last.
    """
    frames = re.findall(r'^(\w+) thread 0x.*most recent call first\):\n\s+File "(.+?)", line (\d+)', log, re.M | re.I)
    frames = frames or re.findall(r'^(Thread) 0x.*most recent call first\):\n\s+File "(.+?)", line (\d+)', log, re.M)
    return f"{frames[-1][1]}:{frames[-1][2]}" if frames else None
