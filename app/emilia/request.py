"""What the command `emilia` was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.emilia.settings import EmiliaSettings
from app.emilia.sources import Shard, Source
from app.settings import Settings


@dataclass(frozen=True)
class EmiliaRequest:
    """What was asked for on the command line, checked."""

    sources: Sequence[Source]
    out: Path
    shard: Shard | None
    steps: tuple[str, ...]
    emilia: EmiliaSettings
    app: Settings
    diarizer: str
    offline: bool
    workers: int | None
    """Side by side; None: as many as the machine bears."""
    redo: bool
    """Go on where the last run in OUT was asked for something else."""
    retry: bool
    """Try again what is in quarantine."""
    prune: bool
    """At the end remove what the dataset has no use for."""
    engine: str = "local"
    """Or `ray`."""
    address: str | None = None
    """Of a Ray that is there; None: one of our own."""
    url: str | None = None
    """Where the dataset goes when it is whole; `out` is then the folder in which it is made."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The settings that the command line said itself, not the profile: they hold on every machine."""
