"""A cluster that goes on without some of its nodes, and without the driver; and one whose CPUs others hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.app.cluster.nodes import Nodes, left_of, nodes
from tests.app.cluster.runs import on_ray, wait_for
from tests.app.conftest import persons_environment
from tests.app.emilia.corpus import FILES, Corpus, gone, hold, marks, rests, undisturbed

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
THREE = ("--workers", "3", "--threads", "1")
HOLDS = """
import sys, time
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
class Other:
    def here(self): pass
others = [ray.remote(Other).options(num_cpus=1).remote() for _ in range(3)]
ray.get([other.here.remote() for other in others])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, command: Sequence[str]) -> Corpus:
    return undisturbed(tmp_path_factory, command)


@pytest.fixture(scope="module")
def environment(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = persons_environment(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("state"))
    folders = {name: own[name] for name in own if name.startswith("XDG_")}
    return corpus.environment | folders | {"RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def three(environment: dict[str, str]) -> Iterator[Nodes]:
    """The head and two more, each with one CPU; what runs on them has their number in its environment."""
    each = [{"num_cpus": 1, "env_vars": {"NODE": str(number)}} for number in range(3)]
    with nodes(environment, *each) as running:
        yield running


def number(worker: psutil.Process) -> int:
    """Of its node."""
    return int(worker.environ()["NODE"])


def test_cpus_that_others_hold(corpus: Corpus, environment: dict[str, str], three: Nodes, tmp_path: Path) -> None:
    """Within seconds it is said, and Ctrl-C is heard; after a while the run ends, and says how to go on."""
    out = corpus.before("tables", tmp_path / "out")
    soon = "import app.cluster.remote_worker as it; it.PATIENCE_S, it.HIRE_S = 2, {}"
    at = ("--address", three.address)
    words = [sys.executable, "-c", HOLDS, three.address]
    with subprocess.Popen(
        words, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"

        with on_ray(corpus, environment, out, *at, set_up=soon.format(600)) as running:
            running.until("no worker starts there; others hold its CPUs or its cards")
            began = time.monotonic()
            os.kill(running.process.pid, signal.SIGINT)
            assert running.end() == 130, running.said
            assert time.monotonic() - began < 20
            assert "Traceback" not in running.text

        with on_ray(corpus, environment, out, *at, set_up=soon.format(1)) as running:
            assert running.end() == 1, running.said
            assert running.said[-1] == "run-app: export: no machine is left to work on; the same command goes on\n"
            assert ": no worker could start: what it had in hand goes to the others" in running.text
        other.communicate()


def test_a_killed_driver_leaves_no_worker_on_the_cluster(
    corpus: Corpus, environment: dict[str, str], three: Nodes, tmp_path: Path
) -> None:
    out = corpus.before("asr", tmp_path / "out")
    before = {process.pid for process in left_of(environment)}
    with on_ray(corpus, environment, out, "--address", three.address, *THREE) as running:
        workers = wait_for(lambda: found if len(found := running.workers()) == 3 else [], "three workers")
        supervisors = [parent for worker in workers if (parent := worker.parent())]
        running.process.kill()
        assert gone(workers + supervisors, 20)
    assert {process.pid for process in left_of(environment)} <= before


def test_a_node_that_is_killed_amid_a_step_and_one_before_the_next(
    corpus: Corpus, environment: dict[str, str], three: Nodes, tmp_path: Path
) -> None:
    """The last here: it leaves one node."""
    out = corpus.before("asr", tmp_path / "out")
    done = len(marks(out))
    with on_ray(corpus, environment, out, "--address", three.address, *THREE) as running:
        workers = wait_for(lambda: found if len(found := running.workers()) == 3 else [], "three workers")
        for worker in workers:
            hold(worker)
        on = {number(worker): worker for worker in workers}

        began = time.monotonic()
        three.kill(1)
        running.until("is lost: what it had in hand goes to the others")
        noticed = time.monotonic() - began

        on[2].resume()  # takes what was in the lost one's hand too, while the head's worker stands still
        wait_for(lambda: len(marks(out)) == done + FILES - 1, "all but one")
        assert gone([on[2]], 60)  # nothing is left for it
        three.kill(2)
        on[0].resume()
        assert running.end() == 0, running.said

    corpus.is_like(out)
    assert rests(out) == []
    assert running.text.count("is lost: what it had in hand goes to the others") == 2
    assert noticed < 60
    assert "attempt 2" not in running.text
