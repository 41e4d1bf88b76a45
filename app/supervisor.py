"""The front's side of a worker: start it, hear it, and say what its death means."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from app import messages
from app.memory import PeakMeter
from app.messages import Job, Message

GRACE_S = 5.0


class Worker:
    """A running worker; a context manager that never leaves one behind.

    Everything the worker's libraries print is in `log`.
    """

    def __init__(self, job: Job, log: Path) -> None:
        self.log = log
        heard, told = os.pipe()
        lifeline, self._lifeline = os.pipe()
        # The mask is inherited over exec: Ctrl-C between the start of the child's interpreter and its own
        # decision to ignore it would else print a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "app.worker", str(told), str(lifeline)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
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

    @property
    def pid(self) -> int:
        return self._process.pid

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
        return explain_death(code, self.log.read_text(encoding="utf-8", errors="replace"), self.memory.last)

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
    name = signal.Signals(-code).name
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
