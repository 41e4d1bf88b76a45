"""From IN to recordings, each with an identifier that no other has and that does not depend on the others."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.audio import MEDIA_SUFFIXES
from app.errors import UsageError
from app.inputs import collect

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
    path: Path
    """Absolute."""
    name: str
    """Relative to the folder, or to that of the list; it decides the identifier and the shard."""


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


def find_sources(given: Path, out: Path) -> list[Source]:
    """All recordings that IN names, sorted. Raises UsageError, for a wrong line with its number.

    IN is a folder, one recording, a list with one path a line, or a JSONL manifest with `path` or `audio` in each
    line; paths in those are relative to the file they stand in. A path that comes twice counts once.
    """
    top = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would replace links by what they name
    if top.is_dir():
        if Path(os.path.realpath(out)).is_relative_to(top.resolve()):
            raise UsageError(f"{out}: lies in {given}; what is written there would be read as recordings the next time")
        inputs, errors = collect([top])
        if not inputs:
            raise UsageError(str(errors[0]) if errors else f"{given}: no recordings in this folder (by their endings)")
        paths: Iterable[Path] = (Path(item.path) for item in inputs)
        folder = top
    elif top.suffix.lower() in MEDIA_SUFFIXES:
        paths, folder = [top], top.parent
    else:
        folder = top.parent
        try:
            lines = top.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise UsageError(f"{given}: {error.strerror}") from None
        except ValueError:
            raise UsageError(
                f"{given}: neither a folder nor a list: give a folder, a text file with one path a line, "
                "or a JSONL manifest"
            ) from None
        read = _manifest if top.suffix.lower() in MANIFESTS else _list
        paths = [folder / path for path in read(given, lines)]
        if not paths:
            raise UsageError(f"{given}: names no recording")
    names = {os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path): path for path in paths}
    return [Source(_identifier(name), path, name) for name, path in sorted(names.items())]


def _list(given: Path, lines: list[str]) -> Iterator[Path]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise UsageError(f"{given}:{number}: a zero byte; a list has one path a line")
        if line.strip() and not line.startswith("#"):
            yield Path(os.path.normpath(line.strip()))


def _manifest(given: Path, lines: list[str]) -> Iterator[Path]:
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
        yield Path(os.path.normpath(value))


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
