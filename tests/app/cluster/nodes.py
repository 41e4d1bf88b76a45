"""Several Ray nodes on this machine, as a process: `python -m tests.app.cluster.nodes JSON`.

JSON is a list, for each node what ray.cluster_utils.Cluster.add_node takes; the first is the head. The address is the
first line of stdout. A number on stdin kills that node; all end with stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[3]
STORE = 80 * 2**20
"""Bytes: Ray's least."""


class Nodes:
    """The other side of that process."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process, self.address = process, address

    def kill(self, number: int) -> None:
        """At once, with all that runs on it."""
        assert self._process.stdin
        assert self._process.stdout
        print(number, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "killed\n"


@contextmanager
def nodes(environment: Mapping[str, str], *each: Mapping[str, Any]) -> Iterator[Nodes]:
    """Nodes with these arguments beside the object store's size; `environment` is also the driver's."""
    words = [sys.executable, "-m", "tests.app.cluster.nodes", json.dumps(each)]
    with subprocess.Popen(
        words, cwd=ROOT, env=dict(environment), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            address = process.stdout.readline().strip()
            assert address, "Ray's nodes did not start"
            yield Nodes(process, address)
        finally:
            process.stdin.close()
            process.wait(120)


def left_of(environment: Mapping[str, str]) -> list[psutil.Process]:
    """What still runs of all that was started with this environment, which has a state folder of its own."""
    left = []
    for each in psutil.process_iter():
        try:
            if each.environ().get("XDG_STATE_HOME") == environment["XDG_STATE_HOME"]:
                left.append(each)
        except psutil.Error:
            pass
    return left


def main(arguments: Sequence[Mapping[str, Any]]) -> None:
    from ray.cluster_utils import Cluster

    first, *rest = arguments
    head = {"object_store_memory": STORE, "include_dashboard": False, **first}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    others = [cluster.add_node(object_store_memory=STORE, **each) for each in rest]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        cluster.remove_node(others[int(line) - 1], allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
