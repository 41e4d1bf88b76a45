"""How many workers this machine bears side by side, and what each has of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.models.folder import WEIGHTS
from app.surroundings import Surroundings, in_words
from launcher import hardware
from launcher.hardware import Card

MIB = 2**20
SPEAKERS = 1500 * MIB
"""What telling speakers apart takes (scripts/bench_emilia: 1,169 MiB), with room for a long recording."""
BESIDE_WEIGHTS = 550 * MIB
"""What recognising takes beside the model's weights, with room for a long recording."""
SHARE = 0.8
"""Of the memory that is free: the rest is for what others begin, and the kernel's cache of the files."""


@dataclass(frozen=True)
class Places:
    """The crew's measure."""

    number: int
    """Workers side by side."""
    threads: int
    """CPU threads of each."""
    why: str
    """In words, with what comes before the words."""
    environments: tuple[Mapping[str, str], ...] = field(default=({},))
    """What each worker's environment has of its own; they repeat where there are more workers."""

    def environment(self, place: int) -> Mapping[str, str]:
        return self.environments[place % len(self.environments)]

    @property
    def said(self) -> str:
        """All in words."""
        return f"{workers(self.number, self.threads)}{self.why}"


def workers(number: int, threads: int) -> str:
    """`2 workers of 1 thread`."""
    return f"{number} worker{'s' * (number != 1)} of {threads} thread{'s' * (threads != 1)}"


def need(model: Path, *, resident: bool) -> int:
    """Bytes that one worker may take: its largest step's, or where it keeps every model, those of all."""
    weights = (model / WEIGHTS).stat().st_size
    recognising = BESIDE_WEIGHTS + weights
    return recognising + SPEAKERS if resident else max(recognising, SPEAKERS)


def places(
    asked: int | None, threads: int, device: str, need: int, recordings: int, seen: Surroundings, cards: Sequence[Card]
) -> Places:
    """So many as were asked for; else one a card, or without cards one a thread, as memory and recordings allow."""
    if cards and device != "cpu":
        number = asked or min(len(cards), max(recordings, 1))
        each = max(1, threads // number)
        # By name: CUDA counts the cards in another order than the driver, unless it is told.
        names = [card.uuid or card.index for card in cards[:number]]
        environments = tuple({"CUDA_VISIBLE_DEVICES": name} for name in names) if number > 1 else ({},)
        why = f", on {len(names)} of {len(cards)} card{'s' * (len(cards) != 1)}"
        return Places(number, each, why, environments)
    available = min(seen.available, seen.group_limit or seen.available)
    free = int(SHARE * available)
    fit = max(1, free // need)
    number = asked or max(1, min(threads, fit, recordings))
    each = max(1, threads // number)
    why = "" if asked else f"; {in_words(need)} each at most, {in_words(available)} are free"
    environments = ({"OMP_NUM_THREADS": str(each)},) if number > 1 else ({},)
    return Places(number, each, why, environments)


def visible_cards() -> list[Card]:
    """Those that CUDA will see, without a CUDA context."""
    found, _ = hardware.cards()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if chosen is None else hardware.visible(found, chosen)
