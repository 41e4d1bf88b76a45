"""Where files are kept: whether they can be written there, and whether there is room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from app.surroundings import in_words
from app.verify import Check, Seen, needs
from app.verify.needs import MIB

LITTLE = 200 * MIB
"""Artefacts and logs of a day's work; a library that unpacks into the temporary folder."""


def checks(seen: Seen) -> list[Check]:
    """The hub's cache, the state folder, the temporary one."""
    environment = seen.environment
    name, size = needs.model(environment), needs.to_download(environment)
    hub = needs.hub_cache(environment)
    why = f"; {name} is still to come, {in_words(size)}" if size else ""
    smaller = "make room there, or set HF_HOME to a folder on another disk"
    state = environment.get("XDG_STATE_HOME", "")
    above = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
    temporary = _temporary(environment)
    return [
        _place("hub-cache", "the hub's cache", hub, size, why, smaller, "set HF_HOME to a folder of yours"),
        _place(
            "state-folder",
            "the state folder",
            above / "run-app",
            0,
            "",
            "make room there, or set XDG_STATE_HOME to a folder on another disk",
            "set XDG_STATE_HOME to a folder of yours",
        ),
        _place(
            "temporary-folder",
            "temporary files",
            temporary,
            0,
            "",
            "make room there, or set TMPDIR to a folder on another disk",
            "set TMPDIR to a folder of yours",
        ),
    ]


def _temporary(environment: Mapping[str, str]) -> Path:
    """What tempfile takes, or what it would have been told to."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path(environment.get("TMPDIR") or "/tmp")


def _place(id: str, what: str, folder: Path, least: int, why: str, room: str, elsewhere: str) -> Check:
    """`least` bytes must fit; less than LITTLE free is worth a word anyway."""
    there = nearest(folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(id, what, "FAIL", f"{folder}: {error.strerror}", elsewhere)
    facts = {"folder": str(folder), "free": free, "needs": least}
    if reason := refused(there):
        return Check(id, what, "FAIL", f"{folder} can't be written: {reason}", elsewhere, facts)
    said = f"{folder}: {in_words(free)} free{why}"
    if free < least:
        return Check(id, what, "FAIL", said, room, facts)
    if free < least + LITTLE:
        return Check(id, what, "WARN", said, room, facts)
    return Check(id, what, "OK", said, "", facts)


def nearest(folder: Path) -> Path:
    """The folder, or of those above it the first that is there: what it would be made in."""
    for path in (folder, *folder.parents):
        try:
            if path.is_dir():
                return path
        except OSError:  # a folder above that we may not look into
            continue
    return Path("/")


def refused(folder: Path) -> str:
    """Why no file can be made there; empty where one can. By trying: a mode tells nothing of root or of a
    read-only disk.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
