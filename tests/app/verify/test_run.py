"""How the tasks of all sections go on side by side."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from app.surroundings import read_surroundings
from app.verify import Check, Task
from app.verify.run import run_all
from tests.app.verify.looking import machine

ALL = 2**40
"""MiB: more than any machine has."""


class Crowd:
    """Tasks that note how many of them are at work at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self.most = 0

    def task(self, name: str, needs_mib: int) -> Task:
        return Task(name, lambda: self._work(name), needs_mib)

    def _work(self, name: str) -> list[Check]:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        time.sleep(0.05)
        with self._lock:
            self._inside -= 1
        return [Check("versions", name, "OK", "")]


def test_what_takes_little_goes_on_at_once_as_far_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    crowd = Crowd()

    found = run_all([crowd.task(str(number), 1) for number in range(9)])

    assert crowd.most == 3
    assert [check.subject for checks in found for check in checks] == list("012345678"), "in the order of the tasks"


def test_who_wants_more_memory_than_there_is_gets_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    crowd = Crowd()

    found = run_all([crowd.task(str(number), needs) for number, needs in enumerate((ALL, ALL, 1, ALL))])

    assert crowd.most == 1
    assert len(found) == 4


@pytest.mark.parametrize(("group", "most"), [(0.5, 1), (None, 2)])
def test_a_control_group_leaves_less(
    group: float | None, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("app.verify.run.read_surroundings", partial(read_surroundings, machine(tmp_path, group=group)))
    crowd = Crowd()

    run_all([crowd.task("", 200) for _ in range(4)])

    assert crowd.most == most


def test_a_task_that_raises_is_told_and_keeps_neither_its_memory_nor_the_others_from_work() -> None:
    def fail() -> list[Check]:
        raise RuntimeError("no luck")

    heard: list[str] = []
    found = run_all([Task("bad", fail, ALL), Crowd().task("good", ALL)], heard.append)

    (bad,), (good,) = found
    assert (bad.id, bad.status, bad.found) == ("verify", "FAIL", "verify itself failed at it: RuntimeError: no luck")
    assert good.status == "OK"
    assert heard == ["bad", "good"]
