from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import cast

import pytest

from app import progress as module
from app.display import Display
from app.emilia.steps import Item
from app.progress import StepProgress, Team, clock


class Shown:
    """Takes down what a display would show."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.rows: list[str] = []
        self.advanced: list[tuple[float, float, str]] = []

    def say(self, line: str, style: str | None = None) -> None:
        self.said.append(line)

    def step(self, stage: str, what: str = "") -> None:
        if (stage, what) not in self.steps[-1:]:
            self.steps.append((stage, what))

    def workers(self, rows: list[str]) -> None:
        self.rows = rows

    def advance(self, done: float, total: float, unit: str) -> None:
        self.advanced.append((round(done, 3), round(total, 3), unit))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def of(step: str, *items: Item, team: Team | None = None) -> tuple[StepProgress, Shown]:
    shown = Shown()
    return StepProgress(step, items, cast(Display, shown), threading.Lock(), team), shown


def recording(key: str, seconds: float = 0.0, size: int = 0) -> Item:
    return Item(key, f"{key}.wav", key, seconds=seconds, size=size)


def test_minutes_of_audio_times_real_time_and_what_is_left(at: Clock) -> None:
    a, b = recording("a", 120), recording("b", 60)
    progress, shown = of("asr", a, b)
    assert shown.steps == [("asr", "2 files")]

    at.now += 10
    progress.at(a, 60)
    progress.done(a, 120)
    at.now += 10
    progress.at(b, 30)

    assert shown.advanced == [
        (1, 3, "min, 0 of 2 files, 6.0 x real time, 0:20 left"),
        (2, 3, "min, 1 of 2 files, 12.0 x real time, 0:05 left"),
        (2.5, 3, "min, 1 of 2 files, 7.5 x real time, 0:04 left"),
    ]


def test_two_workers_parts_are_added(at: Clock) -> None:
    a, b = recording("a", 36_000), recording("b", 36_000)
    progress, shown = of("asr", a, b)

    at.now += 3600
    progress.at(a, 3600)
    progress.at(b, 7200)

    assert shown.advanced[-1] == (3, 20, "h, 0 of 2 files, 3.0 x real time, 5:40:00 left")


def test_before_the_lengths_are_known_the_files_sizes_count(at: Clock) -> None:
    a, b = recording("a", size=3_000_000), recording("b", size=1_000_000)
    progress, shown = of("standardise", a, b)

    at.now += 3
    progress.at(a, 500)  # seconds that say nothing of its bytes
    progress.done(a, 1800)

    assert shown.advanced == [
        (0, 4, "MB, 0 of 2 files"),
        (3, 4, "MB, 1 of 2 files, 0.50 h, 600.0 x real time, 0:01 left"),
    ]


def test_the_end_says_what_it_took_and_the_workers_memory_together(at: Clock) -> None:
    a = recording("a", 7200)
    team = Team(["worker 1", "worker 2"])
    progress, shown = of("diarize", a, team=team)

    at.now += 720
    progress.done(a, 7200)
    team.peak(0, 900 * 2**20)
    team.peak(0, 800 * 2**20)
    team.peak(1, 700 * 2**20)
    progress.end()

    assert shown.said == ["diarize: 1 of 1 file in 12:00, 2.00 h, 10.0 x real time, at most 1,600 MiB"]


def test_a_step_without_sound_says_no_speed_and_one_model_is_said_once(at: Clock) -> None:
    progress, shown = of("tables", recording("tables"))

    progress.loaded("a model on cpu")
    progress.loaded("a model on cpu")
    progress.done(recording("tables"), 0.0)
    progress.end()

    assert shown.said == ["tables: a model on cpu", "tables: 1 of 1 file in 0:00, at most 0 MiB"]


def test_a_clock() -> None:
    assert [clock(each) for each in (0, 59.6, 61, 3600, 36_061)] == ["0:00", "1:00", "1:01", "1:00:00", "10:01:01"]


@dataclass
class Held:
    last: int


def test_each_worker_is_shown_with_what_it_is_at_and_what_it_takes() -> None:
    progress, shown = of("asr", recording("a", 60), recording("b", 60), team=Team(["node1", "node2", "node2"]))
    held = Held(0)

    progress.working(0, "asr loading", held)
    progress.working(2, "asr b", Held(1169 * 2**20))
    held.last = 400 * 2**20
    progress.at(recording("b", 60), 3)

    assert shown.rows == ["node1: asr loading, 400 MiB", "node2: asr b, 1,169 MiB"]

    progress.working(0, "")
    assert shown.rows == ["node2: asr b, 1,169 MiB"]
    progress.end()
    assert shown.rows == []
