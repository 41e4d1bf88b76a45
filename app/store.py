"""Files of ours: the state folder, and writes that are whole or absent."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.errors import UsageError


def state_folder(name: str) -> Path:
    """`$XDG_STATE_HOME/run-app/NAME`, made if need be."""
    base = os.environ.get("XDG_STATE_HOME") or ""
    # The XDG specification calls a relative path invalid: it would mean another folder at each start.
    above = Path(base) if base.startswith("/") else home_folder("XDG_STATE_HOME") / ".local" / "state"
    folder = above / "run-app" / name
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # what people said is nobody else's business
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder}: the state folder can't be written ({error.strerror}); set XDG_STATE_HOME to a folder of yours"
        ) from None
    return folder


def home_folder(instead: str) -> Path:
    """The user's home; UsageError naming the variable to set instead, where a user has none, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError(f"this user has no home folder; set HOME, or {instead} to a folder of yours") from None


PART = ".run-app-"
"""How the names of unfinished files begin."""


def write_atomically(path: Path, content: str, before: Callable[[], None] = lambda: None) -> None:
    """Write UTF-8 text so that a reader, or a crash at any moment, sees the old file or the new one.

    `before` is called when all is on the disk and only the name is still to be given.
    """
    descriptor, part = tempfile.mkstemp(prefix=PART, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            os.fchmod(descriptor, 0o666 & ~_umask())
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        before()
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def bring(path: Path, place: Path) -> None:
    """The same file in another place, or, on another disk, its like; there after a power cut, too."""
    try:
        place.hardlink_to(path)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copyfile(path, place)
    to_disk(place)


def to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """What mkstemp left out of account. Read from the kernel: os.umask would set it for a moment, for all threads."""
    found = re.search(r"^Umask:\s*([0-7]+)$", Path("/proc/self/status").read_text(), re.M)
    return int(found[1], 8) if found else 0o022
