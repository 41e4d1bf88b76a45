"""What the page's scripts are told, asked as they ask: by gradio's component_server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.inputs import sample
from app.settings import Settings
from app.transcript import Segment, Transcript
from app.web.board import Board
from app.web.feed import Feed, thinned
from app.web.jobs import Job, JobStore
from app.web.lane import Lane
from app.web.machine import Proof, masked, profiles, variables
from app.web.options import Options
from tests.app.web.client import PageClient
from tests.app.web.conftest import PageServer, StartPage, transcribed

FOREIGN = f"000001-{'0' * 32}"


def asker(client: PageClient) -> Callable[..., Any]:
    """ask(function, key=value, ...): what a script would be answered."""
    parts = client.get("config").json()["components"]
    (part,) = (each for each in parts if "look" in each["props"].get("server_fns", ()))

    def ask(function: str, /, **asked: Any) -> Any:
        body = {"data": asked, "component_id": part["id"], "fn_name": function, "session_hash": "abc"}
        answer = client.post("gradio_api/component_server", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


@pytest.mark.parametrize("name", ["lines", "memory", "rename", "correct", "cancel", "again", "remove"])
def test_a_job_that_is_not_ones_own_is_gone(each_server: PageServer, name: str) -> None:
    ann, bob = (each_server.client(each, f"{each}'s") for each in ("ann", "bob"))
    id = ann.submit(b"no recording")
    asked = {"index": 0, "speaker": "SPEAKER_00", "name": "Bob", "line": 0, "before": "", "text": "mine"}
    for unknown in (id, FOREIGN, "../../etc/passwd", ""):
        assert asker(bob)(name, id=unknown, **asked) == {"gone": True}
    assert asker(bob)("look", job=id)["job"] is None
    assert asker(bob)("look")["jobs"] == []
    assert id in [job["id"] for job in asker(ann)("look")["jobs"]]
    assert asker(ann)("look", job=id)["job"]["id"] == id


def test_only_an_upload_of_ones_own_becomes_a_job(each_server: PageServer, tmp_path: Path) -> None:
    ann, bob = (each_server.client(each, f"{each}'s") for each in ("ann", "bob"))
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sample().read_bytes())
    upload = bob.upload(sample().read_bytes())
    for path in (str(secret), upload, "http://127.0.0.1/x.wav", "/etc/passwd", f"{upload}/../recording", ""):
        answer = asker(ann)("submit", files=[{"upload": path, "name": "a.wav"}], options={})
        assert answer["lost"], path
    assert secret.exists()
    assert asker(bob)("submit", files=[{"upload": upload, "name": "a.wav"}], options={})["id"]
    assert asker(bob)("submit", files=[{"upload": upload, "name": "a.wav"}], options={})["lost"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"files": [], "options": {}}, "no recording: choose a file first"),
        ({"files": [], "options": {"model": "/etc"}}, "model: must be one of"),
        ({"files": [], "options": {"speakers": 0}}, "speakers: must be a whole number"),
        ({"files": [], "options": {"nonsense": 1}}, "unknown option 'nonsense'"),
        ({"files": [], "options": []}, "options: must be given"),
        ({"files": "a.wav", "options": {}}, "files: must be given"),
        ({"files": ["a.wav"], "options": {}}, "name: must be given"),
        ({"files": [{"name": "a", "upload": 1}], "options": {}}, "upload: must be given"),
        ({}, "options: must be given"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_line(page_server: PageServer, asked: dict[str, Any], error: str) -> None:
    assert asker(page_server.client())("submit", **asked)["error"].startswith(error)


def test_corrections_of_two_tabs(start_page: StartPage, state: Path) -> None:
    segments = tuple(Segment(at, at + 1.0, f"Line {at}.", speaker="SPEAKER_00") for at in range(3))
    id = transcribed(state, "talk.wav", Transcript("en", 1.0, 30.0, segments), sample())
    with start_page() as server:
        ask = asker(server.client())
        line = {"id": id, "index": 0, "line": 1}
        assert ask("correct", **line, before="Line 1.", text="Mine.") == {}
        assert ask("correct", **line, before="Line 1.", text="Yours.") == {"now": "Mine."}
        assert ask("correct", **line, before="Line 1.", text="Mine.") == {}
        assert ask("correct", **line, before="Mine.", text="Yours.") == {}
        assert ask("rename", id=id, index=0, speaker="SPEAKER_00", name="Ann") == {}
        assert ask("rename", id=id, index=0, speaker="SPEAKER_00", name="SPEAKER_01")["error"]
        lines = ask("lines", id=id, index=0)["lines"]
        assert lines[1] == [1, 2.0, "SPEAKER_00", "Ann", "Yours.", True]
        job = ask("look", job=id)["job"]
        assert job["edits"] == {"names": {"0": {"SPEAKER_00": "Ann"}}, "texts": {"0": {"1": "Yours."}}}
        again = ask("look", job=id, **job["marks"])["job"]
        assert "edits" not in again
        assert "detail" not in again


def board(folder: Path) -> tuple[JobStore, Board]:
    store = JobStore(folder)
    return store, Board(store, Lane(store, Settings(), idle_unload_s=1))


def add(store: JobStore, name: str = "a.wav") -> str:
    recording = store.folder / "recording"
    recording.write_bytes(b"")
    return store.add("", [(name, recording)], Options())


def test_a_feed_tells_what_changed_since(tmp_path: Path) -> None:
    store, jobs = board(tmp_path)
    feed = Feed(jobs)
    one, two = add(store), add(store)
    first = feed.since("", None)
    assert (first["all"], [job["id"] for job in first["jobs"]]) == (True, [two, one])
    feed.forget("")
    assert feed.since("", first["version"]) == first | {"all": False, "jobs": []}

    job = store.find(one)
    job.progress, job.state = 0.5, "running"
    store.save(job)
    feed.forget("")
    second = feed.since("", first["version"])
    assert [(job["id"], job["progress"]) for job in second["jobs"]] == [(one, 0.5)]
    store.remove(two, "")
    feed.forget("")
    third = feed.since("", second["version"])
    assert (third["jobs"], third["gone"]) == ([], [two])
    assert feed.since("", first["version"])["gone"] == [two]  # a tab that has slept
    assert feed.since("somebody", None)["jobs"] == []
    assert Feed(jobs).since("", third["version"])["all"]  # a new server's numbers are others


def test_tabs_that_ask_at_once_share_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, jobs = board(tmp_path)
    add(store)
    looks: list[str] = []
    look = jobs.jobs

    def counted(visitor: str) -> list[Job]:
        looks.append(visitor)
        return look(visitor)

    monkeypatch.setattr(jobs, "jobs", counted)
    monkeypatch.setattr("app.web.feed.FRESH_S", 3600.0)
    feed = Feed(jobs)
    for _ in range(20):
        feed.since("", None)
    assert looks == [""]


def test_a_long_curve_is_thinned_and_keeps_its_peak() -> None:
    rss = [100.0] * 1000
    rss[777] = 900.0
    curve = thinned({"seconds": list(range(1000)), "rss": rss, "vram": [0.0] * 1000, "stages": [[0, "asr"]]})
    assert len(curve["seconds"]) == len(curve["rss"]) == len(curve["vram"]) <= 400
    assert max(curve["rss"]) == 900.0


def test_no_secret_is_told() -> None:
    environment = {
        "RUN_APP_PROFILE": "gpu48,wsl",
        "RUN_APP_SETTINGS": "HF_TOKEN,HTTPS_PROXY,OMP_NUM_THREADS",
        "HF_TOKEN": "hf_secret",
        "PROXY_PASSWORD": "opensesame",
        "HTTPS_PROXY": "http://me:opensesame@proxy",
        "OMP_NUM_THREADS": "4",
    }
    assert profiles(environment) == ["gpu48", "wsl"]
    assert variables(environment) == [
        ("HF_TOKEN", "***"),
        ("HTTPS_PROXY", "http://me:***@proxy"),
        ("OMP_NUM_THREADS", "4"),
    ]
    assert masked("huggingface says hf_secret", environment) == "huggingface says ***"


def told(proof: Proof) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (said := proof.look())["seconds"] is not None or said["last"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return dict(said["last"])


def python(code: str) -> Proof:
    return Proof([sys.executable, "-c", code])


def test_one_proof_at_a_time_and_the_last_is_kept(tmp_path: Path) -> None:
    check = {"section": "host", "id": "swap", "subject": "swap", "status": "OK", "found": "none", "todo": ""}
    note = tmp_path / "ran"
    code = f"import json, time; open({str(note)!r}, 'a').write('x'); time.sleep(1)"
    proof = python(f"{code}; print(json.dumps({{'checks': [{check | {'facts': {}}}]}})); raise SystemExit(1)")
    assert proof.look() == {"seconds": None, "last": None}
    for _ in range(3):
        proof.start()
    assert told(proof)["checks"] == [check]
    assert note.read_text() == "x"
    assert told(proof)["checks"] == [check]


def test_a_proof_that_dies_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    proof = python("raise SystemExit('no disk for hf_secret')")
    proof.start()
    assert told(proof)["error"] == "no disk for ***"
    proof = python("import time; time.sleep(600)")
    proof.start()
    proof.stop()
    assert told(proof)["error"] == "verify ended with exit code -9"
