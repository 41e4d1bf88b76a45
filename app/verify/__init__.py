"""`run-app verify`: whether each variable took effect, what is wrong with the installation, and what would mend it.

Nothing that might abort is done in this process: it is tried in children (app/verify/child.py), whose death is a
finding. Each section is a module with `tasks(seen)`; app/verify/run.py runs them side by side where memory allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["OK", "WARN", "FAIL", "SKIP"]
"""FAIL: something will not work, or does not do what the profile says. WARN: it works, and will hurt some day. SKIP: it
can't be seen here, or is not there and nothing that was asked for needs it."""


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    id: str
    """The entry in docs/troubleshooting.md that explains it: `malloc-arenas`."""
    subject: str
    """What was looked at: `MALLOC_ARENA_MAX=1`, `torchcodec`, `address space`."""
    status: Status
    found: str
    """What was seen, with its figure: `1 arena after 8 threads allocated`."""
    todo: str = ""
    """The one thing to do, where it is not OK."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """For --json: the figures behind `found`."""


@dataclass(frozen=True)
class Task:
    """A piece of the work that can go on beside others."""

    name: str
    run: Callable[[], list[Check]]
    needs_mib: int = 50
    """What its child takes at its highest."""


@dataclass(frozen=True)
class Seen:
    """What all sections look at."""

    environment: Mapping[str, str]
    """As it was at exec, by /proc/self/environ: what was set later is not in it. Children are started with it."""
    late: Mapping[str, str]
    """What os.environ has and the exec did not bring, or brought otherwise: too late for whoever reads at exec."""
    settings: tuple[str, ...]
    """The names that the profile set, by RUN_APP_SETTINGS; none where no launcher started this process."""
    profiles: tuple[str, ...]
    """By RUN_APP_PROFILE."""
    fix_hints: bool = False
    """Whether ready-made files, as a .wslconfig, are to be shown."""
