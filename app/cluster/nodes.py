"""What the nodes of a Ray are, asked of all of them at the same time."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from app.cluster.hand import Node
from app.errors import UsageError, in_a_line
from app.store import PART

LOOK_S = 120
"""Within which all of them have to say what they are."""
PROBE = f"{PART}probe-"


def look_at(nodes: Sequence[Mapping[str, Any]], folder: Path, paths: Sequence[str]) -> dict[str, Node]:
    """What each of them is, by its id; those that are lost meanwhile are left out.

    `nodes` as ray.nodes() has them. Raises UsageError where one can't do the work: it has to see `folder`, in which a
    file is written for that, and `paths`.
    """
    with _probe(folder) as probe:
        return _look([str(probe), *paths], nodes)


def _look(paths: list[str], nodes: Sequence[Mapping[str, Any]]) -> dict[str, Node]:
    import ray

    ours, asked = _version(), os.environ.get("RUN_APP_ASKED")
    looking = ray.remote(_looking(ours))
    answers = {}
    for node in nodes:  # all at the same time
        there = looking.options(num_cpus=0, max_retries=0, scheduling_strategy=only_on(node["NodeID"]))
        answers[node["NodeID"]] = there.remote(asked, list(paths))
    until = time.monotonic() + LOOK_S
    found = {}
    for node in nodes:
        name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            seen = ray.get(answers[node["NodeID"]], timeout=max(0.0, until - time.monotonic()))
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            continue
        except ray.exceptions.GetTimeoutError:
            raise UsageError(f"{name}: does not answer within {LOOK_S} s; `ray status` says how it is") from None
        except Exception as error:  # whatever fails there, it is the node that can't do the work
            raise UsageError(f"{name}: run-app can't work there: {_cause(error)}") from None
        if not isinstance(seen, Node):
            raise UsageError(f"{name}: has run-app {seen or 'of no version'}, this machine {ours}: install the same")
        if seen.absent:
            absent = "what this machine has just written there" if PROBE in seen.absent[0] else seen.absent[0]
            raise UsageError(
                f"{name}: does not see {absent} ({Path(seen.absent[0]).parent}); all nodes need the same files under "
                "the same path, on a disk that they share"
            )
        found[node["NodeID"]] = seen
    return found


def _looking(ours: str) -> Any:
    """A function that is sent as it is, not by its name: a node with another run-app can answer too."""

    def look(profile: str | None, paths: list[str]) -> Any:
        from importlib.metadata import PackageNotFoundError, version

        try:
            theirs = version("run-app")
        except PackageNotFoundError:
            theirs = ""
        if theirs != ours:
            return theirs
        from app.cluster.hand import look_around

        return look_around(profile, paths)

    return look


def _version() -> str:
    try:
        return version("run-app")
    except PackageNotFoundError:  # not installed, run from where its files are
        return ""


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    """A file of a name that no other folder has a file of."""
    path = folder / f"{PROBE}{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def only_on(node_id: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def _cause(error: Exception) -> str:
    """Of a RayTaskError the error itself."""
    cause = getattr(error, "cause", None)
    return in_a_line(cause if isinstance(cause, Exception) else error)
