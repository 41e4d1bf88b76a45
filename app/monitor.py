"""What run-app's processes take at this moment, and what of it is left: memory, processor, cards.

Reads /proc and NVML only: nothing that is watched notices it.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from app.errors import UsageError
from app.surroundings import read_surroundings

SCAN_S = 2.0
"""Between two searches for new processes: each looks at all that run here."""
HISTORY = 30
"""Readings that are kept."""
SHOWN = 30
"""Characters of a command line."""


@dataclass
class Followed:
    """A process. Sizes are in bytes."""

    process: psutil.Process
    what: str
    resident: int = 0
    peak: int = 0
    """Of its resident set, by the kernel's count."""
    cpu: float = 0.0
    """Percent of one core, since the reading before."""
    on_cards: int | None = None
    """None: NVML does not say (WSL, a container, no card)."""
    history: deque[int] = field(default_factory=lambda: deque(maxlen=HISTORY))

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self) -> bool:
        """False: it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(errors="replace")
            self.cpu = self.process.cpu_percent()
        except (OSError, psutil.Error):
            return False
        if re.search(r"^State:\s+[ZX]", status, re.M):  # dead, and not yet waited for
            return False
        self.resident = _kib(status, "VmRSS") * 1024
        self.peak = max(self.peak, self.resident, _kib(status, "VmHWM") * 1024)
        self.history.append(self.resident)
        return True


@dataclass
class Card:
    name: str
    used: int
    total: int
    busy: int | None
    """Percent of the time that a kernel ran; None: not told, as of a part of a card."""
    history: deque[int]


@dataclass(frozen=True)
class View:
    """One look at everything. Sizes are in bytes."""

    processes: Sequence[Followed]
    ended: Sequence[Followed]
    """Those that were there at the look before."""
    cards: Sequence[Card]
    available: int
    total: int
    swap_used: int
    swap_total: int
    group_limit: int | None
    """The control group's limit on memory, where that is less than the machine has."""


class Watch:
    """Follows one process, or all of run-app's that this user has, with their children."""

    def __init__(self, pid: int | None = None) -> None:
        """Raises UsageError where there is no such process."""
        self._root: psutil.Process | None = None
        if pid is not None:
            try:
                self._root = psutil.Process(pid)
                if self._root.status() == psutil.STATUS_ZOMBIE:
                    raise UsageError(f"--pid {pid}: that process has ended")
            except psutil.Error:
                raise UsageError(f"--pid {pid}: there is no such process") from None
        self._followed: dict[int, Followed] = {}
        self._next_scan = 0.0
        self._cards = Cards()
        memory, around = psutil.virtual_memory(), read_surroundings()
        limit = around.group_limit
        self._group_limit = limit if limit and limit < memory.total else None

    @property
    def over(self) -> bool:
        """The one that was to be followed has ended, and its children too."""
        return self._root is not None and not self._followed

    def look(self) -> View:
        if time.monotonic() >= self._next_scan:
            self._scan()
            self._next_scan = time.monotonic() + SCAN_S
        ended = [each for each in self._followed.values() if not each.read()]
        for each in ended:
            del self._followed[each.pid]
        by_pid = self._cards.read()
        for each in self._followed.values():
            each.on_cards = by_pid.get(each.pid)
        memory = psutil.virtual_memory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of traffic, where /proc/vmstat is missing
            swap = psutil.swap_memory()
        return View(
            list(self._followed.values()),
            ended,
            self._cards.cards,
            memory.available,
            memory.total,
            swap.used,
            swap.total,
            self._group_limit,
        )

    def _scan(self) -> None:
        for root in [self._root] if self._root else _run_apps():
            try:
                for process in [root, *root.children(recursive=True)]:
                    words, known = _words(process.pid), self._followed.get(process.pid)
                    if not words and process.status() == psutil.STATUS_ZOMBIE:
                        continue
                    if known is None or known.process != process:  # a number can come again
                        self._followed[process.pid] = Followed(process, describe(words))
                    else:
                        known.what = describe(words)  # an exec may have come between
            except (OSError, psutil.Error):
                continue


def _run_apps() -> Iterator[psutil.Process]:
    """Processes of this user that the launcher started as one of our commands, and workers; no monitor."""
    for pid in psutil.pids():
        try:
            words = _words(pid)
            ours = _module(words) in ("app", "app.worker") and describe(words) != "monitor"
            folder = Path("/proc", str(pid))
            # `python -m app` may be anybody's; the launcher leaves its mark.
            if ours and folder.stat().st_uid == os.geteuid() and b"RUN_APP_PROFILE=" in _read(folder / "environ"):
                yield psutil.Process(pid)
        except (OSError, psutil.Error):
            continue


def describe(words: Sequence[str]) -> str:
    """A command line in a few words: `transcribe`, `worker`; of other programs its beginning."""
    module = _module(words)
    if module == "app":
        return next(iter(words[words.index("-m") + 2 :]), "app")
    if module.startswith("app."):
        return module.rpartition(".")[2]
    shown = " ".join([Path(words[0]).name, *words[1:]]) if words else "?"
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."


def _module(words: Sequence[str]) -> str:
    return words[words.index("-m") + 1] if "-m" in words[:-1] else ""


def _words(pid: int) -> list[str]:
    """Its command line, empty of a dead one that nobody has waited for; raises OSError where it is gone."""
    line = _read(Path("/proc", str(pid), "cmdline")).decode(errors="replace").rstrip("\0")
    return line.split("\0") if line else []


def _read(file: Path) -> bytes:
    return file.read_bytes()


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.M)
    return int(found[1]) if found else 0


class Cards:
    """All NVIDIA cards, by NVML, without a CUDA context; none where there is no package, driver or card."""

    def __init__(self) -> None:
        self.cards: list[Card] = []
        self._handles: list[Any] = []
        try:
            import pynvml

            self._nvml: Any = pynvml
            pynvml.nvmlInit()
            for index in range(pynvml.nvmlDeviceGetCount()):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                name = f"{index} {pynvml.nvmlDeviceGetName(handle)}"
                self.cards.append(Card(name, 0, 0, None, deque(maxlen=HISTORY)))
                self._handles.append(handle)
        except Exception:
            self.cards, self._handles = [], []

    def read(self) -> dict[int, int]:
        """Look at each card. Returns the bytes that each process holds on them all, as far as NVML tells."""
        by_pid: dict[int, int] = {}
        for card, handle in zip(self.cards, self._handles, strict=True):
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                card.used, card.total = memory.used, memory.total
                card.history.append(card.used)
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    if process.usedGpuMemory is not None:
                        by_pid[process.pid] = by_pid.get(process.pid, 0) + process.usedGpuMemory
            except self._nvml.NVMLError:
                pass
            try:
                card.busy = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu
            except self._nvml.NVMLError:
                card.busy = None
        return by_pid
