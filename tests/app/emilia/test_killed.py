"""kill -9 and Ctrl-C at every step: nothing that was finished is lost or done again, and the end is the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app.emilia.corpus import ONE, STEPS, Corpus, gone, interrupt, marks, rests, undisturbed

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, command: Sequence[str]) -> Corpus:
    return undisturbed(tmp_path_factory, command)


def test_a_worker_that_is_killed_at_every_step_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with corpus.start(out, *ONE) as running:
        for step in STEPS:
            running.amid(step, out).kill()
        assert running.end() == 0, running.said

    corpus.is_like(out)
    for step in STEPS:
        assert f"{step}: the worker died of SIGKILL" in running.text
    assert "attempt 2" not in running.text
    again = corpus.run(out, *ONE)
    assert not any(f"{step}:" in again.partition("recordings")[2] for step in STEPS)
    assert rests(out) == []


def test_a_front_that_is_killed_at_every_step_leaves_no_worker_and_the_same_command_goes_on(
    corpus: Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    finished: dict[str, int] = {}
    for step in STEPS:
        with corpus.start(out, *ONE) as running:
            worker = running.amid(step, out)
            now = marks(out)
            running.process.kill()
            worker.resume()
            assert gone([worker], 10), step
        assert {name: now.get(name) for name in finished} == finished, step
        finished = now

    corpus.run(out, *ONE)

    corpus.is_like(out)
    assert {name: at for name, at in marks(out).items() if name in finished} == finished
    assert rests(out) == []


def test_ctrl_c_amid_a_step_ends_it_at_once_and_the_same_command_goes_on(corpus: Corpus, tmp_path: Path) -> None:
    out = corpus.before("asr", tmp_path / "out")
    with corpus.start(out, *ONE) as running:
        worker = running.amid("asr", out)
        worker.resume()
        began = time.monotonic()
        interrupt(running)
        assert running.end() == 130
        assert time.monotonic() - began < 5
    assert running.said[-1].endswith("interrupted; what is finished is kept, the same command goes on from there\n")
    assert gone([worker], 0)
    finished = marks(out)
    assert not list((out / ".run-app-emilia" / "tries").iterdir())  # no recording is blamed

    corpus.run(out, *ONE)

    corpus.is_like(out)
    assert {name: at for name, at in marks(out).items() if name in finished} == finished


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_while_workers_start_ends_it_at_once(corpus: Corpus, tmp_path: Path, workers: str) -> None:
    out = corpus.before("diarize", tmp_path / "out")
    with corpus.start(out, "--workers", workers) as running:
        until = time.monotonic() + 120
        while not running.workers() and time.monotonic() < until:
            time.sleep(0.001)
        began = time.monotonic()
        interrupt(running)
        assert running.end() == 130
        assert time.monotonic() - began < 5
    assert "interrupted; what is finished is kept" in running.text
    assert not list((out / ".run-app-emilia" / "tries").iterdir())
