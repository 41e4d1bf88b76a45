"""Jobs through the lane: a real worker, real weights, real files, in a folder that outlives them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from app.errors import UsageError
from app.inputs import sample
from app.settings import Settings
from app.web.board import Board
from app.web.front import JobFront
from app.web.jobs import Job, JobStore, NoSuchJobError
from app.web.lane import Lane
from app.web.options import Options

SETTINGS = Settings(model="tiny.en", device="cpu", compute_type="int8", threads=2)
KEEPING = Settings(model="tiny.en", device="cpu", compute_type="int8", threads=2, resident=True)


class Page:
    """What a server has, without its sockets."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS, idle_unload_s: float = 60.0) -> None:
        self.store = JobStore(folder)
        self.lane = Lane(self.store, settings, idle_unload_s=idle_unload_s)
        self.board = Board(self.store, self.lane)

    def submit(self, *recordings: Path, **options: object) -> str:
        """Copies of these: a job takes its files away."""
        uploads = [(path.name, Path(shutil.copy(path, self.store.folder / f"up-{path.name}"))) for path in recordings]
        return self.board.submit("", uploads, Options.from_dict(options))

    def until(self, id: str, is_so: Callable[[Job], bool]) -> Job:
        deadline = time.monotonic() + 120
        while not is_so(job := self.board.job("", id)):
            assert time.monotonic() < deadline, f"it never came: {job}"
            time.sleep(0.02)
        return job

    def until_of(self, visitor: str, id: str) -> None:
        deadline = time.monotonic() + 120
        while not self.board.job(visitor, id).over:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def over(self, id: str) -> Job:
        return self.until(id, lambda job: job.over)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "jobs").mkdir()
    return tmp_path / "jobs"


Open = Callable[..., Page]


@pytest.fixture
def opened(folder: Path) -> Iterator[Open]:
    """Pages on the same folder, one after another."""
    pages: list[Page] = []

    def open_one(settings: Settings = SETTINGS, *, preload: bool = False, idle_unload_s: float = 60.0) -> Page:
        pages.append(Page(folder, settings, idle_unload_s))
        pages[-1].lane.start(preload=preload)
        return pages[-1]

    yield open_one
    for page in pages:
        page.lane.stop()
    assert workers() == [], "none is left behind"


def workers() -> list[int]:
    """Process numbers of this process's workers."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # dead, and about to be waited for
            if "app.worker" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def loads(job: Job) -> int:
    return sum(line.startswith("asr: faster-whisper") for line in job.lines)


@pytest.mark.slow
def test_jobs_go_through_one_worker_in_their_order(opened: Open, tmp_path: Path) -> None:
    page = opened(KEEPING)
    text = tmp_path / "notes.wav"
    text.write_text("no sound at all")

    ids = [page.submit(sample()), page.submit(text, sample()), page.submit(sample(), language="en", prompt="Jersey")]
    jobs = [page.over(id) for id in ids]

    assert [job.state for job in jobs] == ["done", "failed", "done"]
    assert [loads(job) for job in jobs] == [1, 0, 0], "the model stays loaded, for other options too"
    assert len(workers()) == 1
    bad, good = jobs[1].files
    assert (bad.state, good.state) == ("failed", "done")
    assert bad.error.startswith("notes.wav: ")
    assert jobs[1].error == bad.error
    assert str(tmp_path) not in "".join([*jobs[1].lines, bad.error]), "a visitor sees his own names"
    assert "done before" in " ".join(jobs[1].lines), "an equal recording is not worked on twice"
    transcript = page.board.transcript("", ids[0], 0)
    assert transcript
    assert "Yankee" in transcript.text
    assert jobs[0].files[0].duration == pytest.approx(30, abs=0.1)
    curve = page.board.memory("", ids[0])
    assert curve
    assert {"decode", "vad", "asr"} <= {stage for _, stage in curve["stages"]}
    assert max(curve["rss"]) > 100


def test_another_model_takes_the_place_of_the_last(opened: Open) -> None:
    page = opened(KEEPING)
    page.over(page.submit(sample()))

    job = page.over(page.submit(sample(), model="base"))

    assert (job.state, loads(job)) == ("done", 1)
    assert len(workers()) == 1


def test_the_seconds_of_a_job_count_while_it_runs(opened: Open) -> None:
    page = opened()
    seen = page.until(page.submit(sample()), lambda job: job.over or job.seconds > 0)
    assert seen.state == "running"


def test_cancel_ends_it_and_keeps_what_is_finished(opened: Open, folder: Path) -> None:
    page = opened()
    ids = [page.submit(sample()) for _ in range(3)]
    page.until(ids[0], lambda job: job.stage == "asr")

    begin = time.monotonic()
    page.board.cancel("", ids[1])
    page.board.cancel("", ids[0])

    assert page.board.job("", ids[1]).state == "cancelled"
    assert page.over(ids[0]).state == "cancelled"
    assert time.monotonic() - begin < 2, "as the manual says"
    assert page.over(ids[2]).state == "done", "the one behind it goes on"
    page.board.again("", ids[0])
    again = page.over(ids[0])
    assert again.state == "done"
    assert any("done before" in line and "decode" in line for line in again.lines)


def test_a_stop_in_the_middle_goes_on_at_the_next_start(opened: Open) -> None:
    page = opened()
    ids = [page.submit(sample()), page.submit(sample())]
    page.until(ids[0], lambda job: job.stage == "asr")

    page.lane.stop()

    assert workers() == []
    assert [page.board.job("", id).state for id in ids] == ["queued", "queued"]
    page = opened()
    assert [page.over(id).state for id in ids] == ["done", "done"]


def test_jobs_are_done_once_in_the_order_they_came(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From several visitors at once; without a model, so that there can be many."""
    begun: list[str] = []

    def do(lane: Lane, job: Job, front: JobFront) -> None:
        begun.append(job.id)
        job.state = "done"
        front.save()

    monkeypatch.setattr(Lane, "_do", do)
    page = Page(folder)
    page.lane.start()

    def submit(visitor: int) -> list[str]:
        ids = []
        for number in range(50):
            (path := tmp_path / f"{visitor}-{number}").write_text("x")
            ids.append(page.board.submit("", [(path.name, path)], Options()))
        return ids

    with ThreadPoolExecutor(4) as visitors:
        each = list(visitors.map(submit, range(4)))
    for ids in each:
        page.over(ids[-1])
    page.lane.stop()

    assert begun == sorted(begun)
    assert sorted(begun) == sorted(id for ids in each for id in ids)
    assert all(ids == sorted(ids) for ids in each)


@contextmanager
def silent_hub() -> Iterator[str]:
    """Its address: it takes every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as hub:
        yield f"http://127.0.0.1:{hub.getsockname()[1]}"


def test_a_hub_that_does_not_answer_holds_up_nobody(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
        monkeypatch.setenv("HF_ENDPOINT", hub)
        page = opened()
        fetched, next_one = page.submit(sample(), model="medium"), page.submit(sample())
        page.until(fetched, lambda job: job.stage == "finding the models")

        begin = time.monotonic()
        page.board.cancel("", fetched)
        assert page.over(fetched).state == "cancelled"
        assert time.monotonic() - begin < 2, "as the manual says"

        assert page.over(next_one).state == "done"
        assert page.board.job("", fetched).state == "cancelled", "and so it stays"


def test_looking_at_the_worker_never_fails(opened: Open) -> None:
    page = opened()
    id = page.submit(sample())
    states = set()
    while not page.board.job("", id).over:
        states.add(page.board.worker()["state"])

    assert "working" in states


def test_a_worker_that_was_killed_at_rest_is_not_shown(opened: Open) -> None:
    page = opened(KEEPING)
    page.over(page.submit(sample()))
    (pid,) = workers()

    os.kill(pid, signal.SIGKILL)

    deadline = time.monotonic() + 120
    while page.board.worker()["state"] != "none":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert page.over(page.submit(sample(), language="en")).state == "done"


def test_no_job_begins_while_something_else_has_the_machine(opened: Open) -> None:
    page = opened()
    with page.lane.rest():
        id = page.submit(sample())
        time.sleep(0.5)
        assert page.board.job("", id).state == "queued"
    page.until(id, lambda job: job.stage == "asr")
    with pytest.raises(UsageError, match="try again when it is over"), page.lane.rest():
        pass


def test_who_logs_in_has_what_his_jobs_found_to_himself(opened: Open) -> None:
    page = opened()
    for visitor in ("ann", "bob"):
        copy = Path(shutil.copy(sample(), page.store.folder / "up"))
        id = page.board.submit(visitor, [("a.wav", copy)], Options())
        page.until_of(visitor, id)

        assert "done before" not in " ".join(page.board.job(visitor, id).lines)


def test_a_crash_in_the_middle_goes_on_at_the_next_start(opened: Open, folder: Path) -> None:
    """As a server that is killed leaves it: the job's state says running."""
    page = opened()
    id = page.submit(sample())
    page.over(id)
    state = folder / id / "state.json"
    state.write_text(state.read_text().replace('"state": "done"', '"state": "running"'))

    left = JobStore(folder).find(id)

    assert (left.state, left.files[0].state) == ("queued", "waiting")


@pytest.mark.slow
def test_a_worker_that_dies_is_explained_and_the_next_goes_on(opened: Open) -> None:
    page = opened()
    id = page.submit(sample())
    killed: set[int] = set()
    for _ in range(2):
        page.until(id, lambda job: job.index is not None and job.stage == "asr" and bool({*workers()} - killed))
        (pid,) = {*workers()} - killed
        killed.add(pid)
        os.kill(pid, signal.SIGABRT)
        page.until(id, lambda job: job.stage != "asr" or job.index is None or job.over)

    job = page.over(id)

    assert job.state == "failed"
    assert "the worker died of SIGABRT" in job.error
    assert job.error.startswith("sample.wav: asr: ")
    assert page.over(page.submit(sample())).state == "done"


def test_an_idle_worker_ends(opened: Open) -> None:
    page = opened(KEEPING, idle_unload_s=0.5)
    page.over(page.submit(sample()))
    (pid,) = workers()

    deadline = time.monotonic() + 120
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert page.board.worker()["state"] == "none"
    assert page.over(page.submit(sample(), language="en")).state == "done"


def test_models_are_freed_when_asked_but_not_at_work(opened: Open) -> None:
    page = opened(KEEPING)
    assert not page.board.free(), "there is nothing yet"
    id = page.submit(sample())
    page.until(id, lambda job: job.stage == "asr")
    assert not page.board.free()
    page.over(id)
    while page.board.worker()["state"] == "working":
        time.sleep(0.01)
    assert page.board.worker()["state"] == "idle"
    assert page.board.worker()["rss"] > 100

    assert page.board.free()

    assert workers() == []


def test_preloaded_models_serve_the_first_job(opened: Open) -> None:
    page = opened(KEEPING, preload=True)
    while page.board.worker()["state"] != "idle":
        time.sleep(0.05)

    job = page.over(page.submit(sample()))

    assert job.state == "done"
    assert loads(job) == 0


def test_a_model_that_is_not_to_be_had_is_said(opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    page = opened()

    job = page.over(page.submit(sample(), model="medium"))

    assert job.state == "failed"
    assert "medium" in job.error
    assert job.files[0].error == job.error


def test_jobs_belong_to_who_submitted_them(opened: Open) -> None:
    page = opened()
    id = page.submit(sample())

    for attempt in (page.board.job, page.board.cancel, page.board.again, page.board.remove, page.board.zip):
        with pytest.raises(NoSuchJobError):
            attempt("somebody", id)
    assert page.board.jobs("somebody") == []


def test_a_removed_job_is_gone_while_it_runs(opened: Open, folder: Path) -> None:
    page = opened()
    id = page.submit(sample())
    page.until(id, lambda job: job.stage == "asr")

    page.board.remove("", id)

    assert not (folder / id).exists()
    assert page.over(page.submit(sample())).state == "done"
    assert not (folder / id).exists()
