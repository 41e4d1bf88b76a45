"""Listing, fetching and writing files by URL."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from app.errors import InputError, UsageError, WorkError
from app.remote.access import BEFORE, READING, WRITING, Blame, Place, Say, tried
from app.remote.faults import NO_BUCKET, code_of
from app.remote.temporary import MEND, temporary_folder
from app.remote.urls import WEB, file_name, joined, scheme_of, shown
from app.store import PART

WHOLE = frozenset("s3 s3a gs gcs az abfs abfss oss memory".split())
"""Where an object is there with all its bytes or not at all. Elsewhere it is written beside, and then named."""
EXCLUSIVE = frozenset("s3 s3a gs gcs memory file".split())
"""Where fsspec makes a file only if there is none, in one step."""
MARKS = ("ETag", "etag", "md5Hash", "generation", "content_md5", "checksum")
TIMES = ("LastModified", "Last-Modified", "last_modified", "mtime", "modified", "created")


class RemoteFile(NamedTuple):
    """One file, as a listing tells it."""

    url: str
    name: str
    """Relative to what was listed; with `/`, never with `..`."""
    size: int | None
    """Bytes; None where the server doesn't say."""
    token: str
    """Another one as soon as the content is; empty where the server tells neither mark nor time."""


def listing(url: str, suffixes: Collection[str], say: Say = lambda line: None) -> list[RemoteFile]:
    """The file that the URL names, whatever its ending; or all below it with one of `suffixes` (`.mp3`), by name.

    Hidden files and folders are left out, as in a local folder. Raises UsageError, also where nothing is found.
    """
    return tried(lambda place: _listed(place, suffixes), url, BEFORE, say)


def _listed(place: Place, suffixes: Collection[str]) -> list[RemoteFile]:
    fs, top = place.fs, place.path.rstrip("/")
    info = fs.info(place.path)
    if info["type"] != "directory":
        return [_file(place, info, file_name(place.url))]
    found = []
    for path, inside in fs.find(place.path, detail=True).items():
        name = path.removeprefix(top).lstrip("/")
        parts = name.split("/")
        if PurePosixPath(name).suffix.lower() not in suffixes or inside["type"] == "directory":
            continue
        if ".." in parts:
            raise UsageError(f"{shown(joined(place.url, name))}: a name with `..` in it leads out of any output folder")
        if not any(part.startswith(".") for part in parts):
            found.append(_file(place, inside, name))
    if not found:
        raise UsageError(f"{shown(place.url)}: no recordings below it (by their endings)")
    return sorted(found, key=lambda file: file.name)


def _file(place: Place, info: dict[str, Any], name: str) -> RemoteFile:
    size = info.get("size")
    return RemoteFile(str(place.fs.unstrip_protocol(info["name"])), name, size, _token(info))


def _token(info: dict[str, Any]) -> str:
    """By the server's own mark of the content if there is one: a copy of the same bytes needs no new work."""
    telling = next((info[key] for key in (*MARKS, *TIMES) if info.get(key)), None)
    if telling is None:
        return ""
    told = telling.timestamp() if hasattr(telling, "timestamp") else str(telling)
    return hashlib.sha256(json.dumps([told, info.get("size"), info.get("ino")]).encode()).hexdigest()[:32]


@contextmanager
def fetched(url: str, folder: Path | None = None, say: Say = lambda line: None) -> Iterator[Path]:
    """The file as a local one with the ending of the URL, below `folder` or TMPDIR, and gone afterwards.

    An InputError raised within names the URL instead of the local file. Raises InputError where this file can't be
    had, or was replaced while it was read; WorkError where the server, or the disk here, can't be used at all.
    """
    with temporary_folder(folder) as below:
        local = below / f"recording{_suffix(url)}"
        tried(lambda place: _fetch(place, local), url, READING, say)
        try:
            yield local
        except InputError as error:
            raise InputError(str(error).replace(str(local), shown(url))) from None


def _fetch(place: Place, local: Path) -> None:
    size = place.fs.info(place.path).get("size")
    try:
        place.fs.get_file(place.path, str(local))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkError(f"{local.parent.parent}: no space left to bring {shown(place.url)} to; {MEND}") from None
        raise
    came = local.stat().st_size
    if size is not None and came != size:
        raise ConnectionError(f"{came} of {size} bytes came")


def _suffix(url: str) -> str:
    if scheme_of(url) in WEB:
        url = url.partition("?")[0]
    found = re.search(r"\.[A-Za-z0-9]{1,10}$", url.rpartition("/")[2])
    return found[0] if found else ""


def marks(url: str, say: Say = lambda line: None) -> tuple[int | None, str]:
    """Its size in bytes and the server's mark of its content, as RemoteFile has them.

    Raises InputError, where this file can't be had, and WorkError.
    """

    def look(place: Place) -> tuple[int | None, str]:
        info = place.fs.info(place.path)
        return info.get("size"), _token(info)

    return tried(look, url, READING, say)


def read_bytes(url: str, say: Say = lambda line: None) -> bytes:
    """Raises InputError, where this file can't be had, and WorkError."""

    def read(place: Place) -> bytes:
        return bytes(place.fs.cat_file(place.path))

    return tried(read, url, READING, say)


def read_if_there(url: str, say: Say = lambda line: None) -> bytes | None:
    """For who will write it: what is there now, None where there is no file. Raises WorkError, also without access."""

    def read(place: Place) -> bytes | None:
        try:
            return bytes(place.fs.cat_file(place.path))
        except FileNotFoundError as error:
            if code_of(error) in NO_BUCKET:
                raise
            return None

    return tried(read, url, WRITING, say)


def exists(url: str, say: Say = lambda line: None) -> bool:
    """Whether there is a file or a folder of this name. No bucket, or no access, is an error: WorkError."""

    def look(place: Place) -> bool:
        try:
            place.fs.info(place.path)
        except FileNotFoundError as error:
            if code_of(error) in NO_BUCKET:
                raise
            return False
        return True

    return tried(look, url, WRITING, say)


def write_bytes(url: str, data: bytes, say: Say = lambda line: None) -> None:
    """Put the bytes there, whole or not at all, over what was there. Raises WorkError."""
    _write(url, lambda place, path: place.fs.pipe_file(path, data), len(data), WRITING, say)


def put(path: Path, url: str, say: Say = lambda line: None) -> None:
    """Put a file of this machine there, whole or not at all, over what was there. Raises WorkError."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror}") from None
    _write(url, lambda place, there: place.fs.put_file(str(path), there), size, WRITING, say)


def _write(
    url: str, send: Callable[[Place, str], object], size: int, blame: Blame, say: Say = lambda line: None
) -> None:
    def write(place: Place) -> None:
        if place.scheme in WEB:
            raise UsageError(f"{shown(url)}: {place.scheme}:// can be read, not written")
        if place.scheme in WHOLE:
            send(place, place.path)
            return
        folder, slash, name = place.path.rpartition("/")
        place.fs.makedirs(folder, exist_ok=True)
        beside = f"{folder}{slash}{PART}{secrets.token_hex(6)}-{name[:100]}"
        try:
            send(place, beside)
            came = place.fs.info(beside).get("size")
            if came != size:
                raise ConnectionError(f"{came} of {size} bytes arrived")
            place.fs.mv(beside, place.path)
        except BaseException:
            with suppress(Exception):
                place.fs.rm_file(beside)
            raise

    tried(write, url, blame, say)


def create_exclusively(url: str, data: bytes) -> bool:
    """Make the file if there is none: True for one of all who try at once. `data` must be the caller's alone.

    Raises UsageError where the file system, or a server of the S3 kind that takes no conditions, can't promise that.
    """

    def create(place: Place) -> bool:
        if place.scheme not in EXCLUSIVE:
            raise UsageError(f"{shown(url)}: {place.scheme}:// has no way to make a lock")
        try:
            _create(place, data)
        except FileExistsError:
            # An earlier attempt of ours may have come through though its answer did not.
            return bytes(place.fs.cat_file(place.path)) == data
        try:
            _create(place, data)
        except FileExistsError:
            return True
        raise UsageError(f"{shown(url)}: the server takes no conditions (If-None-Match), so no lock can be made there")

    return tried(create, url, WRITING)


def _create(place: Place, data: bytes) -> None:
    if place.scheme == "file":
        with Path(place.path).open("xb") as file:
            file.write(data)
    elif place.scheme == "memory":
        with place.fs.open(place.path, "xb") as file:
            file.write(data)
    else:
        place.fs.pipe_file(place.path, data, mode="create")


def remove(url: str) -> None:
    """Take the file away; that there is none is no error. Raises WorkError."""

    def take(place: Place) -> None:
        with suppress(FileNotFoundError):
            place.fs.rm_file(place.path)

    tried(take, url, WRITING)


def check_writable(url: str) -> None:
    """Prove that files can be made below the URL, before any work is done for it; leaves no trace.

    Raises UsageError.
    """
    probe = joined(url, f"{PART}{secrets.token_hex(6)}")
    try:
        _write(probe, lambda place, path: place.fs.pipe_file(path, b"run-app"), len(b"run-app"), BEFORE)
        remove(probe)
    except (UsageError, WorkError) as error:
        raise UsageError(str(error).replace(shown(probe), shown(url))) from None
