"""Which model it is, by content: the same weights in another folder are the same model."""

from __future__ import annotations

import hashlib
from pathlib import Path

EDGE_BYTES = 1 << 20
"""Read at each end of a file, where formats have their tables."""
STRIDE_BYTES, SAMPLE_BYTES = 1 << 20, 1 << 14
"""In between, so much of each stretch: a model that was trained further may differ in its inner layers alone."""


def identity(path: Path) -> str:
    """A name for the content of a model's file, or of a folder of them, 16 hexadecimal digits.

    Cheap (2 MiB and a 64th of a file) so that it can be asked at each start: not a proof against somebody who forges
    weights.
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
            for place in range(EDGE_BYTES, size - EDGE_BYTES, STRIDE_BYTES):
                content.seek(place)
                digest.update(content.read(SAMPLE_BYTES))
            content.seek(max(EDGE_BYTES, size - EDGE_BYTES))
            digest.update(content.read(EDGE_BYTES))
    return digest.hexdigest()[:16]
