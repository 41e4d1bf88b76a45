"""The front process: which command is asked for, and how its end becomes one line and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from app.commands import emilia, gradio, monitor, transcribe, verify
from app.errors import UsageError, WorkError
from launcher.cli import say


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and exit code 2."""
        raise UsageError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    _prepare_process()
    try:
        options = _parser().parse_args(arguments)
        code: int = options.run(options)
        return code
    except UsageError as error:
        return _end(2, str(error))
    except WorkError as error:
        return _end(1, str(error))
    except OSError as error:
        return _end(1, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return _end(130, "interrupted; what is finished is kept, the same command goes on from there")
    except _Terminated as error:
        # Everything is put in order; now the end that was asked for, so that the parent sees it too.
        signal.signal(error.number, signal.SIG_DFL)
        os.kill(os.getpid(), error.number)
        return 128 + error.number


class _Terminated(BaseException):
    """SIGTERM or SIGHUP: unwinds like Ctrl-C does."""

    def __init__(self, number: int) -> None:
        self.number = number


def _prepare_process() -> None:
    """What a careless parent may have left: closed standard streams, whose numbers a pipe of ours would take, and
    SIGCHLD ignored, which would hide a worker's death.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def terminate(number: int, _: object) -> None:
        raise _Terminated(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup's choice stands
            signal.signal(number, terminate)


def _end(code: int, line: str) -> int:
    say(line)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="run-app", description="Speech to text under a machine profile.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    transcribe.add(commands)
    emilia.add(commands)
    verify.add(commands)
    monitor.add(commands)
    gradio.add(commands)
    return parser
