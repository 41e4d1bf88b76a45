"""fsspec's memory file system: URLs without a server, in one process."""

from __future__ import annotations

from typing import Any


class MemoryFiles:
    """What lies there."""

    def __init__(self) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        self.kind: Any = MemoryFileSystem
        """For a method to be replaced by one that fails."""

    def put(self, *names: str, data: bytes = b"sound") -> None:
        for name in names:
            self.kind().pipe_file(name, data)

    def texts(self) -> dict[str, str]:
        """By name: /out/a.txt."""
        return {name: str(self.kind().cat_file(name), "utf-8") for name in self.kind.store}

    def clear(self) -> None:
        self.kind.store.clear()
        self.kind.pseudo_dirs[:] = [""]
