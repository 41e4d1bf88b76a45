from __future__ import annotations

import threading
from typing import cast

import pytest

from app.display import Display
from app.emilia import progress as module
from app.emilia.progress import StepProgress, clock
from app.emilia.steps import Item


class Shown:
    """Takes down what a display would show."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.advanced: list[tuple[float, float, str]] = []

    def say(self, line: str, style: str | None = None) -> None:
        self.said.append(line)

    def step(self, stage: str, what: str = "") -> None:
        self.steps.append((stage, what))

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


def of(step: str, *items: Item) -> tuple[StepProgress, Shown]:
    shown = Shown()
    return StepProgress(step, items, cast(Display, shown), threading.Lock()), shown


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

    assert shown.advanced == [(0, 4, "MB, 0 of 2 files"), (3, 4, "MB, 1 of 2 files, 0:01 left")]


def test_the_end_says_what_it_took_and_the_workers_memory_together(at: Clock) -> None:
    a = recording("a", 7200)
    progress, shown = of("diarize", a)

    at.now += 720
    progress.done(a, 7200)
    progress.peak(0, 900 * 2**20)
    progress.peak(0, 800 * 2**20)
    progress.peak(1, 700 * 2**20)
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
