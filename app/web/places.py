"""Where a visitor's uploads lie, and the results that he fetches: nobody names a file but by what he was given.

PLACES/                 also GRADIO_TEMP_DIR
    VISITOR/            one for each, by a hash of his name
        RANDOM/         one for each upload and each fetch: the same recording twice is two files
            NAME        one part of a path, made from the name that it had
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

KEPT_S = 24 * 3600.0
"""That an upload waits for its job, and a result for its reader."""
SWEEP_S = 3600.0
LONGEST_NAME = 200
"""Bytes; ext4 and most others take 255."""


class Places:
    """All of them. Thread-safe: it keeps nothing but the folder's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, visitor: str) -> Path:
        """An empty folder of his. Raises OSError."""
        own = self._own(visitor)
        own.mkdir(mode=0o700, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=own))

    def has(self, visitor: str, path: object) -> bool:
        """Whether this is the path of a file that was given to him."""
        if not isinstance(path, str) or "\0" in path:
            return False
        file = Path(path)
        plain = str(file) == path and ".." not in file.parts
        return plain and file.parent.parent == self._own(visitor) and file.is_file()

    def sweep(self, age_s: float) -> None:
        """Delete what is older."""
        before = time.time() - age_s
        for entry in [*self.folder.iterdir(), *self.folder.glob("*/*")]:
            if entry.parent == self.folder and entry.is_dir():
                continue  # a visitor's: what is in it has an age
            if entry.lstat().st_mtime < before:
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)

    async def tidy(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await asyncio.to_thread(self.sweep, KEPT_S)

    def _own(self, visitor: str) -> Path:
        return self.folder / hashlib.sha256(visitor.encode()).hexdigest()[:32]


def component(name: str) -> str:
    """One part of a path: the last of the name, without what can't be seen, and short, but with its ending."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(each if each.isprintable() else " " for each in last).strip().lstrip(". ")
    stem, ending = os.path.splitext(shown)  # noqa: PTH122 - a Path cuts at other places
    if len(ending) > 12:
        stem, ending = shown, ""
    while len((stem + ending).encode()) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending or "recording"
