"""A place for one file on this machine, gone when its `with` ends; after a kill, when the next one is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import WorkError

PREFIX = "run-app-fetched-"
MEND = "set TMPDIR to a folder with room"


@contextmanager
def temporary_folder(above: Path | None = None) -> Iterator[Path]:
    """In `above`, or TMPDIR. Locked as long as this process lives, so that nobody takes it for left behind.

    Raises WorkError.
    """
    top = Path(above or tempfile.gettempdir())
    try:
        _sweep(top)
        folder, descriptor = _locked(top)
    except OSError as error:
        raise WorkError(f"{top}: can't write there ({error.strerror}); {MEND}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(top: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=top))
        with suppress(FileNotFoundError):  # swept before it was locked
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _sweep(top: Path) -> None:
    """What killed processes of this user left there."""
    for folder in top.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
