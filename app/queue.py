"""The work that nobody has taken yet, for several workers side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

MOST = 256
"""Files in one handful: what a worker is given is one message, and what it has in hand another can't take."""


class Weighty(Protocol):
    @property
    def weight(self) -> float:
        """What it will take, beside others of the same kind: seconds of audio, or bytes."""


T = TypeVar("T", bound=Weighty)


class Queue(Generic[T]):
    """The longest first, in handfuls that grow smaller: few messages, and all workers end together. For threads."""

    def __init__(self, items: Sequence[T], takers: int) -> None:
        self._items = deque(sorted(items, key=lambda item: -item.weight))
        self._takers = takers
        self._lock = threading.Lock()

    def handful(self) -> list[T]:
        """The next one, and those after it, up to half of a taker's share of all that is left. Empty at the end."""
        with self._lock:
            share = sum(item.weight for item in self._items) / (2 * self._takers)
            taken: list[T] = []
            weight = 0.0
            while self._items and (not taken or weight + self._items[0].weight <= share) and len(taken) < MOST:
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            return taken

    def __len__(self) -> int:
        return len(self._items)

    def put_back(self, items: Iterable[T]) -> None:
        """What has to be done once more, before the rest."""
        with self._lock:
            self._items.extendleft(reversed(list(items)))
