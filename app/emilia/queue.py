"""The recordings of a step that nobody has taken yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from app.emilia.steps import Item


class Queue:
    """The longest first, in handfuls that grow smaller: few messages, and all workers end together. For threads."""

    def __init__(self, items: Sequence[Item], takers: int) -> None:
        self._items = deque(sorted(items, key=lambda item: -item.weight))
        self._takers = takers
        self._lock = threading.Lock()

    def handful(self) -> list[Item]:
        """The next one, and those after it, up to half of a taker's share of all that is left. Empty at the end."""
        with self._lock:
            share = sum(item.weight for item in self._items) / (2 * self._takers)
            taken: list[Item] = []
            weight = 0.0
            while self._items and (not taken or weight + self._items[0].weight <= share):
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            return taken

    def __len__(self) -> int:
        return len(self._items)

    def put_back(self, items: Iterable[Item]) -> None:
        """What has to be done once more, before the rest."""
        with self._lock:
            self._items.extendleft(reversed(list(items)))
