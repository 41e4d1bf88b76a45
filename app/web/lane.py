"""The one lane to the models: a worker that takes the jobs in their order, and ends when it has long been idle."""

from __future__ import annotations

from typing import Any

from app.settings import Settings
from app.web.jobs import JobStore


class Lane:
    """A thread of its own: `start`, and `stop`, which ends the worker within seconds and leaves its job resumable."""

    def __init__(self, store: JobStore, settings: Settings, *, idle_unload_s: float, offline: bool = False) -> None:
        self._store = store

    def start(self, *, preload: bool = False) -> None: ...

    def stop(self) -> None: ...

    def wake(self) -> None: ...

    def cancel(self, id: str) -> None: ...

    def again(self, id: str) -> None: ...

    def curve(self, id: str) -> dict[str, Any] | None:
        return None

    def free(self) -> bool:
        return False

    def worker(self) -> dict[str, Any]:
        return {"state": "none", "rss": 0, "vram": 0, "idle_s": 0, "unload_s": 0}
