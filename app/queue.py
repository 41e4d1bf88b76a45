"""The work that nobody has taken yet, for several workers side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

MOST = 256
"""Files in one handful: what a worker is given is one message, and what it has in hand another can't take."""

AWAKE_S = 0.2
"""From one look whether it is over to the next."""


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
        self._changed = threading.Condition()
        self._out = 0
        """Handfuls that are in hand."""

    def handful(self) -> list[T]:
        """The next one, and those after it, up to half of a taker's share of all that is left. Empty where none is."""
        with self._changed:
            share = sum(item.weight for item in self._items) / (2 * self._takers)
            taken: list[T] = []
            weight = 0.0
            while self._items and (not taken or weight + self._items[0].weight <= share) and len(taken) < MOST:
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            self._out += bool(taken)
            return taken

    def put_back(self, items: Iterable[T] = ()) -> None:
        """One is through with a handful; these of it have to be done once more, before the rest."""
        with self._changed:
            self._items.extendleft(reversed(list(items)))
            self._out -= 1
            self._changed.notify_all()

    def more(self, over: Callable[[], bool]) -> bool:
        """Whether something is to be had. Waits while there is nothing, but others may put something back; or until it
        is `over`.
        """
        with self._changed:
            while not self._items and self._out and not over():
                self._changed.wait(AWAKE_S)
            return bool(self._items) and not over()

    def __len__(self) -> int:
        return len(self._items)
