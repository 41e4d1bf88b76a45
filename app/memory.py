"""Memory: given back after a model, and watched from outside while a worker runs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass
class Reading:
    """Bytes, before a phase, at its highest, and after."""

    before: int
    peak: int
    after: int


class Readings(Protocol):
    """A list, or what is like one."""

    def append(self, reading: tuple[float, int, int], /) -> None: ...


class PeakMeter:
    """The resident set of another process, and its memory on the cards, by phase.

    Read from outside, so that the figures outlive the process when it is killed for its memory.
    """

    def __init__(self, pid: int, *, cards: bool) -> None:
        import psutil

        self._process = psutil.Process(pid)
        self._gone = psutil.Error
        self._cards = CardMeter(pid) if cards else None
        self._phase = ""
        self.resident: dict[str, Reading] = {}
        self.on_cards: dict[str, Reading] = {}
        self.last = 0
        """The resident set when it was last seen alive."""
        self.curve: Readings | None = None
        """Where somebody has put something, every reading: the monotonic clock, resident, on the cards."""

    def phase(self, name: str) -> None:
        """From here on the figures count for this phase; one that comes again goes on."""
        self._read()
        self._phase = name
        self._read()

    def look(self) -> tuple[int, int]:
        """Bytes at this moment: resident, and on the cards."""
        try:
            return self._process.memory_info().rss, self._cards.used() if self._cards else 0
        except self._gone:
            return 0, 0

    def _read(self) -> None:
        try:
            now = self._process.memory_info().rss
        except self._gone:
            return
        if not now:  # dead, and not yet waited for
            return
        self.last = now
        _note(self.resident, self._phase, now)
        on_cards = self._cards.used() if self._cards else 0
        if self._cards:
            _note(self.on_cards, self._phase, on_cards)
        if self.curve is not None:
            self.curve.append((time.monotonic(), now, on_cards))

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


def _note(readings: dict[str, Reading], phase: str, now: int) -> None:
    reading = readings.setdefault(phase, Reading(now, now, now))
    reading.peak = max(reading.peak, now)
    reading.after = now


class CardMeter:
    """Memory that a process holds on all NVIDIA cards, by NVML, without a CUDA context.

    Where NVML does not tell processes apart (WSL; a container, whose process numbers it does not know), it is what
    the cards' use has grown by since this meter began: then other programs count too.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._handles: list[Any] = []
        try:
            import pynvml

            pynvml.nvmlInit()
            self._nvml: Any = pynvml
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        except Exception:  # no package, no driver, no card: nothing to measure
            self._handles = []
        self._at_first = self._total()

    def used(self) -> int:
        """Bytes; 0 where there is no card."""
        own = 0
        for handle in self._handles:
            try:
                processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            except self._nvml.NVMLError:
                continue
            own += sum(process.usedGpuMemory or 0 for process in processes if process.pid == self._pid)
        return own or max(0, self._total() - self._at_first)

    def _total(self) -> int:
        total = 0
        for handle in self._handles:
            try:
                total += self._nvml.nvmlDeviceGetMemoryInfo(handle).used
            except self._nvml.NVMLError:
                continue
        return total
