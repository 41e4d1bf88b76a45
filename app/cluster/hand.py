"""What runs on a node: the actor that supervises a worker process there, and the question what the node is."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app import messages
from app.diagnosis import Death
from app.memory import Reading
from app.messages import Failed, Message, Noted, Progress, Started, Task
from app.store import state_folder
from app.supervisor import Log, Worker
from app.surroundings import Surroundings, read_surroundings
from launcher.hardware import Card

SECONDS = 60
"""For the launcher to say what a profile is on a node."""
SHOW_S = 0.5
"""From one message of how far a file has come to the next."""
TELL = "import json, os; print(json.dumps(dict(os.environ)))"


@dataclass(frozen=True)
class Node:
    """What the driver has to know of a machine before it starts workers there."""

    environment: Mapping[str, str]
    """What the profile sets there."""
    python: str
    """The interpreter."""
    cards: tuple[Card, ...]
    surroundings: Surroundings
    absent: tuple[str, ...]
    """Of the paths that were asked for, those that it does not see."""


@dataclass(frozen=True)
class Said:
    """What a worker says, and what only its own machine knows of it."""

    line: str
    """See app.messages."""
    resident: int
    """Bytes."""
    log: str = ""
    """Where it is kept, of an error nobody foresaw."""
    remedy: str | None = None
    """Of such an error, where one is known."""


@dataclass(frozen=True)
class Ended:
    """The last thing an actor says of a job."""

    death: Death | None
    resident: Mapping[str, Reading]
    on_cards: Mapping[str, Reading]


def look_around(profile: str | None, paths: Iterable[str]) -> Node:
    """On the node itself. `profile` is to be resolved there, None: it is the driver's, which knows it."""
    from app.places import visible_cards

    environment: dict[str, str] = {}
    if profile is not None:
        environment = resolved(profile)
    return Node(
        environment,
        sys.executable,
        tuple(visible_cards()),
        read_surroundings(),
        tuple(path for path in paths if not Path(path).exists()),
    )


def resolved(profile: str) -> dict[str, str]:
    """What the launcher sets on this machine. Raises RuntimeError with its line."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RUN_APP_") or name == "RUN_APP_ENV_DIR"
    }
    command = [sys.executable, "-P", "-m", "launcher", "--profile", profile, "--", sys.executable, "-P", "-c", TELL]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=plain)
    if asked.returncode:
        raise RuntimeError(asked.stderr.strip().rpartition("\n")[2] or f"the launcher ended with {asked.returncode}")
    return in_effect(json.loads(asked.stdout))


def in_effect(environment: Mapping[str, str]) -> dict[str, str]:
    """What a profile has set in this environment, and the names by which the app knows it. Empty without one."""
    if "RUN_APP_SETTINGS" not in environment:
        return {}
    names = [*environment["RUN_APP_SETTINGS"].split(","), "RUN_APP_PROFILE", "RUN_APP_SETTINGS"]
    return {name: environment[name] for name in names if name in environment}


class Hand:
    """The actor: keeps one worker process, until it is told to end it or dies, and the process with it."""

    def __init__(self, expected: Mapping[str, str]) -> None:
        """`expected` is the profile that this process must have begun with."""
        self._expected = dict(expected)
        self._stack: ExitStack | None = None
        self._worker: Worker | None = None

    def refusal(self) -> str:
        """Why this process can't do the work; "" where it can.

        glibc and the loader have read their variables when the process began: what was set in it since is too late,
        and it is not in /proc/self/environ.
        """
        began_with = Path("/proc/self/environ").read_bytes().split(b"\0")
        lacking = [
            name
            for name, value in self._expected.items()
            # glibc before 2.39 writes into its own variable.
            if name != "GLIBC_TUNABLES" and os.fsencode(f"{name}={value}") not in began_with
        ]
        if not lacking:
            return ""
        some = ", ".join(lacking[:3]) + (" ..." if len(lacking) > 3 else "")
        start = f"run-app --profile {self._expected.get('RUN_APP_PROFILE') or 'NAME'} -- ray start ..."
        return (
            f"its worker began without {some} of the profile, which have no effect later: what Ray was told to set was "
            f"not set; start Ray there by `{start}`"
        )

    def work(self, job: Task, module: str) -> Iterator[Said | Ended]:
        """What the worker says, then how it ended. Until then this actor answers nothing else."""
        if self._worker is None or not self._worker.alive:
            self.dismiss()
            self._stack = ExitStack()
            log = self._stack.enter_context(Log(state_folder("logs")))
            self._worker = self._stack.enter_context(Worker(log, module))
        worker = self._worker
        worker.give(job, last=False)
        shown = -math.inf
        for message in worker.messages():
            if isinstance(message, Started):
                worker.memory.phase(message.stage)
            if isinstance(message, Progress):  # each is a few hundred microseconds of the driver, for all its workers
                if time.monotonic() - shown < SHOW_S:
                    continue
                shown = time.monotonic()
            yield self._said(worker, message)
        yield Ended(worker.death(), worker.memory.resident, worker.memory.on_cards)

    def _said(self, worker: Worker, message: Message) -> Said:
        line, resident = messages.encode(message), worker.memory.last
        if not isinstance(message, Failed | Noted) or not message.bug:
            return Said(line, resident)
        reason = message.reason if isinstance(message, Failed) else message.text
        return Said(line, resident, str(worker.log.keep()), worker.remedy(reason))

    def keep_log(self) -> str:
        """The path of the worker's log, which stays there."""
        return str(self._worker.log.keep()) if self._worker else ""

    def dismiss(self) -> None:
        """End the worker process: its memory is free when this returns."""
        if self._stack:
            self._stack.close()
        self._stack = self._worker = None
