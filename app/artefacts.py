"""What the stages have finished, on disk, so that no end of a process loses it.

An artefact lies under a key made of the recording's content and of everything that shaped the result. So a key that is
there is the answer, whoever asks, and a changed option is another key. Each is whole or absent. What is unfinished
lies beside: a decoded waveform while later stages need it, and the checkpoint of a stage that is under way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.store import write_atomically

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_BYTES = 20 * 10**9
OLDEST_S = 30 * 24 * 3600.0
"""Beyond these, the ones longest unused go first."""
IN_USE_S = 24 * 3600.0
"""A younger file may belong to a run that is under way, and stays."""


def content_key(path: Path) -> str:
    """Names a recording by its content. Its ending counts too: headerless formats are told by it. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(path.suffix.lower().encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def stage_key(stage: str, shape: Mapping[str, object], parents: list[str]) -> str:
    """Names a result: the stage, what shapes it, and the keys of what it is made from."""
    text = json.dumps([stage, shape, parents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Artefacts:
    """The folder of them. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> Any | None:
        """What was saved under this key; None if nothing was."""
        path = self._folder / f"{key}.json"
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError):  # ValueError: a disk that lost what it had promised to keep
            return None
        _touch(path)
        return data

    def save(self, key: str, data: Any) -> None:
        """Raises OSError, on a full disk first of all."""
        write_atomically(self._folder / f"{key}.json", json.dumps(data, ensure_ascii=False))

    def waveform(self, key: str) -> npt.NDArray[np.float32] | None:
        """The waveform saved under this key, mapped and not read: shape (samples,). None if there is none."""
        import numpy as np

        path = self._waveform_path(key)
        try:
            # "c": libraries that insist on a writable array get one; what they write goes to a copy of the page.
            mapped: npt.NDArray[np.float32] = np.memmap(path, np.float32, mode="c")
        except (OSError, ValueError):
            return None
        _touch(path)
        return mapped

    def save_waveform(self, key: str, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Keep it until it is dropped; returns it mapped, so that the memory it took is free. Raises OSError."""
        path = self._waveform_path(key)
        part = path.with_name(f".{key}.{os.getpid()}.part")
        try:
            waveform.tofile(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        mapped = self.waveform(key)
        return waveform if mapped is None else mapped

    def _waveform_path(self, key: str) -> Path:
        # Not synced to the disk: after a crash of the machine the name may be there without the content. A boot has
        # an identity of its own, so such a file is never looked at again.
        return self._folder / f"{key}.{_boot()}.f32"

    def drop_waveform(self, key: str) -> None:
        with suppress(OSError):
            self._waveform_path(key).unlink()

    @contextmanager
    def checkpoint(self, key: str) -> Iterator[FileCheckpoint | None]:
        """For a stage under way; None where another process is at the very same, or the disk takes nothing."""
        path = self._folder / f"{key}.part"
        try:
            file = path.open("a+b", buffering=0)  # what a full disk does not take is no debt then
        except OSError:
            yield None
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
                return
            yield FileCheckpoint(file)

    def drop_checkpoint(self, key: str) -> None:
        with suppress(OSError):
            (self._folder / f"{key}.part").unlink()

    def prune(self, most_bytes: int = MOST_BYTES, oldest_s: float = OLDEST_S) -> None:
        """Keep the folder within its bounds in age and size."""
        now = time.time()
        found = []
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                with suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, entry.path))
        room = most_bytes
        for changed, size, path in sorted(found, reverse=True):
            room -= size
            age = now - changed
            if age > oldest_s or (room < 0 and age > IN_USE_S):
                with suppress(OSError):
                    Path(path).unlink()


class FileCheckpoint:
    """One JSON line a piece. A line that a kill cut short counts as not there."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        file.seek(0)
        self._lines: list[Any] = []
        self._end = 0
        self._broken = False
        for line in file.read().splitlines(keepends=True):
            try:
                self._lines.append(json.loads(line))
            except ValueError:
                break
            self._end += len(line)
        file.truncate(self._end)

    def lines(self) -> list[Any]:
        return list(self._lines)

    def add(self, data: Any) -> None:
        """A full disk costs the rest of the checkpoint, not the work; what is on it stays without a gap."""
        self._lines.append(data)
        if self._broken:
            return
        line = json.dumps(data, ensure_ascii=False).encode() + b"\n"
        try:
            whole = self._file.write(line) == len(line)
        except OSError:
            whole = False
        if whole:
            self._end += len(line)
            return
        self._broken = True
        with suppress(OSError):
            self._file.truncate(self._end)


def _touch(path: Path) -> None:
    """It was used just now; `prune` goes by that."""
    with suppress(OSError):
        os.utime(path)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:8]
