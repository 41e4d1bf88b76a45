"""All sections of the report: their tasks side by side, as memory and cores allow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from app.errors import in_a_line
from app.surroundings import read_surroundings
from app.verify import Check, Task

SHARE = 0.7
"""Of the memory that is free, or of what a control group leaves: children take no more together."""


def run_all(tasks: Sequence[Task], report: Callable[[str], None] = lambda name: None) -> list[list[Check]]:
    """The checks of each task, in the order of the tasks. `report` hears a task's name when it begins.

    A task that raises is a fault of ours, and says so in the report: the others go on.
    """
    around = read_surroundings()
    free = min(around.available, around.group_limit or around.available)
    room = _Room(int(free * SHARE / 2**20))

    def one(task: Task) -> list[Check]:
        with room.taken(task.needs_mib):
            report(task.name)
            try:
                return task.run()
            except Exception as error:
                said = f"verify itself failed at it: {in_a_line(error)}"
                return [Check("verify", task.name, "FAIL", said, "report it, with this line")]

    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(one, tasks))


class _Room:
    """MiB that are to be had; who wants more than there is gets it alone."""

    def __init__(self, total: int) -> None:
        self._total = self._free = max(1, total)
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        size = min(wanted, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
