"""Which model it is, by content: the same weights in another folder are the same model."""

from __future__ import annotations

import hashlib
from pathlib import Path

EDGE_BYTES = 1 << 20
"""Read at each end of a file. Weights that differ, differ there: the tables of a format, the first and last layers."""


def identity(path: Path) -> str:
    """A name for the content of a model's file, or of a folder of them, 16 hexadecimal digits.

    Cheap (2 MiB a file) so that it can be asked at each start: not a proof against somebody who forges weights.
    Hidden files and folders inside don't count. Raises OSError.
    """
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
    for file in files:
        with file.open("rb") as content:
            size = content.seek(0, 2)
            content.seek(0)
            digest.update(f"{file.name} {size}\n".encode())
            digest.update(content.read(EDGE_BYTES))
            content.seek(max(EDGE_BYTES, size - EDGE_BYTES))
            digest.update(content.read(EDGE_BYTES))
    return digest.hexdigest()[:16]
