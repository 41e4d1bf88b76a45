"""Files of ours: the state folder, and writes that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

from app.errors import UsageError


def state_folder() -> Path:
    """`$XDG_STATE_HOME/run-app`, made if need be."""
    base = os.environ.get("XDG_STATE_HOME") or ""
    # The XDG specification calls a relative path invalid: it would mean another folder at each start.
    folder = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "run-app"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder}: the state folder can't be made ({error.strerror}); set XDG_STATE_HOME to a folder of yours"
        ) from None
    return folder


def write_atomically(path: Path, content: str) -> None:
    """Write UTF-8 text so that a reader, or a crash at any moment, sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
