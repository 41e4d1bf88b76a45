"""Recordings and the dataset at URLs: the real command against an S3 server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.app.conftest import RunApp
from tests.app.emilia.conftest import carriers
from tests.app.s3 import Server, bucket, client, objects
from tests.app.sounds import tone, write_wav
from tests.app.voices import missing_voices, mix

pytest.importorskip("pyarrow")
VOICE = "en_US_f_Allison"
MODELS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline", "--dnsmos-min", "1")
LOCK = "out/.run-app-lock"


@pytest.fixture
def environment(environment: dict[str, str], s3: Server) -> dict[str, str]:
    return s3.environment(environment) | carriers()


@pytest.fixture
def folder(tmp_path: Path, s3: Server) -> Path:
    """In the bucket as well, below in/."""
    if missing_voices([VOICE]):
        pytest.skip(f"the prompts of {VOICE} are not installed: scripts/test-audio")
    (tmp_path / "in/day 1").mkdir(parents=True)
    write_wav(tmp_path / "in/talk.wav", mix([VOICE], 20, 3).waveform)
    write_wav(tmp_path / "in/day 1/tone.wav", tone(2))
    bucket(s3)
    for name in ("talk.wav", "day 1/tone.wav"):
        client(s3).upload_file(str(tmp_path / "in" / name), "speech", f"in/{name}")
    return tmp_path / "in"


def dataset(out: Path) -> dict[str, bytes]:
    paths = [path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file()]
    return {str(each): (out / each).read_bytes() for each in paths if not any(part[0] == "." for part in each.parts)}


@pytest.mark.slow
def test_the_dataset_at_a_url_is_the_local_one_and_nothing_is_sent_or_fetched_twice(
    s3: Server, run_app: RunApp, folder: Path, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    store = client(s3)
    local = run_app("emilia", folder, "local", *MODELS)
    assert local.returncode == 0, local.stderr
    expected = dataset(tmp_path / "local")
    assert any(name.startswith("talk-") and name.endswith("_000000.mp3") for name in expected)
    line = ("emilia", "s3://speech/in", "s3://speech/out", *MODELS, "--work", "work")

    first = run_app(*line)

    assert first.returncode == 0, first.stderr
    assert f"made in {tmp_path / 'work'}; sent to s3://speech/out when it is whole" in first.stderr
    assert objects(s3, below="out/") == expected
    assert s3.asked("GET").count("/speech/in/talk.wav") == 1

    s3.forget()
    again = run_app(*line)

    assert again.returncode == 0, again.stderr
    assert "sent to s3://speech/out: 0 new files" in again.stderr
    assert not [path for path in s3.asked("GET") if path.endswith(".wav")]
    assert not [path for path in s3.asked("PUT") if "/.run-app-" not in path]

    theirs = {"host": "another", "pid": 7, "since": "today"}
    store.put_object(Bucket="speech", Key=LOCK, Body=json.dumps(theirs).encode())
    busy = run_app(*line)
    assert busy.returncode == 2
    assert "s3://speech/out: another run is at work here (another, process 7, since today)" in busy.stderr
    assert "remove s3://speech/out/.run-app-lock" in busy.stderr.splitlines()[-1]
    store.delete_object(Bucket="speech", Key=LOCK)

    # To another place, and killed in the midst of it.
    line = (*line[:2], "s3://speech/out/two", *line[3:])
    s3.forget()
    with subprocess.Popen(
        [*command, *line], cwd=tmp_path, env=environment, text=True, stderr=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 120
        while not [path for path in s3.asked("PUT") if "/.run-app-" not in path]:
            assert time.monotonic() < until
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(objects(s3)["out/two/.run-app-lock"])["host"] == socket.gethostname()

    after = run_app(*line)

    assert after.returncode == 0, after.stderr
    assert objects(s3, below="out/two/") == expected


def test_a_manifest_at_a_url_names_what_is_there_what_is_here_and_what_is_not(
    s3: Server, run_app: RunApp, folder: Path, tmp_path: Path
) -> None:
    entries = ["talk.wav", "./day 1/../day 1/tone.wav", "s3://speech/in/talk.wav", "none.wav"]
    entries.append(str(folder / "day 1/tone.wav"))
    manifest = "".join(json.dumps({"path": entry}) + "\n" for entry in entries)
    client(s3).put_object(Bucket="speech", Key="in/all.jsonl", Body=manifest.encode())

    done = run_app("emilia", "s3://speech/in/all.jsonl", "out", *MODELS, "--steps", "standardise")

    assert done.returncode == 1, done.stderr
    assert "4 recordings" in done.stderr
    lost = [line for line in done.stderr.splitlines() if "none.wav" in line]
    assert lost == ["s3://speech/in/none.wav: no such file"]
    marks = list((tmp_path / "out/.run-app-emilia/done").iterdir())
    assert len(marks) == 3  # the tone has a key for each of its places


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("s3://speech/in", "s3://speech/in/out"), "s3://speech/in/out: lies in s3://speech/in; what is written there"),
        (("s3://speech/none", "out"), "s3://speech/none: no such file"),
        (("s3://nowhere/in", "out"), "s3://nowhere/in: no such bucket"),
        (("in", "s3://nowhere/out"), "s3://nowhere/out: no such bucket"),
        (("in", "out", "--work", "work"), "--work is for an OUT that is a URL"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    run_app: RunApp, folder: Path, words: tuple[str, ...], line: str
) -> None:
    done = run_app("emilia", *words, *MODELS)

    assert done.returncode == 2, done.stderr
    assert line in done.stderr.splitlines()[-1]
    assert "standardise:" not in done.stderr
    assert "Traceback" not in done.stderr
