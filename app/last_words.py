"""What a dead process left in its log: what it printed last, and the place that faulthandler reports."""

from __future__ import annotations

import re
from typing import NamedTuple

_FATAL = re.compile(
    r"^Fatal Python error: (?:Aborted|Segmentation fault|Bus error|Illegal instruction|Floating-point exception)$", re.M
)
_THREAD = re.compile(r'^(Current thread|Thread) 0x.*most recent call first\):\n((?:  File ".*\n?)*)', re.M)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.M)
_LIBRARY = re.compile(r".*/(?:site|dist)-packages/")
_STANDARD = re.compile(r"<frozen |.*/lib/python3\.\d+/(?!site-packages/|dist-packages/)")


class LastWords(NamedTuple):
    """Of a process that is no more."""

    printed: str
    """The last three lines before faulthandler took over."""
    stack: str
    """The lines of Python of the thread that died, innermost first, as faulthandler writes them."""
    where: str | None
    """The innermost of them that tells something: `torch/_ops.py:1478 in load_library`; None where there is none."""

    @property
    def line(self) -> str:
        """The very last that was printed."""
        return self.printed.rpartition("\n")[2].strip()


def read_log(log: str) -> LastWords:
    """Of all that was printed, faulthandler's report among it."""
    fatal = max((found.start() for found in _FATAL.finditer(log)), default=len(log))
    printed = "\n".join([line for line in log[:fatal].splitlines() if line.strip()][-3:])
    stack = _stack(log[fatal:])
    return LastWords(printed, stack, _where(stack))


def _stack(report: str) -> str:
    """Of the thread that died. faulthandler calls it the current one, unless it was in native code without the
    interpreter's lock, or none of Python's. Then it is most likely one that is inside a library, or waits for one; the
    main one is told last.
    """
    threads = _THREAD.findall(report)
    current = [frames for name, frames in threads if name == "Current thread"]
    inside = [frames for _, frames in threads if (at := _FRAME.match(frames)) and _LIBRARY.match(at[1])]
    return str((current or inside or [frames for _, frames in threads] or [""])[-1])


def _where(stack: str) -> str | None:
    """The innermost line outside the standard library, which tells more than ctypes' or importlib's own."""
    frames = _FRAME.findall(stack)
    told = next((frame for frame in frames if not _STANDARD.match(frame[0])), frames[0] if frames else None)
    if told is None:
        return None
    path, line, function = told
    return f"{_LIBRARY.sub('', path)}:{line} in {function}"
