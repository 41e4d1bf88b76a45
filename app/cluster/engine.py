"""Ray from the driver: start or join it, look at its nodes, and hire workers on them."""

from __future__ import annotations

import math
import os
import secrets
import shlex
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.cluster.hand import Hand, Node, in_effect, look_around, resolved
from app.cluster.remote_worker import RemoteWorker
from app.emilia.places import places, workers
from app.errors import UsageError, WorkError
from app.settings import Settings, read_settings
from app.store import PART
from app.supervisor import Gone
from launcher.masking import is_secret

STORE = 80 * 2**20
"""Bytes for Ray's object store, its least: paths and messages go through it, no audio."""
CONNECT_S = 10
"""Within which the head of a cluster has to answer."""
HIRE_S = 120
"""Within which a node has to start an actor."""
PROBE = f"{PART}probe-"
WAIT = "the nodes' processes can be seen by `ray status`"


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
        """Without an address a Ray of our own, on this machine, with as many CPUs as there are threads in `settings`.

        `given` are the settings that the command line said itself: they hold on every node, whatever its profile says.
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

    def __enter__(self) -> Cluster:
        if self._address is None:
            # Whoever reaches a Ray can run programs in it: ours is for this run alone. Ray reads this at import.
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        try:
            import ray
        except ImportError:
            raise UsageError(
                "--engine ray needs the package ray, not installed here: pip install 'run-app[ray]'"
            ) from None
        told: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        if self._address is None:
            told |= {
                "address": "local",
                "num_cpus": self._settings.threads,
                "include_dashboard": False,
                "object_store_memory": STORE,
            }
            if self._settings.device == "cpu":
                told["num_gpus"] = 0
        else:
            _check_address(self._address)
            told["address"] = self._address
        try:
            ray.init(**told)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._address or "this machine"
            raise UsageError(f"--address {where}: no Ray can be reached there ({_first_line(error)})") from None
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def survey(
        self, folder: Path, paths: Sequence[str], need: int, asked: int | None, files: int, *, share: int = 1
    ) -> str:
        """Look at all nodes and place workers on them; returns what there is, in words.

        All nodes have to see `folder`, which this writes to for that, and `paths`. `need` are a worker's bytes, `asked`
        the workers of all nodes together, `share` the threads of one without a card, if there are so many. Raises
        UsageError where a node can't do the work.
        """
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        with _probe(folder) as probe:
            found = {node["NodeID"]: self._look(node, [str(probe), *paths]) for node in nodes}
        own, gone = _own_words()
        most_threads = self._given.get("threads", math.inf)
        to_give = sum(_cpus(node, most_threads) for node in nodes)
        lines = []
        for node in nodes:
            seen, host = found[node["NodeID"]], node["NodeManagerHostname"]
            left = None if asked is None else asked - len(self.seats)
            if left is not None and left <= 0:
                break
            cpus, cards = _cpus(node, most_threads), seen.cards[: int(node["Resources"].get("GPU", 0))]
            if cpus < 1:
                continue
            environment = seen.environment or in_effect(os.environ)
            environment = {name: value for name, value in environment.items() if name not in gone} | own
            settings = replace(read_settings(environment), **self._given)
            if settings.device == "cuda" and not cards:
                lines.append(f"{host}: no card that Ray can give, and device cuda is asked for: no worker there")
                continue
            # So many as were asked for are spread over the CPUs of all nodes.
            most = None if left is None else min(math.ceil(left * cpus / to_give), cpus)
            to_give -= cpus
            shares = cpus if most or (cards and settings.device != "cpu") else max(1, cpus // share)
            room = places(most, shares, settings.device, need, files, seen.surroundings, cards)
            settings = replace(settings, threads=max(1, cpus // room.number))
            self.seats += self._seats(node, room.number, environment, settings, bool(cards), seen.python)
            named = environment.get("RUN_APP_PROFILE") or "none"
            lines.append(f"{host}: {workers(room.number, settings.threads)}{room.why}, profile {named}")
        if not self.seats:
            raise UsageError("; ".join(lines) or "no node of this Ray has a CPU to give")
        return "; ".join(lines)

    def _look(self, node: Mapping[str, Any], paths: Sequence[str]) -> Node:
        """What this node is. Raises UsageError where it can't do the work."""
        import ray

        name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        where = _only_on(node["NodeID"])
        looking = ray.remote(look_around).options(num_cpus=0, max_retries=0, scheduling_strategy=where)
        try:
            seen: Node = ray.get(looking.remote(os.environ.get("RUN_APP_ASKED"), list(paths)), timeout=HIRE_S)
        except Exception as error:  # whatever fails there, it is the node that can't do the work
            raise UsageError(f"{name}: run-app can't work there: {_cause(error)}") from None
        if seen.absent:
            absent = "what this machine has just written there" if PROBE in seen.absent[0] else seen.absent[0]
            raise UsageError(
                f"{name}: does not see {absent} ({Path(seen.absent[0]).parent}); all nodes need the same files under "
                "the same path, on a disk that they share"
            )
        return seen

    def _seats(
        self,
        node: Mapping[str, Any],
        number: int,
        environment: Mapping[str, str],
        settings: Settings,
        cards: bool,
        python: str,
    ) -> list[Seat]:
        on_card = cards and settings.device != "cpu"
        # A secret would stand in what Ray shows of its actors; and which card is whose Ray says itself.
        profile = {
            name: value
            for name, value in environment.items()
            if not is_secret(name) and (name != "CUDA_VISIBLE_DEVICES" or not on_card)
        }
        if number > 1:
            profile["OMP_NUM_THREADS"] = str(settings.threads)
        host = node["NodeManagerHostname"]
        name = f"{host} ({node['NodeManagerAddress']})"
        return [Seat(node["NodeID"], host, name, profile, settings, on_card, python) for _ in range(number)]

    @contextmanager
    def hire(self, place: int, module: str) -> Iterator[RemoteWorker]:
        """A worker that has loaded nothing. Raises Gone where its node is, UsageError where it refuses."""
        actor = self._actors.pop(place, None) or self._actor(self.seats[place])
        worker = RemoteWorker(actor, module, self.seats[place].node)
        try:
            yield worker
        finally:
            if worker.dismiss():
                self._actors[place] = actor

    def _actor(self, seat: Seat) -> Any:
        """One that supervises workers there, for as long as it lives."""
        import ray

        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        if seat.node_id not in alive:
            raise Gone(seat.node)
        actor = (
            ray.remote(Hand)
            .options(
                num_cpus=seat.settings.threads,
                num_gpus=1 if seat.card else 0,
                max_restarts=0,
                scheduling_strategy=_only_on(seat.node_id),
                # Ray gives this to a shell as it is: its default, a path with a blank, would be two words.
                runtime_env={"env_vars": dict(seat.environment), "py_executable": shlex.quote(seat.python)},
            )
            .remote(dict(seat.environment))
        )
        try:
            refusal = ray.get(actor.refusal.remote(), timeout=HIRE_S)
        except ray.exceptions.GetTimeoutError:
            raise WorkError(
                f"{seat.node} starts no worker within {HIRE_S} s: others may hold its CPUs; {WAIT}"
            ) from None
        except ray.exceptions.RayError as error:
            raise Gone(f"{seat.node}: {_first_line(error)}") from None
        if refusal:
            raise UsageError(f"{seat.node}: {refusal}")
        return actor


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
    return own, {name for name in alone if name not in here}


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    """A file of a name that no other folder has a file of."""
    path = folder / f"{PROBE}{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _check_address(address: str) -> None:
    """Ray itself would try for minutes. Raises UsageError where nobody listens."""
    host, colon, port = address.rpartition(":")
    if address == "auto":
        return
    if not colon or not port.isdecimal() or "/" in host:
        raise UsageError(f"--address {address}: must be HOST:PORT, as `ray start` says it, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: no Ray can be reached there ({error})") from None


def _only_on(node_id: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def _cause(error: Exception) -> str:
    """Of a RayTaskError the error itself, which stands in its last line."""
    cause = getattr(error, "cause", None)
    return _first_line(cause if isinstance(cause, Exception) else error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
