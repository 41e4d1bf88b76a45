"""The child process that runs the stages: the only one that may abort, run out of memory or be killed.

Started as `python -P -m app.worker MESSAGES LIFELINE` with two inherited pipe ends and the jobs on stdin.
What libraries print goes to stdout and stderr, which the front has turned into a log file.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

from app import messages
from app.display import Lossy
from app.errors import UsageError, WorkError, in_a_line
from app.messages import Failed, Idle, Job, Message, Task

if TYPE_CHECKING:
    from app.stages import Stage

T = TypeVar("T", bound=Task)


def die_with(lifeline: int) -> None:
    """End at once when the other end of this pipe closes: when the front process is gone, however it went.

    The kernel sends SIGIO, whose default is to end the process: it works while native code holds the
    interpreter, which a watching thread does not, and whichever thread of the front started us, which
    PR_SET_PDEATHSIG does not.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    if select.select([lifeline], [], [], 0)[0]:  # it had closed before the signal was asked for
        raise SystemExit(1)


def serve(work: Callable[[T, Callable[[Message], None]], None]) -> int:
    """All of a worker's life but its work, which gets each job, and a way to tell the front that threads may share.

    It ends with its stdin.
    """
    channel, lifeline = int(sys.argv[1]), int(sys.argv[2])
    die_with(lifeline)
    # Ctrl-C reaches the whole foreground group; the front decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable()
    # The log may be on a full disk; what a library prints must not fail there.
    sys.stdout, sys.stderr = cast(TextIO, Lossy("stdout")), cast(TextIO, Lossy("stderr"))
    with os.fdopen(channel, "w", encoding="utf-8") as out:
        lock = Lock()

        def tell(message: Message) -> None:
            with lock:
                out.write(messages.encode(message))
                out.flush()

        for job in jobs():
            try:
                work(cast(T, job), tell)  # who starts a worker gives it what its work is
            except UsageError as error:
                tell(Failed(str(error), None))
            except Exception as error:
                traceback.print_exc()
                tell(Failed(str(error) if isinstance(error, WorkError) else in_a_line(error), None, bug=True))
            tell(Idle())
    return 0


def jobs() -> Iterator[Task]:
    """As they come, to the end of stdin."""
    while True:
        try:
            job: Task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        yield job


def transcribe(job: Job, tell: Callable[[Message], None], kept: dict[str, Stage]) -> None:
    """`kept` are the stages that an earlier job left loaded."""
    from app import pipeline
    from app.artefacts import Artefacts
    from app.events import EventLog
    from app.store import state_folder

    folder = state_folder(job.artefacts)
    artefacts = Artefacts(folder)
    artefacts.prune()
    pipeline.run(job, tell, artefacts, EventLog(folder.parent), kept)


def main() -> int:
    return serve(partial(transcribe, kept={}))


if __name__ == "__main__":
    raise SystemExit(main())
