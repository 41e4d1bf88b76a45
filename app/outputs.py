"""The files that people asked for: replaced only when there is something new to say, never over a person's edits."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import count
from pathlib import Path
from typing import NamedTuple

from app.remote import Location, exists, read_if_there, spelt, write_bytes
from app.store import PART, write_atomically

ABANDONED_S = 600.0


class Outcome(Enum):
    """What became of them, in words."""

    WRITTEN = "wrote {}"
    UNCHANGED = "unchanged: {}"
    EDIT_KEPT = "edited since, and left so: {}"


class Written(NamedTuple):
    outcome: Outcome
    backup: Location | None
    """Where a file went that was not, or no longer, what we had written."""


class Outputs:
    """Writes outputs, and remembers by their hash what was written where, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Location, list[str]] = {}
        """The same for what this process wrote: it holds where the folder's disk is full."""

    def write(self, place: Location, content: str, say: Callable[[str], None] = lambda line: None) -> Written:
        """Bring the content there, whole or not at all, making folders as needed. Raises OSError; for a URL UsageError
        and WorkError, which name it. `say` is told of a server that is asked again.
        """
        return self._here(place, content) if isinstance(place, Path) else self._elsewhere(place, content, say)

    def _here(self, path: Path, content: str) -> Written:
        new = _hash(content.encode(errors="surrogateescape"))
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, "something that is no regular file has this name", str(path))
        try:
            there = _hash(path.read_bytes())
        except FileNotFoundError:
            there = None
        if there == new:
            return Written(Outcome.UNCHANGED, None)
        ours = self._recall(path)
        backup: Path | None = None
        if there is not None and there not in ours:
            if ours and ours[0] == new:
                return Written(Outcome.EDIT_KEPT, None)
            backup = next(path.with_name(name) for name in _backups(path.name) if not path.with_name(name).exists())
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        self._foresee(path, new, ours, backup)
        write_atomically(path, content, before=lambda: _copy(path, backup))
        self._remember(path, [new, *ours[:1]])
        return Written(Outcome.WRITTEN, backup)

    def _elsewhere(self, url: str, content: str, say: Callable[[str], None]) -> Written:
        """The same: in the same order, for the same reasons."""
        data = content.encode(errors="surrogateescape")
        new = _hash(data)
        found = read_if_there(url, say)
        there = None if found is None else _hash(found)
        if there == new:
            return Written(Outcome.UNCHANGED, None)
        ours = self._recall(url)
        backup: str | None = None
        if found is not None and there not in ours:
            if ours and ours[0] == new:
                return Written(Outcome.EDIT_KEPT, None)
            backup = next(name for name in _backups(url) if not exists(name, say))
        self._foresee(url, new, ours, backup)
        if backup is not None and found is not None:
            write_bytes(backup, found, say)
        write_bytes(url, data, say)
        self._remember(url, [new, *ours[:1]])
        return Written(Outcome.WRITTEN, backup)

    def _foresee(self, place: Location, new: str, ours: list[str], backup: Location | None) -> None:
        """First the memory of both: a kill between the two writes must not make our own file look like an edited one.
        Nor must it make the edit that stands there look like one of what never came: then the new is not the latest.
        """
        self._remember(place, [new, *ours[:1]] if backup is None else [*(ours[:1] or [""]), new])

    def _memory(self, place: Location) -> Path:
        name = os.fsencode(place.absolute() if isinstance(place, Path) else spelt(place))
        return self._folder / f"{_hash(name)[:32]}.json"

    def _recall(self, place: Location) -> list[str]:
        """The hashes of what we wrote there, the latest first."""
        if place in self._known:
            return self._known[place]
        try:
            data = json.loads(self._memory(place).read_bytes())
        except (OSError, ValueError):
            return []
        return [str(item) for item in data] if isinstance(data, list) else []

    def _remember(self, place: Location, hashes: list[str]) -> None:
        if self._known.get(place) == hashes:
            return
        self._known[place] = hashes
        with suppress(OSError):  # a full state folder: the worst that follows is a .bak too many
            write_atomically(self._memory(place), json.dumps(hashes))


def _copy(path: Path, backup: Path | None) -> None:
    """A second name for what is there, so that it is never without one."""
    if backup is None:
        return
    try:
        backup.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copy2(path, backup)


def _sweep(folder: Path) -> None:
    """What a killed run left half written, long enough ago that nobody is at it any more."""
    for part in folder.glob(f"{PART}*"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED_S:
                part.unlink()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _backups(name: str) -> Iterator[str]:
    """`a.txt.bak`, `a.txt.bak2` ...: the first that is not taken will do."""
    yield f"{name}.bak"
    yield from (f"{name}.bak{number}" for number in count(2))
