"""A log of which stage ran for which file, when, and how it ended: one JSON object a line."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 10 * 10**6
"""Beyond it the log becomes `events.jsonl.1`, in the place of the one before."""


class EventLog:
    """Appends to `events.jsonl` in this folder; several processes may. A full disk costs the line, not the work."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.jsonl"
        self._lock = threading.Lock()
        with suppress(OSError):
            if self.path.stat().st_size > MOST_BYTES:
                self.path.replace(self.path.with_name("events.jsonl.1"))

    def add(self, event: str, **fields: object) -> None:
        """`event` is `started`, `done`, `reused` or `failed`; the fields name the file, the stage, its key."""
        line = json.dumps({"time": time.strftime("%FT%T%z"), "pid": os.getpid(), "event": event, **fields})
        with self._lock, suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                whole = line.encode() + b"\n"
                written = os.write(descriptor, whole)  # one write: lines of two processes do not mix
                if written < len(whole):  # the disk is full: half a line would spoil the next one too
                    os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR) - written)
            finally:
                os.close(descriptor)
