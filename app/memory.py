"""Memory: given back after a model, and watched from outside while a worker runs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PERIOD_S = 0.05


def release() -> None:
    """Give back what a dropped model leaves behind: Python's cycles, torch's cache, glibc's free lists.

    glibc keeps freed memory for later unless it is asked. What libraries hold in pools of their own comes back
    only with the end of the process.
    """
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # musl has no such call


class PeakMeter:
    """The highest resident set of another process, by phase, in bytes.

    Read from outside, so that the figure outlives the process when it is killed for its memory.
    """

    def __init__(self, pid: int) -> None:
        import psutil

        self._process = psutil.Process(pid)
        self._gone = psutil.Error
        self._phase = ""
        self.peaks: dict[str, int] = {}
        self.last = 0

    def phase(self, name: str) -> None:
        """From here on the peak counts for this phase."""
        self._phase = name
        self._read()

    def _read(self) -> None:
        try:
            now = self._process.memory_info().rss
        except self._gone:
            return
        if not now:  # dead, and not yet waited for
            return
        self.last = now
        self.peaks[self._phase] = max(self.peaks.get(self._phase, 0), self.last)

    @contextmanager
    def running(self) -> Iterator[PeakMeter]:
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(PERIOD_S):
                self._read()

        thread = threading.Thread(target=watch, daemon=True, name="memory")
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
