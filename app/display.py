"""What the person sees while it works, on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from launcher.cli import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import TaskID

EVERY_S = 10.0
"""Between two lines of progress in a log."""
MOST_WORKERS = 12
"""That are shown by themselves."""


class Display:
    """One step at a time, with its progress. Use as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console: Console = Console(
            file=cast(IO[str], Lossy("stderr")), highlight=False, soft_wrap=True, emoji=False
        )
        self._bar = _Bar(self.console) if self.console.is_interactive else None
        self._step = ""
        self._said_at = 0.0
        self._workers: list[str] = []

    def say(self, line: str, style: str | None = None) -> None:
        """A line that stays."""
        self.console.print(printable(line), style=style, markup=False)

    def step(self, stage: str, what: str = "") -> None:
        """What is being done now, and to what; a new step takes the place of the last."""
        step = f"{stage}: {what}" if what else stage
        if step == self._step:
            return
        self._step, self._said_at = step, time.monotonic()
        if self._bar:
            self._bar.begin(printable(step))
        else:
            self.say(step)

    def advance(self, done: float, total: float, unit: str) -> None:
        """How far the step has come, in `unit`."""
        if self._bar:
            self._bar.advance(done, total, unit)
        elif time.monotonic() - self._said_at >= EVERY_S:
            self._said_at = time.monotonic()
            self.say(f"{self._step}: {done:,.0f} of {total:,.0f} {unit}")
            if self._workers:
                self.say(f"  {'; '.join(self._workers)}")

    def workers(self, rows: Sequence[str]) -> None:
        """What each of several workers is at, a line for each: below the bar, or with the progress in a log."""
        more = len(rows) - MOST_WORKERS
        self._workers = [*rows[:MOST_WORKERS], *([f"and {more} more"] if more > 0 else [])]
        if self._bar:
            self._bar.rows(self._workers)

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """No step is under way: the bar goes."""
        self._step, self._workers = "", []
        if self._bar:
            self._bar.end()


class Lossy:
    """A standard stream, as far as it takes anything: a full disk or a reader that left must cost no work.

    Nothing waits in a buffer: what can't be written would fail once more when the interpreter ends, with exit code 120.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._stream = getattr(sys, name)

    def write(self, text: str) -> int:
        try:
            left = text.encode(self._stream.encoding, "backslashreplace")
            while left:
                left = left[os.write(self._stream.fileno(), left) :]
        except (OSError, AttributeError):
            pass
        return len(text)

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bar:
    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        rows: list[str] = []
        self._rows = rows

        class WithRows(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                yield from (Text(f"  {row}", style="dim", no_wrap=True, overflow="ellipsis") for row in rows)

        self._progress = WithRows(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def begin(self, step: str) -> None:
        self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(step, total=None, state="")

    def rows(self, rows: Sequence[str]) -> None:
        self._rows[:] = map(printable, rows)

    def advance(self, done: float, total: float, unit: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, state=f"{done:,.0f} of {total:,.0f} {unit}")

    def end(self) -> None:
        self._rows.clear()
        self._progress.stop()
