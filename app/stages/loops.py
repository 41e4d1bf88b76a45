"""A recogniser that repeats itself: how one knows, and what is left of it.

Whisper now and then falls into a loop, mostly over noise: `three, two, three, two, ...` to the end of the chunk.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from app.transcript import Word

LOOPS_ABOVE = 2.4
"""Compression ratio of a text that repeats itself: Whisper's own threshold (compression_ratio_threshold)."""
LONGEST_UNIT = 16
"""Words of what is repeated, at most."""
MOST_REPEATS = 3
"""Somebody may well say a thing three times."""


def compression_ratio(text: str) -> float:
    """Bytes of the text, by its bytes after zlib: as Whisper defines it."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def cut_repeats(words: Sequence[Word]) -> list[Word]:
    """The words without what is said again and again: of more than MOST_REPEATS in a row, the first so many.

    Words are compared without their case and punctuation; the shortest unit counts, so `a a a a` is `a`, four times.
    """
    plain = ["".join(filter(str.isalnum, word.word)).casefold() for word in words]
    kept: list[Word] = []
    at = 0
    while at < len(words):
        unit, repeats = _loop_at(plain, at)
        kept += words[at : at + unit * min(repeats, MOST_REPEATS)]
        at += unit * repeats
    return kept


def _loop_at(plain: Sequence[str], at: int) -> tuple[int, int]:
    """Length and number of what is repeated from here on; one word, once, where nothing is repeated too often."""
    for unit in range(1, min(LONGEST_UNIT, (len(plain) - at) // (MOST_REPEATS + 1)) + 1):
        repeats = 1
        while plain[at + repeats * unit : at + (repeats + 1) * unit] == plain[at : at + unit]:
            repeats += 1
        if repeats > MOST_REPEATS:
            return unit, repeats
    return 1, 1
