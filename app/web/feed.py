"""What the page shows of the jobs, and of that only what changed since a tab last asked."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
import zlib
from dataclasses import asdict
from typing import Any

from app.web.board import Board
from app.web.jobs import Job

FRESH_S = 0.3
"""Tabs that ask within this time get one and the same look at the jobs."""


class Feed:
    """Thread-safe."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._epoch = secrets.token_hex(4)
        """A number of ours means nothing to the tabs of an earlier server."""
        self._shelves: dict[str, _Shelf] = {}
        self._lock = threading.Lock()

    def since(self, visitor: str, version: Any) -> dict[str, Any]:
        """{"version": to be handed in next time, "jobs": what is new or changed, "gone": ids}; all jobs, and "all",
        for a version that is not of this feed.
        """
        with self._lock:
            shelf = self._shelves.setdefault(visitor, _Shelf())
            shelf.refresh(self._board.jobs(visitor) if shelf.stale else None)
            epoch, seen = version if isinstance(version, list) and len(version) == 2 else ("", 0)
            known = epoch == self._epoch and isinstance(seen, int)
            after = seen if known else -1
            return {
                "version": [self._epoch, shelf.count],
                "all": not known,
                "jobs": [summary for at, summary in shelf.summaries.values() if at > after],
                "gone": [id for id, at in shelf.gone.items() if at > after] if known else [],
            }

    def forget(self, visitor: str) -> None:
        """He has changed something: the next look is a new one."""
        with self._lock:
            self._shelves.setdefault(visitor, _Shelf()).looked_at = 0.0


class _Shelf:
    """One visitor's jobs, as last looked at."""

    def __init__(self) -> None:
        self.count = 0
        """Of the looks that found something new."""
        self.looked_at = 0.0
        self.summaries: dict[str, tuple[int, dict[str, Any]]] = {}
        """By id, in which look it was found to be so."""
        self.gone: dict[str, int] = {}

    @property
    def stale(self) -> bool:
        return time.monotonic() - self.looked_at > FRESH_S

    def refresh(self, jobs: list[Job] | None) -> None:
        if jobs is None:
            return
        self.looked_at = time.monotonic()
        now = {job.id: summary(job) for job in jobs}
        changed = [id for id, said in now.items() if id not in self.summaries or self.summaries[id][1] != said]
        gone = [id for id in self.summaries if id not in now]
        if changed or gone:
            self.count += 1
        for id in changed:
            self.summaries[id] = (self.count, now[id])
        for id in gone:
            del self.summaries[id]
            self.gone[id] = self.count


def summary(job: Job) -> dict[str, Any]:
    """A row of the table."""
    states = [each.state for each in job.files]
    return {
        "id": job.id,
        "number": job.number,
        "created": job.created,
        "name": job.files[0].name,
        "files": len(states),
        "done": states.count("done"),
        "failed": states.count("failed"),
        "state": job.state,
        "stage": job.stage,
        "index": job.index,
        "progress": round(job.progress, 3),
        "seconds": round(job.seconds),
        "error": job.error,
    }


def detail(job: Job) -> dict[str, Any]:
    """What a job's own view shows besides."""
    files = [asdict(each) for each in job.files]
    for each in files:
        del each["file"]
    return {"id": job.id, "files": files, "lines": job.lines, "options": asdict(job.options)}


def mark(value: Any) -> str:
    """Another one for another value."""
    return f"{zlib.crc32(json.dumps(value).encode()):08x}"


def thinned(curve: dict[str, Any], most: int = 400) -> dict[str, Any]:
    """Few enough points for a picture; the peaks stay."""
    step = -(-len(curve["seconds"]) // most) or 1
    if step == 1:
        return curve

    def peaks(values: list[float]) -> list[float]:
        return [max(values[at : at + step]) for at in range(0, len(values), step)]

    seconds = list(itertools.islice(curve["seconds"], 0, None, step))
    return {**curve, "seconds": seconds, "rss": peaks(curve["rss"]), "vram": peaks(curve["vram"])}
