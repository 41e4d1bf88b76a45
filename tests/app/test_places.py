from __future__ import annotations

from pathlib import Path

import pytest

from app.places import BESIDE_WEIGHTS, SPEAKERS, Places, need, places
from app.surroundings import Surroundings
from launcher.hardware import Card

GIB = 2**30


def machine(available: int, group_limit: int | None = None) -> Surroundings:
    return Surroundings(
        limits=(),
        group_limit=group_limit,
        group_kills=None,
        machine_kills=None,
        total=64 * GIB,
        available=available,
        swap=0,
        strict=False,
        shm_free=None,
        wsl=False,
    )


def card(index: int) -> Card:
    return Card(f"{index},Some card,48000,8.9,GPU-{index}{index}")


def on_cpu(asked: int | None, threads: int, available: int, group_limit: int | None = None, files: int = 99) -> Places:
    return places(asked, threads, "cpu", 2 * GIB, files, machine(available, group_limit), [])


@pytest.mark.parametrize(
    ("asked", "threads", "available", "group_limit", "files", "number", "each"),
    [
        pytest.param(None, 8, 64 * GIB, None, 99, 8, 1, id="one a thread"),
        pytest.param(None, 8, 10 * GIB, None, 99, 4, 2, id="as memory allows: 80 % of 10 GiB"),
        pytest.param(None, 8, 64 * GIB, 5 * GIB, 99, 2, 4, id="the group's limit is tighter"),
        pytest.param(None, 8, 10 * GIB, 50 * GIB, 99, 4, 2, id="what is free is tighter"),
        pytest.param(None, 8, 1 * GIB, None, 99, 1, 8, id="never none"),
        pytest.param(None, 8, 64 * GIB, None, 3, 3, 2, id="no more than recordings"),
        pytest.param(5, 8, 1 * GIB, None, 2, 5, 1, id="who asks for a number has it"),
        pytest.param(4, 2, 64 * GIB, None, 99, 4, 1, id="a thread at least"),
    ],
)
def test_without_cards(
    asked: int | None, threads: int, available: int, group_limit: int | None, files: int, number: int, each: int
) -> None:
    found = on_cpu(asked, threads, available, group_limit, files)

    assert (found.number, found.threads) == (number, each)
    assert found.said.startswith(f"{number} worker{'s' * (number > 1)} of {each} thread{'s' * (each > 1)}")
    assert ("are free" in found.said) == (asked is None)
    assert found.environment(0) == ({"OMP_NUM_THREADS": str(each)} if number > 1 else {})


@pytest.mark.parametrize(
    ("asked", "cards", "files", "devices"),
    [
        pytest.param(None, 3, 99, ["GPU-00", "GPU-11", "GPU-22"], id="one a card"),
        pytest.param(None, 3, 2, ["GPU-00", "GPU-11"], id="no more than recordings"),
        pytest.param(4, 2, 99, ["GPU-00", "GPU-11", "GPU-00", "GPU-11"], id="two a card"),
        pytest.param(None, 1, 99, [None], id="one card, one worker: as it was"),
        pytest.param(None, 3, 0, [None], id="nothing to do"),
    ],
)
def test_each_worker_has_its_card(asked: int | None, cards: int, files: int, devices: list[str | None]) -> None:
    found = places(asked, 16, "auto", 2 * GIB, files, machine(GIB), [card(n) for n in range(cards)])

    assert found.number == len(devices)
    assert found.threads == 16 // len(devices)
    assert [found.environment(n).get("CUDA_VISIBLE_DEVICES") for n in range(found.number)] == devices
    assert f"of {cards} card" in found.said


def test_a_machine_with_cards_that_is_to_use_the_cpu_counts_threads() -> None:
    found = places(None, 4, "cpu", 2 * GIB, 99, machine(64 * GIB), [card(0)])

    assert found.number == 4
    assert "CUDA_VISIBLE_DEVICES" not in found.environment(0)


def test_a_card_without_a_name_goes_by_its_number() -> None:
    found = places(2, 4, "cuda", GIB, 9, machine(GIB), [Card("0,A,8000,8.6,"), Card("1,B,8000,8.6,")])

    assert [found.environment(n)["CUDA_VISIBLE_DEVICES"] for n in (0, 1)] == ["0", "1"]


def test_a_worker_needs_its_largest_step_and_a_resident_one_the_sum(tmp_path: Path) -> None:
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(3 * GIB)
    assert need(tmp_path, resident=False) == BESIDE_WEIGHTS + 3 * GIB
    assert need(tmp_path, resident=True) == BESIDE_WEIGHTS + 3 * GIB + SPEAKERS
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(1000)
    assert need(tmp_path, resident=False) == SPEAKERS
