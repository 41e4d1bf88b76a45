"""The front's side of a worker: start it, hear it, and say what its death means."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from app import messages
from app.diagnosis import Death, explain, explain_error
from app.memory import PeakMeter, Reading, Readings
from app.messages import Idle, Message, Task
from app.store import state_folder
from app.surroundings import read_surroundings

GRACE_S = 5.0
KEPT_LOGS = 20
"""Logs of workers that died; the oldest go first."""


class Gone(Exception):  # noqa: N818 - no error: machines fail
    """No worker can start at a place: its machine is lost, or nobody gives it a processor there. Says so."""


class AnyWorker(Protocol):
    """A worker, here or on another machine: see Worker."""

    @property
    def log(self) -> AnyLog: ...

    @property
    def memory(self) -> AnyMeter: ...

    def give(self, job: Task, *, last: bool = True) -> None: ...
    def messages(self) -> Iterator[Message]: ...
    def death(self) -> Death | None: ...
    def kill(self) -> None: ...
    def remedy(self, reason: str) -> str | None: ...


Hire = Callable[[int], AbstractContextManager[AnyWorker]]
"""Starts the worker of a place, as often as it is asked to. Raises Gone where none can start."""


class AnyLog(Protocol):
    def keep(self) -> Path | str: ...


class AnyMeter(Protocol):
    """See app.memory.PeakMeter."""

    curve: Readings | None

    @property
    def resident(self) -> Mapping[str, Reading]: ...

    @property
    def on_cards(self) -> Mapping[str, Reading]: ...

    @property
    def last(self) -> int: ...

    def phase(self, name: str) -> None: ...
    def look(self) -> tuple[int, int]: ...


def on_this_machine(module: str, environment: Callable[[int], Mapping[str, str]] = lambda place: {}) -> Hire:
    """Workers of this module; `environment` is what a place has beside ours."""

    @contextmanager
    def hire(place: int) -> Iterator[Worker]:
        with Log(state_folder("logs")) as log, Worker(log, module, environment(place)) as worker:
            yield worker

    return hire


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

    Everything the worker's libraries print is in `log`. `module` is what it runs. It is given a job, and heard to the
    end of that, again and again.
    """

    def __init__(self, log: Log, module: str = "app.worker", environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._before = read_surroundings()
        heard, told = os.pipe()
        lifeline, self._lifeline = os.pipe()
        # The mask is inherited over exec: Ctrl-C between the start of the child's interpreter and its own
        # decision to ignore it would else print a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(told), str(lifeline)],
                # What the models need is on this machine by now; no library has to look for it elsewhere.
                env={**os.environ, **(environment or {}), "HF_HUB_OFFLINE": "1"},
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
        self.memory = PeakMeter(self._process.pid, cards=False)
        """For the job that it has, or had last."""

    def give(self, job: Task, *, last: bool = True) -> None:
        """A job, which is then to be heard. After the last one the worker ends."""
        self.memory = PeakMeter(self._process.pid, cards=job.device != "cpu")
        assert self._process.stdin is not None
        try:
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()
            if last:
                self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has died: the end of its messages tells
        self._last = last

    def messages(self) -> Iterator[Message]:
        """All it says, to the end of the job, or to its own: of its last job, and where it dies."""
        with self.memory.running():
            for line in self._messages:
                if not line.endswith("\n"):  # a killed worker may leave half a line
                    continue
                message = messages.decode(line)
                if not isinstance(message, Idle):
                    yield message
                elif not self._last:
                    return
            self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def death(self) -> Death | None:
        """What its end means; None where it ended well, or lives."""
        code = self._process.poll()
        if not code:
            return None
        return explain(code, self.log.text(), self.memory.last, self._before, read_surroundings())

    def abort(self) -> None:
        """End it where it hangs: faulthandler writes the place into its log."""
        self._process.send_signal(signal.SIGABRT)

    def kill(self) -> None:
        """At once: what it has finished is on the disk."""
        self._process.kill()

    def remedy(self, reason: str) -> str | None:
        """What to do about an error that the worker caught and told."""
        return explain_error(reason, self._before)

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
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
