"""The files that people asked for: replaced only when there is something new to say, never over a person's edits."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from app.store import PART, write_atomically

ABANDONED_S = 600.0


class Outcome(Enum):
    """What became of them, in words."""

    WRITTEN = "wrote {}"
    UNCHANGED = "unchanged: {}"
    EDIT_KEPT = "edited since, and left so: {}"


class Written(NamedTuple):
    outcome: Outcome
    backup: Path | None
    """Where a file went that was not, or no longer, what we had written."""


class Outputs:
    """Writes outputs, and remembers by their hash what was written where, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, list[str]] = {}
        """The same for what this process wrote: it holds where the folder's disk is full."""

    def write(self, path: Path, content: str) -> Written:
        """Bring the content there, whole or not at all, making folders as needed. Raises OSError."""
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
            backup = _free_name(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        # First the memory of both: a kill between the two writes must not make our own file look like an edited one.
        self._remember(path, [new, *ours[:1]])
        write_atomically(path, content, before=lambda: _copy(path, backup))
        return Written(Outcome.WRITTEN, backup)

    def _memory(self, path: Path) -> Path:
        return self._folder / f"{_hash(os.fsencode(path.absolute()))[:32]}.json"

    def _recall(self, path: Path) -> list[str]:
        """The hashes of what we wrote there, the latest first."""
        if path in self._known:
            return self._known[path]
        try:
            data = json.loads(self._memory(path).read_bytes())
        except (OSError, ValueError):
            return []
        return [str(item) for item in data] if isinstance(data, list) else []

    def _remember(self, path: Path, hashes: list[str]) -> None:
        self._known[path] = hashes
        with suppress(OSError):  # a full state folder: the worst that follows is a .bak too many
            write_atomically(self._memory(path), json.dumps(hashes))


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


def _free_name(path: Path) -> Path:
    """`a.txt.bak`, or the first of `a.txt.bak2` ... that is not taken."""
    number = 1
    while (backup := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")).exists():
        number += 1
    return backup
