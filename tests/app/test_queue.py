from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from app.emilia.steps import Item
from app.queue import Queue


def items(weights: list[float]) -> list[Item]:
    return [Item(str(number), f"{number}.wav", str(number), seconds=each) for number, each in enumerate(weights)]


lengths = st.lists(st.floats(0.1, 5000), max_size=60)


@given(lengths, st.integers(1, 6))
def test_the_longest_come_first_and_each_once(weights: list[float], takers: int) -> None:
    queue = Queue(items(weights), takers)

    taken = []
    while handful := queue.handful():
        taken += handful

    assert [item.seconds for item in taken] == sorted(weights, reverse=True)
    assert len({item.key for item in taken}) == len(weights)
    assert queue.handful() == []
    assert not queue


@given(lengths, st.integers(1, 6))
def test_a_handful_is_one_recording_or_at_most_half_a_share_of_what_is_left(weights: list[float], takers: int) -> None:
    queue = Queue(items(weights), takers)
    left = sum(weights)

    while handful := queue.handful():
        size = sum(item.seconds for item in handful)
        assert len(handful) == 1 or size <= left / (2 * takers) * (1 + 1e-9)
        left -= size


@given(lengths, st.integers(1, 4))
def test_threads_that_lose_some_and_put_them_back_do_each_exactly_once(weights: list[float], takers: int) -> None:
    queue = Queue(items(weights), takers)
    done: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    lock = threading.Lock()

    def take() -> None:
        while handful := queue.handful():
            lost = []
            for item in handful:
                with lock:
                    tried[item.key] += 1
                    if int(item.key) % 3 == 0 and tried[item.key] == 1:
                        lost.append(item)
                    else:
                        done[item.key] += 1
            queue.put_back(lost)

    threads = [threading.Thread(target=take) for _ in range(takers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert done == Counter({str(number): 1 for number in range(len(weights))})


def test_what_is_put_back_comes_before_the_rest_in_its_order() -> None:
    queue = Queue(items([4, 3, 2, 1]), 4)
    (first,) = queue.handful()
    (second,) = queue.handful()

    queue.put_back([first, second])

    assert len(queue) == 4
    taken = [queue.handful()[0].key for _ in range(4)]
    assert taken == ["0", "1", "2", "3"]


def test_a_recording_of_unknown_length_counts_by_its_size() -> None:
    queue = Queue([Item("a", "a", "a", size=10), Item("b", "b", "b", size=900), Item("c", "c", "c")], 1)

    assert [item.key for item in queue.handful()] == ["b"]
    assert [item.key for item in queue.handful()] == ["a"]
    assert [item.key for item in queue.handful()] == ["c"]
