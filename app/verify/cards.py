from __future__ import annotations

from app.verify import Seen, Task


def tasks(seen: Seen) -> list[Task]:
    return []
