"""The machines of a Ray: which workers are on which of them, and how one is hired."""

from __future__ import annotations

import math
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any

from app.cluster.connection import connected
from app.cluster.hand import Hand, in_effect, resolved
from app.cluster.nodes import look_at, only_on
from app.cluster.remote_worker import RemoteWorker, answers
from app.errors import UsageError
from app.places import places, visible_cards, workers
from app.settings import Settings, read_settings
from app.supervisor import Gone
from launcher.masking import is_secret

NEED_A_CARD = ("float16", "int8_float16", "bfloat16", "int8_bfloat16")
"""Compute types that CTranslate2 has on cards alone."""


@dataclass(frozen=True)
class Seat:
    """Where one worker works."""

    node_id: str
    host: str
    node: str
    """The host with its address."""
    environment: Mapping[str, str]
    """The profile, as it is there."""
    settings: Settings
    """What the profile says there, with the command's own flags before it; `threads` are this worker's."""
    card: bool
    python: str
    """The interpreter there."""


class Cluster:
    """A context manager: connected to Ray within it. Its own Ray ends with it, one that was joined goes on."""

    def __init__(self, address: str | None, settings: Settings, given: Mapping[str, Any]) -> None:
        """Without an address a Ray of our own, on this machine, with as many CPUs as there are threads in `settings`,
        or cards if there are more.

        `given` are the settings that the command line said itself: they hold on every node, whatever its profile says.
        So does the compute type, as the model: what has been recognised is known by both.
        """
        self._address, self._settings, self._given = address, settings, given
        self.seats: list[Seat] = []
        self._actors: dict[int, Any] = {}
        """By place, those that have no worker now."""

    @property
    def names(self) -> list[str]:
        """Of the seats."""
        count = Counter(seat.host for seat in self.seats)
        number = Counter[str]()
        names = []
        for seat in self.seats:
            number[seat.host] += 1
            names.append(f"{seat.host} {number[seat.host]}" if count[seat.host] > 1 else seat.host)
        return names

    @property
    def machines(self) -> list[str]:
        """Of the seats."""
        return [seat.node for seat in self.seats]

    def __enter__(self) -> Cluster:
        cards = visible_cards() if self._settings.device != "cpu" and self._address is None else []
        cpus = max(self._settings.threads, len(cards))
        self._connection = connected(self._address, cpus, cards=self._settings.device != "cpu")
        self._connection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def survey(
        self, folder: Path, paths: Sequence[str], need: int, asked: int | None, files: int, *, share: int = 1
    ) -> str:
        """Look at all nodes and place workers on them; returns what there is, in words.

        All nodes have to see `folder`, which this writes to for that, and `paths`. `need` are a worker's bytes, `asked`
        the workers of all nodes together, `share` the threads of one without a card, if there are so many. Raises
        UsageError where a node can't do the work.
        """
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"] and _cpus(node, math.inf)]
        found = look_at(nodes, folder, paths)
        own, gone = _own_words()
        lines, fit = [], []
        for node in nodes:
            seen, host = found.get(node["NodeID"]), node["NodeManagerHostname"]
            if seen is None:
                lines.append(f"{host}: lost, no worker there")
                continue
            environment = seen.environment or in_effect(os.environ)
            environment = {name: value for name, value in environment.items() if name not in gone} | own
            settings = replace(
                read_settings(environment), **{"compute_type": self._settings.compute_type, **self._given}
            )
            cards = seen.cards[: int(node["Resources"].get("GPU", 0))] if settings.device != "cpu" else ()
            if not cards and (settings.device == "cuda" or settings.compute_type in NEED_A_CARD):
                asked_for = "device cuda" if settings.device == "cuda" else f"compute type {settings.compute_type}"
                lines.append(f"{host}: no card that Ray can give, and {asked_for} is asked for: no worker there")
                continue
            cpus = _cpus(node, self._given.get("threads", math.inf))
            fit.append((node, seen, environment, settings, cards, cpus, min(len(cards) or cpus, cpus)))
        # So many as were asked for are spread over what all nodes bear.
        bear, left = sum(each[-1] for each in fit), asked
        groups = []
        for node, seen, environment, settings, cards, cpus, most in fit:
            wanted = None
            if left is not None:
                wanted = min(math.ceil(left * most / bear), most)
                left, bear = left - wanted, bear - most
                if not wanted:
                    continue
            shares = cpus if wanted or cards else max(1, cpus // share)
            room = places(wanted, shares, settings.device, need, files, seen.surroundings, cards[:most])
            settings = replace(settings, threads=max(1, cpus // room.number))
            groups.append(self._seats(node, room.number, environment, settings, bool(cards), seen.python))
            named = environment.get("RUN_APP_PROFILE") or "none"
            host, kind = node["NodeManagerHostname"], settings.compute_type
            lines.append(f"{host}: {workers(room.number, settings.threads)}{room.why}, {kind}, profile {named}")
        if left:
            lines.append(f"{left} of {asked} workers find no CPU or card")
        # Where there are few files, each node gets some.
        self.seats = [seat for row in zip_longest(*groups) for seat in row if seat]
        if not self.seats:
            raise UsageError("; ".join(lines) or "no node of this Ray has a CPU to give")
        return "; ".join(lines)

    def _seats(
        self,
        node: Mapping[str, Any],
        number: int,
        environment: Mapping[str, str],
        settings: Settings,
        cards: bool,
        python: str,
    ) -> list[Seat]:
        # A secret would stand in what Ray shows of its actors; and which card is whose Ray says itself.
        profile = {
            name: value
            for name, value in environment.items()
            if not is_secret(name) and (name != "CUDA_VISIBLE_DEVICES" or not cards)
        }
        if number > 1:
            profile["OMP_NUM_THREADS"] = str(settings.threads)
        host = node["NodeManagerHostname"]
        name = f"{host} ({node['NodeManagerAddress']})"
        return [Seat(node["NodeID"], host, name, profile, settings, cards, python) for _ in range(number)]

    @contextmanager
    def hire(self, place: int, module: str) -> Iterator[RemoteWorker]:
        """A worker that has loaded nothing. Raises Gone where its node is."""
        seat = self.seats[place]
        idle = self._actors.pop(place, None)
        if idle is not None and not answers(idle):
            idle = None
        worker = RemoteWorker(idle or _actor(seat), module, seat.node, fresh=idle is None)
        try:
            yield worker
        finally:
            if worker.dismiss():
                self._actors[place] = worker.actor


def _actor(seat: Seat) -> Any:
    """One that supervises workers there, for as long as it lives."""
    import ray

    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    if seat.node_id not in alive:
        raise Gone(f"{seat.node} is lost")
    return (
        ray.remote(Hand)
        .options(
            num_cpus=seat.settings.threads,
            num_gpus=1 if seat.card else 0,
            max_restarts=0,
            scheduling_strategy=only_on(seat.node_id),
            # Ray gives this to a shell as it is: its default, a path with a blank, would be two words.
            runtime_env={"env_vars": dict(seat.environment), "py_executable": shlex.quote(seat.python)},
        )
        .remote(dict(seat.environment))
    )


def _cpus(node: Mapping[str, Any], most: float) -> int:
    return int(min(node["Resources"].get("CPU", 0), most))


def _own_words() -> tuple[dict[str, str], set[str]]:
    """Where auto was asked for: what the command line has set beside it here, and has left out. Each node gets that."""
    asked = os.environ.get("RUN_APP_ASKED")
    if asked is None:
        return {}, set()
    here, alone = in_effect(os.environ), resolved(asked)
    names = ("RUN_APP_PROFILE", "RUN_APP_SETTINGS")
    own = {name: value for name, value in here.items() if alone.get(name) != value and name not in names}
    kept = {name: os.environ[name] for name in alone if name not in here and name in os.environ}
    return own | kept, {name for name in alone if name not in here}
