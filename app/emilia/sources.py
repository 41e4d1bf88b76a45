"""From IN to recordings, each with an identifier that no other has and that does not depend on the others."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.audio import MEDIA_SUFFIXES
from app.errors import InputError, UsageError
from app.inputs import collect
from app.remote import Location, is_remote, joined, listing, local_path, read_bytes, shown, spelt

MANIFESTS = frozenset((".jsonl", ".ndjson"))
KEYS = ("path", "audio")
"""Of a manifest's line, the first that is there: NeMo and the hub's data sets write one or the other."""
LONGEST_STEM = 60
"""Characters of a recording's name in its identifier: a file's name holds 255 bytes."""


@dataclass(frozen=True)
class Source:
    """One recording."""

    id: str
    """As `talk-3f9c1a2b7d`: readable, and distinct even where a.mp3 lies beside a.wav, or one name in two folders."""
    path: Location
    """Absolute, or a URL."""
    name: str
    """Relative to the folder, or to that of the list; it decides the identifier and the shard."""
    size: int | None = None
    """Bytes, of a URL, where its server has said."""
    token: str = ""
    """Of a URL: its server's mark of the content, see app.remote.RemoteFile."""


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `of` parts, from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, source: Source) -> bool:
        """By the name alone: so each recording is in exactly one part, in whatever order they were found."""
        return int(_digest(source.name), 16) % self.of == self.number - 1


def read_shard(text: str) -> Shard:
    """`2/4`. Raises ValueError that says what would be right."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError("must be i/N with i from 1 to N, as 1/4")
    return Shard(int(found[1]), int(found[2]))


def find_sources(given: Location, out: Location) -> list[Source]:
    """All recordings that IN names, sorted. Raises UsageError, for a wrong line with its number.

    IN is a folder, one recording, a list with one path a line, or a JSONL manifest with `path` or `audio` in each
    line, here or at a URL; paths in those are relative to the file they stand in, and may be URLs. A path that comes
    twice counts once.
    """
    sources = _at(given, out) if isinstance(given, str) else _here(given, out)
    return sorted({source.name: source for source in sources}.values(), key=lambda source: source.name)


def _at(url: str, out: Location) -> list[Source]:
    files = listing(url, MEDIA_SUFFIXES)
    top = spelt(url).rstrip("/")
    single = len(files) == 1 and spelt(files[0].url) == top
    if single and PurePosixPath(files[0].name).suffix.lower() not in MEDIA_SUFFIXES:
        try:
            content = read_bytes(url)
        except InputError as error:
            raise UsageError(str(error)) from None
        return _listed(url, content, url.rpartition("/")[0])
    if not single and isinstance(out, str) and f"{spelt(out)}/".startswith(f"{top}/"):
        raise _inside(out, url)
    return [Source(_identifier(file.name), file.url, file.name, file.size, file.token) for file in files]


def _here(given: Path, out: Location) -> list[Source]:
    top = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would replace links by what they name
    if top.is_dir():
        if isinstance(out, Path) and Path(os.path.realpath(out)).is_relative_to(top.resolve()):
            raise _inside(out, given)
        inputs, errors = collect([top])
        if not inputs:
            raise UsageError(str(errors[0]) if errors else f"{given}: no recordings in this folder (by their endings)")
        return [_source(Path(item.path), top) for item in inputs]
    if top.suffix.lower() in MEDIA_SUFFIXES:
        return [_source(top, top.parent)]
    try:
        content = top.read_bytes()
    except OSError as error:
        raise UsageError(f"{given}: {error.strerror}") from None
    return _listed(given, content, top.parent)


def _inside(out: Location, given: Location) -> UsageError:
    return UsageError(
        f"{shown(out)}: lies in {shown(given)}; what is written there would be read as recordings the next time"
    )


def _source(place: Location, folder: Location) -> Source:
    """`folder` is what the recording's name is relative to, if it lies below."""
    name = str(place)
    if isinstance(place, Path) and isinstance(folder, Path) and place.is_relative_to(folder):
        name = os.path.relpath(place, folder)
    elif isinstance(folder, str):
        name = name.removeprefix(f"{folder}/")
    return Source(_identifier(name), place, name)


def _listed(given: Location, content: bytes, folder: Location) -> list[Source]:
    """What a list or a manifest names."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except ValueError:
        raise UsageError(
            f"{shown(given)}: neither a folder nor a list: give a folder, a text file with one path a line, "
            "or a JSONL manifest"
        ) from None
    read = _manifest if PurePosixPath(shown(given)).suffix.lower() in MANIFESTS else _list
    sources = [_source(_placed(entry, folder), folder) for entry in read(shown(given), lines)]
    if not sources:
        raise UsageError(f"{shown(given)}: names no recording")
    return sources


def _placed(entry: str, folder: Location) -> Location:
    """Where a list's entry is."""
    if is_remote(entry):
        return entry
    path = os.path.normpath(local_path(entry))
    return folder / path if isinstance(folder, Path) else Path(path) if path[0] == "/" else joined(folder, path)


def _list(given: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise UsageError(f"{given}:{number}: a zero byte; a list has one path a line")
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def _manifest(given: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{given}:{number}: not a JSON object: {error}") from None
        if not isinstance(entry, dict):
            raise UsageError(f"{given}:{number}: not a JSON object, but {line.strip()[:40]}")
        value = next((entry[key] for key in KEYS if key in entry), None)
        if isinstance(value, dict):  # as datasets writes an audio column
            value = value.get("path")
        if not isinstance(value, str) or not value or not _can_name_a_file(value):
            raise UsageError(f'{given}:{number}: names no recording: {{"path": "talk.mp3"}} would')
        yield value


def _can_name_a_file(text: str) -> bool:
    """JSON can write half a surrogate pair, no file's name can hold one."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _identifier(name: str) -> str:
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem).strip("._-")[:LONGEST_STEM]
    # Its bytes: the names of files need not be text.
    while len(stem.encode(errors="surrogateescape")) > 2 * LONGEST_STEM:
        stem = stem[:-1]
    return f"{stem or 'recording'}-{_digest(name)[:10]}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
