"""Ray from the driver: start or join it, look at its nodes, and hire workers on them."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.cluster.hand import Hand, Node, in_effect, look_around
from app.cluster.remote_worker import RemoteWorker
from app.emilia.places import Places, places
from app.errors import UsageError, WorkError
from app.supervisor import Gone

STORE = 80 * 2**20
"""Bytes for Ray's object store, its least: paths and messages go through it, no audio."""
CONNECT_S = 10
"""Within which the head of a cluster has to answer."""
HIRE_S = 120
"""Within which a node has to start an actor."""
WAIT = "the nodes' processes can be seen by `ray status`"


@dataclass(frozen=True)
class Seat:
    """Where one worker works."""

    node_id: str
    node: str
    environment: Mapping[str, str]
    """The profile, as it is there."""
    threads: int
    card: bool


class Cluster:
    """A context manager: connected to Ray within it. Its own Ray ends with it, one that was joined goes on."""

    def __init__(self, address: str | None, threads: int, device: str) -> None:
        """Without an address a Ray of our own, on this machine, with so many CPUs."""
        self._address, self._threads, self._device = address, threads, device
        self.seats: list[Seat] = []

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
                "num_cpus": self._threads,
                "include_dashboard": False,
                "object_store_memory": STORE,
                "_node_ip_address": "127.0.0.1",
            }
            if self._device == "cpu":
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

    def survey(self, paths: Sequence[str], need: int, asked: int | None, recordings: int) -> str:
        """Look at all nodes and place workers on them; returns what there is, in words.

        `need` are a worker's bytes, `asked` the workers of all nodes together. Raises UsageError where a node can't
        do the work.
        """
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        profile = os.environ.get("RUN_APP_ASKED")
        looking = ray.remote(look_around)
        found: dict[str, Node] = {}
        for node in nodes:
            name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            try:
                there = looking.options(num_cpus=0, max_retries=0, scheduling_strategy=_only_on(node["NodeID"])).remote(
                    profile, list(paths)
                )
                found[node["NodeID"]] = ray.get(there, timeout=HIRE_S)
            except Exception as error:  # whatever fails there, it is the node that can't do the work
                raise UsageError(f"{name}: run-app can't work there: {_cause(error)}") from None
            if absent := found[node["NodeID"]].absent:
                raise UsageError(
                    f"{name}: does not see {absent[0]}; all nodes need the same files under the same path, "
                    "or recordings and OUT as s3:// and the like"
                )
        lines = []
        for node in nodes:
            seen = found[node["NodeID"]]
            left = None if asked is None else asked - len(self.seats)
            if left is not None and left <= 0:
                break
            cpus = int(node["Resources"].get("CPU", 0))
            if cpus < 1:
                continue
            share = None if left is None else max(1, min(left, cpus))
            room = places(share, cpus, self._device, need, recordings, seen.surroundings, seen.cards)
            environment = seen.environment or in_effect(os.environ)
            self.seats += self._seats(node, room, environment, bool(seen.cards))
            named = seen.profile or os.environ.get("RUN_APP_PROFILE") or "none"
            lines.append(f"{node['NodeManagerHostname']}: {room.said}, profile {named}")
        if not self.seats:
            raise UsageError("no node of this Ray has a CPU to give")
        return "; ".join(lines)

    def _seats(self, node: Mapping[str, Any], room: Places, environment: Mapping[str, str], cards: bool) -> list[Seat]:
        profile = {**environment, "OMP_NUM_THREADS": str(room.threads)} if room.number > 1 else dict(environment)
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        on_card = cards and self._device != "cpu"
        return [Seat(node["NodeID"], name, profile, room.threads, on_card) for _ in range(room.number)]

    @contextmanager
    def hire(self, place: int, module: str) -> Iterator[RemoteWorker]:
        """A worker that has loaded nothing. Raises Gone where its node is, UsageError where it refuses."""
        import ray

        seat = self.seats[place]
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        if seat.node_id not in alive:
            raise Gone(seat.node)
        actor = (
            ray.remote(Hand)
            .options(
                num_cpus=seat.threads,
                num_gpus=1 if seat.card else 0,
                max_restarts=0,
                scheduling_strategy=_only_on(seat.node_id),
                runtime_env={"env_vars": dict(seat.environment)},
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
        worker = RemoteWorker(actor, module, seat.node)
        try:
            yield worker
        finally:
            worker.dismiss()


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
