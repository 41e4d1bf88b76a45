"""The endpoints, as gradio_client and curl use them."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file

from app.inputs import sample
from tests.app.test_longest import silence, stating
from tests.app.web.client import CallError, files_below
from tests.app.web.conftest import PageServer, StartPage, finished_job, write_accounts

README = Path(__file__).parents[3] / "README.md"
NOT_HERE = {"model": "large-v1"}
"""Not on this machine: offline, such a job fails before any model is loaded."""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"no sound")
    return path


def connect(server: PageServer, *auth: str) -> Client:
    return Client(server.address, verbose=False, auth=auth or None)


def test_four_endpoints_are_shown_with_what_they_take(each_server: PageServer) -> None:
    client = each_server.client("ann", "ann's")
    info = client.get("gradio_api/info").json()
    assert info["unnamed_endpoints"] == {}
    shown = {
        name: [each["parameter_name"] for each in said["parameters"]] for name, said in info["named_endpoints"].items()
    }
    assert shown == {"/submit": ["files", "options"], "/status": ["job"], "/result": ["job"], "/cancel": ["job"]}
    for said in info["named_endpoints"].values():
        assert said["description"]
        assert "http" not in str([each["example_input"] for each in said["parameters"]])
    assert "github.com" not in client.get("config").text


def test_gradio_client_submits_and_asks(each_server: PageServer, talk: Path) -> None:
    client = connect(each_server, "ann", "ann's")
    id = client.predict([handle_file(talk)], NOT_HERE, api_name="/submit")
    status = client.predict(id, api_name="/status")
    assert status["id"] == id
    assert status["state"] in ("queued", "running", "done", "failed", "cancelled")
    assert 0 <= status["progress"] <= 1
    assert [each["name"] for each in status["files"]] == ["talk.wav"]
    assert {"stage", "ahead", "seconds", "error"} <= set(status)
    assert client.predict(id, api_name="/cancel")["id"] == id
    assert talk.exists()


def test_options_may_be_left_out(each_server: PageServer) -> None:
    client = each_server.client("ann", "ann's")
    several: tuple[Any, ...] = ({}, None)
    for options in several:
        path = client.upload(b"no sound")
        id = client.call("submit", [{"path": path, "meta": {"_type": "gradio.FileData"}}], options)
        assert client.call("cancel", id)["files"][0]["name"] == "talk.wav"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"model": "/etc/passwd"}, "model: must be one of tiny.en, "),
        ({"model": "http://127.0.0.1/"}, "model: must be one of tiny.en, "),
        ({"language": "../.."}, "language: must be one of "),
        ({"formats": ["../x"]}, "formats: must be one of "),
        ({"output_dir": "/tmp"}, "unknown option 'output_dir'; there are diarize, "),
        ({"speakers": 1e9}, "speakers: must be a whole number from 1 to 50"),
        ([1], "options: must be an object"),
        ("x", "options: must be an object"),
    ],
)
def test_a_wrong_option_is_told_in_a_line(each_server: PageServer, options: Any, line: str) -> None:
    client = each_server.client("ann", "ann's")
    file = {"path": client.upload(b"no sound"), "meta": {"_type": "gradio.FileData"}}
    before = set(each_server.jobs.iterdir())
    with pytest.raises(CallError) as error:
        client.call("submit", [file], options)
    assert str(error.value).startswith(line)
    assert set(each_server.jobs.iterdir()) == before


def test_no_file_and_no_job_are_told_in_a_line(each_server: PageServer) -> None:
    client = each_server.client("ann", "ann's")
    nothing: tuple[Any, ...] = (None, [])
    for files in nothing:
        with pytest.raises(CallError, match=r"^no recording: choose a file first$"):
            client.call("submit", files, {})
    for endpoint in ("status", "result", "cancel"):
        for id in ("", "../..", "000001-00000000000000000000000000000000", "x" * 100_000, None, 1):
            with pytest.raises(CallError, match=r"^there is no such job$"):
                client.call(endpoint, id)


def test_somebody_elses_job_is_not_there(each_server: PageServer) -> None:
    id = each_server.client("ann", "ann's").submit(b"no sound", **NOT_HERE)
    bob = each_server.client("bob", "bob's")
    for endpoint in ("status", "result", "cancel"):
        with pytest.raises(CallError, match=r"^there is no such job$"):
            bob.call(endpoint, id)
    for path in ("0/media", "0/transcript.txt", "all.zip"):
        assert bob.get(f"jobs/{id}/{path}").status_code == 404
    assert each_server.client("ann", "ann's").status(id)["state"] != "cancelled"


def test_the_result_has_the_formats_that_were_asked_for(start_page: StartPage, state: Path) -> None:
    id = finished_job(state, "talk.wav", "second.wav")
    with start_page() as server:
        paths = [Path(each) for each in connect(server).predict(id, api_name="/result")]
        assert [path.name for path in paths] == [
            f"{stem}.{form}" for stem in ("talk", "second") for form in ("txt", "srt", "vtt", "json")
        ]
        assert "Hello there." in paths[0].read_text()
        for file in server.client().call("result", id):
            assert server.client().get(f"gradio_api/file={file['path']}").status_code == 200


def test_markup_stays_text(start_page: StartPage, state: Path) -> None:
    markup = "<img src=x onerror=alert(1)>"
    id = finished_job(state, f"{markup}.wav", text=markup)
    with start_page() as server:
        assert server.client().status(id)["files"][0]["name"] == f"{markup}.wav"
        assert markup not in server.client().get("").text
        assert markup in server.client().get(f"jobs/{id}/0/transcript.txt").text


@pytest.mark.slow
def test_two_hundred_jobs_keep_their_order(start_page: StartPage) -> None:
    with start_page("--offline") as server, contextlib.redirect_stdout(io.StringIO()):
        client = connect(server)
        contents = [f"job {index}".encode() for index in range(200)]
        uploads = [{"path": server.client().upload(each), "meta": {"_type": "gradio.FileData"}} for each in contents]
        page = server.client()
        events = [
            page.post("gradio_api/call/submit", json={"data": [[each], NOT_HERE]}).json()["event_id"]
            for each in uploads
        ]
        ids = [page.get(f"gradio_api/call/submit/{each}").text.split('"')[1] for each in events]
        assert [int(id.partition("-")[0]) for id in ids] == list(range(1, 201))
        assert [(server.jobs / id / "000.wav").read_bytes() for id in ids] == contents
        deadline = time.monotonic() + 120
        while client.predict(ids[-1], api_name="/status")["state"] == "queued":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        states = [page.status(id) for id in ids[::40]]
        assert {each["state"] for each in states} == {"failed"}
        assert "large-v1" in states[0]["error"]


@pytest.mark.slow
def test_a_recording_becomes_subtitles(start_page: StartPage) -> None:
    with start_page() as server:
        client = connect(server)
        options = {"model": "tiny.en", "formats": ["srt"]}
        id = client.predict([handle_file(sample())], options, api_name="/submit")
        with pytest.raises(Exception, match=r"the job is (queued|running): ask /status until it is done"):
            client.predict(id, api_name="/result")
        _until_done(client, id)
        [path] = client.predict(id, api_name="/result")
        assert Path(path).name == "sample.srt"
        assert "Diane" in Path(path).read_text()
        assert files_below(server.jobs / id)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_a_job_under_way_goes_on_at_the_next_start(start_page: StartPage, end: signal.Signals) -> None:
    with start_page() as server:
        client = connect(server)
        id = client.predict([handle_file(sample())] * 4, {"model": "tiny.en"}, api_name="/submit")
        deadline = time.monotonic() + 120
        while client.predict(id, api_name="/status")["stage"] != "asr":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        begin = time.monotonic()
        server.process.send_signal(end)
        server.process.wait(30)
        assert time.monotonic() - begin < 5
    with start_page() as server:
        client = connect(server)
        _until_done(client, id)
        assert len(client.predict(id, api_name="/result")) == 4 * 4


def _until_done(client: Client, id: str) -> None:
    deadline = time.monotonic() + 200
    while (status := client.predict(id, api_name="/status"))["state"] != "done":
        assert status["state"] in ("queued", "running"), status
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_without_a_log_in_a_client_is_told_so(start_page: StartPage, tmp_path: Path) -> None:
    with start_page("--auth-file", write_accounts(tmp_path / "who")) as server:
        with pytest.raises(Exception, match="credentials"):
            connect(server)
        with pytest.raises(Exception, match="Could not login"):
            connect(server, "ann", "wrong")


@pytest.mark.slow
def test_days_of_silence_cost_their_file_alone(start_page: StartPage, tmp_path: Path) -> None:
    bomb = stating(silence(tmp_path / "bomb.flac", 2), 2**32 - 1)
    with start_page() as server:
        client = connect(server)
        id = client.predict([handle_file(bomb), handle_file(sample())], {"model": "tiny.en"}, api_name="/submit")
        deadline = time.monotonic() + 100
        while (status := client.predict(id, api_name="/status"))["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        first, second = status["files"]
        assert first["error"] == "bomb.flac: longer than the 12 hours that are taken here; give it in parts"
        assert (status["state"], first["state"], second["state"]) == ("failed", "failed", "done")
        assert [Path(each).stem for each in client.predict(id, api_name="/result")] == ["sample"] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("language", "shell"), [("python", [sys.executable, "-"]), ("bash", ["bash"])])
def test_the_readmes_examples_do_what_they_say(
    start_page: StartPage, tmp_path: Path, language: str, shell: list[str]
) -> None:
    section = README.read_text().partition("### From Python and curl")[2]
    example = section.partition(f"```{language}\n")[2].partition("```")[0]
    shutil.copy(sample(), tmp_path / "interview.mp3")
    with start_page() as server:
        script = example.replace("http://127.0.0.1:7860", server.address)
        assert script != example
        done = subprocess.run(shell, input=script, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    path = re.search(r"'(.*/interview\.srt)'", done.stdout) if language == "python" else None
    assert "Diane" in Path(path[1] if path else tmp_path / "interview.srt").read_text()
