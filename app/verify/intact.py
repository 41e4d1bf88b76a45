"""Whether a file of weights is whole, as far as that can be told without reading it all: a few milliseconds each."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from app.surroundings import in_words

MOST_VARIABLES = 100_000
MOST_HEADER = 100 * 2**20
"""safetensors allows no larger one."""


def fault(path: Path) -> str:
    """Why this file of weights can't be whole; "" where nothing speaks against it. OSError where it can't be read."""
    size = path.stat().st_size
    if size == 0:
        return "the file is empty (0 bytes)"
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith(b"version https://git-lfs"):
            return "a Git LFS pointer, not the weights"
        if not any(head):
            return "the file begins with zeros: it was never written to the end"
        if head.startswith(b"PK\x03\x04"):
            return (
                "" if zipfile.is_zipfile(path) else f"cut short at {in_words(size)}: the end of its archive is missing"
            )
        if path.suffix == ".safetensors":
            needs = _safetensors(file)
        elif head[6:].startswith((b"WhisperSpec", b"TransformerSpec")):
            needs = _ctranslate2(file, size)
        else:
            return ""
    return f"cut short: {in_words(size)} of at least {in_words(needs)}" if needs > size else ""


def _safetensors(file: BinaryIO) -> int:
    """The size by its header: 8 bytes, a JSON of that length, the tensors' content."""
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
    text = file.read(min(length, MOST_HEADER))
    try:
        tensors = json.loads(text)
        ends = [one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return 8 + int(length)
    return 8 + int(length) + int(max(ends, default=0))


def _ctranslate2(file: BinaryIO, size: int) -> int:
    """The size by the variables' own, as CTranslate2 reads them (src/models/model.cc): up to the first that is cut."""
    file.seek(0)
    try:
        (version,) = _take(file, "I")
        _skip_name(file)
        _take(file, "I")
        (count,) = _take(file, "I")
        for _ in range(min(count, MOST_VARIABLES)):
            _skip_name(file)
            (rank,) = _take(file, "B")
            file.seek(4 * rank, 1)
            a, b = _take(file, "BI")
            file.seek(b if version >= 4 else a * b, 1)  # type and bytes; before 4 an item's bytes and their number
            if file.tell() > size:
                return file.tell()
        if version >= 3:
            for _ in range(min(_take(file, "I")[0], MOST_VARIABLES)):
                _skip_name(file)
                _skip_name(file)
    except struct.error:
        return max(file.tell(), size + 1)
    return file.tell()


def _take(file: BinaryIO, kinds: str) -> tuple[int, ...]:
    layout = f"<{kinds}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _skip_name(file: BinaryIO) -> None:
    file.seek(_take(file, "H")[0], 1)
