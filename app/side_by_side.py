"""Threads that each work at a place of their own, and end together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

AWAKE_S = 0.2


def side_by_side(work: Callable[[int], None], places: Sequence[int], stop: Callable[[], None]) -> None:
    """`work` at each of these places; returns when all are through.

    Raises what the first of them raises, or KeyboardInterrupt, once `stop` has made the others end.
    """
    with ThreadPoolExecutor(len(places), "place") as pool:
        try:
            left = {pool.submit(work, place) for place in places}
            while left:
                # Ctrl-C that another thread has caught does not wake this one: it looks up now and then.
                ended, left = wait(left, AWAKE_S, FIRST_EXCEPTION)
                for future in ended:
                    future.result()
        except BaseException:
            stop()
            raise
