"""A Ray of the command's own: what dies, and what is interrupted, costs nothing that was finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.app.cluster.nodes import left_of
from tests.app.cluster.runs import RayRunning, on_ray, wait_for
from tests.app.conftest import persons_environment
from tests.app.emilia.corpus import LEDGER, Corpus, gone, interrupt, marks, rests, undisturbed
from tests.app.sounds import tone, write_wav

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
END = "run-app: interrupted; what is finished is kept, the same command goes on from there\n"
KILLER = """
import os, signal, sys, time
if "app.emilia.worker" in sys.orig_argv:
    from app.emilia.steps.standardise import Standardise
    whole = Standardise.run
    def run(self, item, *more):
        if item.path.endswith("kills-it.wav"):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.path.endswith("kills-its-supervisor.wav"):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return whole(self, item, *more)
    Standardise.run = run
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, command: Sequence[str]) -> Corpus:
    return undisturbed(tmp_path_factory, command)


@pytest.fixture
def environment(corpus: Corpus, tmp_path: Path) -> Iterator[dict[str, str]]:
    """With a folder for Ray's own files, which is empty in the end; Ray wants a short path."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    own = persons_environment(tmp_path / "home", tmp_path / "state")
    yield corpus.environment | {name: own[name] for name in own if name.startswith("XDG_")} | {"RAY_TMPDIR": folder}
    shutil.rmtree(folder)


def sessions(environment: dict[str, str]) -> list[Path]:
    """What Ray has left on the disk."""
    return [path for path in Path(environment["RAY_TMPDIR"]).glob("*/session_*") if not path.is_symlink()]


def test_a_killed_worker_and_a_killed_supervisor(corpus: Corpus, environment: dict[str, str], tmp_path: Path) -> None:
    out = corpus.before("asr", tmp_path / "out")
    with on_ray(corpus, environment, out) as running:
        running.amid("asr", out).kill()
        worker = running.amid("score", out)
        supervisor = worker.parent()
        assert supervisor
        addresses = {address for process in left_of(environment) for address in listens(process)}
        supervisor.kill()
        worker.resume()
        assert gone([worker], 10)
        assert running.end() == 0, running.said

    corpus.is_like(out)
    assert "asr: the worker died of SIGKILL" in running.text
    assert "score: the worker on" in running.text
    assert "is lost: its supervisor was killed, or crashed" in running.text
    assert "attempt 2" not in running.text
    assert rests(out) == []
    assert addresses == {"127.0.0.1"}
    assert left_of(environment) == []
    assert sessions(environment) == []


def listens(process: psutil.Process) -> set[str]:
    """The addresses at which others can reach it."""
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return set()
    return {each.laddr.ip.removeprefix("::ffff:") for each in found if each.status == psutil.CONN_LISTEN}


def test_recordings_that_kill_all_that_touches_them_are_in_quarantine(
    corpus: Corpus, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/sitecustomize.py").write_text(KILLER)
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "modules"), environment["PYTHONPATH"]])
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.wav", "kills-it.wav", "b.wav", "kills-its-supervisor.wav", "c.wav")):
        write_wav(folder / name, tone(1, hertz=100 * (number + 2)))
    (folder / "broken.mp3").write_bytes(bytes(range(256)) * 64)
    out = tmp_path / "out"
    words = [word if word != str(corpus.folder) else str(folder) for word in on_ray(corpus, environment, out).line]
    words += ["--steps", "standardise", "--workers", "2", "--threads", "2"]

    with RayRunning(words, environment) as running:
        code = running.end()

    assert code == 1, running.said
    assert len(marks(out)) == 3
    tries = [json.loads(path.read_text()) for path in (out / LEDGER / "tries").iterdir()]
    assert [each["number"] for each in tries] == [3, 3, 3], "".join(running.said)
    reasons = sorted(each["reason"] for each in tries)
    assert "broken.mp3: not a recording" in reasons[0]
    assert "standardise: the worker died of SIGKILL" in reasons[1]
    assert "standardise: the worker on" in reasons[2]
    assert "is lost: its supervisor was killed, or crashed" in reasons[2]
    for name in ("kills-it.wav", "kills-its-supervisor.wav"):
        said = [line for line in running.text.splitlines() if line.startswith(str(folder / name)) and "attempt" in line]
        assert [line.rpartition("attempt ")[2][0] for line in said] == ["1", "2"]


def test_a_killed_driver_and_ctrl_c_cost_nothing_that_was_finished(
    corpus: Corpus, environment: dict[str, str], tmp_path: Path
) -> None:
    out = corpus.before("asr", tmp_path / "out")
    finished = marks(out)

    with on_ray(corpus, environment, out) as running:
        worker = running.amid("asr", out)
        running.process.kill()
        worker.resume()
        wait_for(lambda: not left_of(environment), "the end of Ray's processes", 20)
    assert finished.keys() < marks(out).keys()
    finished = marks(out)

    with on_ray(corpus, environment, out) as running:  # while Ray starts, to the command alone
        wait_for(lambda: running.named("raylet"), "Ray's own processes")
        interrupted(running, environment, lambda: os.kill(running.process.pid, signal.SIGINT))
    assert marks(out) == finished

    with on_ray(corpus, environment, out) as running:
        worker = running.amid("score", out)
        worker.resume()
        interrupted(running, environment, lambda: interrupt(running))
    now = marks(out)
    assert {name: now.get(name) for name in finished} == finished
    finished = now
    assert not list((out / LEDGER / "tries").iterdir())  # no recording is blamed

    with on_ray(corpus, environment, out) as running:
        assert running.end() == 0, running.said
    corpus.is_like(out)
    assert {name: at for name, at in marks(out).items() if name in finished} == finished
    assert len(sessions(environment)) == 1  # of the driver that was killed


def interrupted(running: RayRunning, environment: dict[str, str], send: object) -> None:
    """Ctrl-C ends it within seconds, in one line, with all that it has started."""
    assert callable(send)
    began = time.monotonic()
    send()
    assert running.end() == 130, running.said
    assert time.monotonic() - began < 20  # 2 s, but for what else the machine does
    assert running.said[-1] == END
    assert "Traceback" not in running.text
    assert left_of(environment) == []


def test_the_head_of_ray_is_killed(corpus: Corpus, environment: dict[str, str], tmp_path: Path) -> None:
    """Ray itself would say something of its own after a minute."""
    out = corpus.before("asr", tmp_path / "out")
    soon = "import app.cluster.connection as it; it.LOOK_S = 0.2"
    with on_ray(corpus, environment, out, set_up=soon) as running:
        worker = running.amid("asr", out)
        (head,) = running.named("gcs_server")
        head.kill()
        assert running.end() == 1, running.said
        worker.resume()

    assert running.said[-1].endswith("is lost; what is finished is kept, the same command goes on\n")
    assert running.said[-1].startswith("run-app: the head of Ray, 127.0.0.1:")
    wait_for(lambda: not left_of(environment), "the end of Ray's processes", 20)
