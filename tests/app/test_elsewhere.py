"""Recordings and outputs that are URLs: the real command against an S3 server, the rest on fsspec's memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artefacts import Artefacts
from app.audio import decode
from app.delivery import Delivery
from app.display import Display
from app.errors import InputError, UsageError, WorkError
from app.events import EventLog
from app.inputs import Input, check_output_folder, collect, sample
from app.messages import Failed, Job, Message, Noted
from app.outputs import Outputs
from app.recordings import Recording, Shelf
from app.remote import Location
from app.request import Request, check_outputs
from app.settings import read_settings
from app.stages import Stage
from app.stages.decode import Decode
from app.subtitles import SubtitleStyle
from app.transcript import Segment, Transcript
from tests.app.conftest import RunApp
from tests.app.memory_files import MemoryFiles
from tests.app.s3 import Server, bucket, client, objects
from tests.app.sounds import tone, write_wav

RATE = 16_000
MODEL = ("--model", "tiny.en", "-f", "txt,json")


def lines(stderr: str, text: str) -> list[str]:
    return [line for line in stderr.splitlines() if text in line]


def test_the_command_on_a_bucket(
    s3: Server, run_app: RunApp, environment: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One life of a corpus: the first run, again, something changed, and strangers at the door."""
    bucket(s3)
    store = client(s3)
    waveform = decode(sample()).waveform
    for name, begin in {"talks/one.wav": 6, "talks/day 1/two.wav": 14, "other.wav": 20}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(tmp_path / name, waveform[begin * RATE : (begin + 6) * RATE])
        store.upload_file(str(tmp_path / name), "speech", f"in/{name}")
    here = run_app("transcribe", "talks", "other.wav", *MODEL, "-o", "here")
    assert here.returncode == 0, here.stderr
    expected = {str(path.relative_to(tmp_path / "here")): path for path in (tmp_path / "here").rglob("*.*")}
    assert sorted(expected) == [f"{stem}.{form}" for stem in ("day 1/two", "one", "other") for form in ("json", "txt")]

    environment |= s3.environment(environment) | {"XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    line = ("transcribe", *MODEL, "-o", "s3://speech/out/", "s3://speech/in/talks", "other.wav")
    first = run_app(*line, "s3://speech/in/none.wav", "s3://nowhere/in")

    assert first.returncode == 1, first.stderr
    assert objects(s3, below="out/") == {name: path.read_bytes() for name, path in expected.items()}
    assert lines(first.stderr, "none.wav") == ["run-app: s3://speech/in/none.wav: no such file"]
    assert lines(first.stderr, "nowhere") == ["run-app: s3://nowhere/in: no such bucket"]
    assert lines(first.stderr, "wrote s3://speech/out/one.txt s3://speech/out/one.json")
    assert s3.asked("GET").count("/speech/in/talks/one.wav") == 1

    s3.forget()
    again = run_app(*line)

    assert again.returncode == 0, again.stderr
    assert len(lines(again.stderr, "unchanged: s3://speech/out/")) == 3
    assert not [path for path in s3.asked("GET") if path.endswith(".wav")], "a finished recording was downloaded"
    assert s3.asked("PUT") == [path for path in s3.asked("PUT") if "/.run-app-" in path], "only the probe"

    s3.forget()
    store.upload_file(str(tmp_path / "other.wav"), "speech", "in/talks/one.wav")
    store.put_object(Bucket="speech", Key="out/one.txt", Body=b"mine, of the old\n")
    store.put_object(Bucket="speech", Key="out/day 1/two.txt", Body=b"mine\n")
    changed = run_app(*line)

    assert changed.returncode == 0, changed.stderr
    assert [path for path in s3.asked("GET") if path.endswith(".wav")] == ["/speech/in/talks/one.wav"]
    out = objects(s3, below="out/")
    assert out.pop("one.txt.bak") == b"mine, of the old\n"
    assert out["one.txt"] == expected["other.txt"].read_bytes()
    assert out["day 1/two.txt"] == b"mine\n"
    assert out.keys() == expected.keys()
    assert lines(changed.stderr, "edited since, and left so: s3://speech/out/day 1/two.txt")
    assert lines(changed.stderr, "s3://speech/out/one.txt: not, or no longer, as run-app wrote it; kept as s3://speech")

    s3.post("/moto-api/reset-auth", b"0")
    strange = run_app("transcribe", "s3://speech/in/talks", *MODEL, "-o", "s3://speech/out")
    assert strange.returncode == 1
    (said,) = strange.stderr.splitlines()
    assert said.startswith("run-app: s3://speech/in/talks: access denied; the owner of AWS_ACCESS_KEY_ID and")
    strange = run_app("transcribe", "other.wav", *MODEL, "-o", "s3://speech/out")
    assert strange.returncode == 2
    (said,) = strange.stderr.splitlines()
    assert said.startswith("run-app: s3://speech/out: the server does not accept the credentials")


def test_what_an_output_may_not_be(memory: MemoryFiles) -> None:
    memory.put("/in/a.json")
    inputs = collect(["memory://in/a.json"])[0]

    def check(folder: Location) -> None:
        check_outputs(Request(inputs, folder, ("txt", "json"), read_settings({}), "x", "x", None, True))

    check("memory://out")
    assert list(memory.texts()) == ["/in/a.json"], "the probe leaves no trace"
    with pytest.raises(UsageError, match=r"^memory://in/a\.json: this output would replace an input"):
        check("memory://in/")
    with pytest.raises(UsageError, match=r"^https://a\.org/out: https:// can be read, not written$"):
        check_output_folder("https://a.org/out")


def test_a_transcript_that_can_not_be_sent_is_printed(
    memory: MemoryFiles, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def pipe(self: Any, path: str, value: bytes, **more: object) -> None:
        raise ConnectionResetError("reset")

    monkeypatch.setattr(memory.kind, "pipe_file", pipe)
    said = Transcript("en", 1.0, 1.0, (Segment(0.0, 1.0, "Hello"),))
    with Display() as display:
        delivery = Delivery("memory://out", ("txt",), Outputs(tmp_path), display, SubtitleStyle(), to_stdout=False)
        delivery.first(Input(Path("/a.wav"), Path("a")), said)
        assert not delivery.final(Input(Path("/a.wav"), Path("a")), said)
    read = capfd.readouterr()
    assert len(lines(read.err, "memory://out/a.txt: the transfer broke off (ConnectionResetError); attempt")) == 2
    assert lines(read.err, "(3 attempts)")
    assert read.out == "[00:00.00 - 00:01.00] Hello\n"


class Bench:
    """A Shelf with the first stage alone."""

    def __init__(self, folder: Path) -> None:
        self.said: list[Message] = []
        self.decode: Stage = Decode()
        self.folder = folder
        job = Job((), "", "", "x", "x", "cpu", "int8", 1, 1, None, False)
        self.shelf = Shelf(job, {"decode": self.decode}, Artefacts(folder), EventLog(folder), self.said.append)

    def run(self, recording: Recording) -> Recording:
        recording.work = self.decode.run(recording.work, lambda done_s, total_s: None)
        recording.notes["decode"] = recording.work.notes
        recording.missing.remove("decode")
        self.shelf.keep(self.decode, recording)
        self.shelf.event("done", "decode", recording)
        return recording


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def downloads(memory: MemoryFiles, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that were made."""
    whole, made = memory.kind.get_file, []

    def get(self: Any, path: str, *more: object, **others: object) -> None:
        made.append(path)
        whole(self, path, *more, **others)

    monkeypatch.setattr(memory.kind, "get_file", get)
    return made


def test_a_recording_is_downloaded_once_and_only_to_be_decoded(
    bench: Bench, memory: MemoryFiles, downloads: list[str], tmp_path: Path
) -> None:
    local = write_wav(tmp_path / "a.wav", tone(1.0))
    memory.put("/talks/a.wav", data=local.read_bytes())

    first = bench.shelf.take(0, "memory://talks/a.wav")
    assert (first.missing, downloads) == (["decode"], [])
    bench.run(first)
    assert first.work.waveform is not None
    assert np.array_equal(first.work.waveform, decode(local).waveform)
    assert bench.shelf.take(0, "memory://talks/a.wav").missing == []
    assert downloads == ["/talks/a.wav"]

    memory.put("/talks/a.wav", data=write_wav(local, tone(2.0)).read_bytes())
    assert bench.shelf.take(0, "memory://talks/a.wav").missing == ["decode"]


def test_what_can_not_be_had_or_heard_is_named_by_its_url(
    bench: Bench, memory: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.shelf.take(3, "memory://none.wav").failed
    assert bench.said[-1] == Failed("memory://none.wav: no such file", 3)
    memory.put("/noise.wav", data=b"noise")
    with pytest.raises(InputError, match=r"^memory://noise\.wav: not a recording that FFmpeg can read"):
        bench.run(bench.shelf.take(0, "memory://noise.wav"))

    def down(*arguments: object, **more: object) -> None:
        raise ConnectionRefusedError

    bench.said.clear()
    monkeypatch.setattr(memory.kind, "info", down)
    with pytest.raises(WorkError, match=r"^memory://noise\.wav: the server does not answer \(3 attempts\)$"):
        bench.shelf.take(0, "memory://noise.wav")
    assert len([message for message in bench.said if isinstance(message, Noted)]) == 2


def test_a_download_that_is_tried_again_is_said(
    bench: Bench, memory: MemoryFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory.put("/a.wav", data=write_wav(tmp_path / "a.wav", tone(1.0)).read_bytes())
    whole, calls = memory.kind.get_file, iter(range(9))

    def get(self: Any, *arguments: object, **more: object) -> None:
        if next(calls) == 0:
            raise ConnectionResetError
        whole(self, *arguments, **more)

    monkeypatch.setattr(memory.kind, "get_file", get)
    bench.run(bench.shelf.take(0, "memory://a.wav"))

    (noted,) = [message for message in bench.said if isinstance(message, Noted)]
    assert noted.text.startswith("memory://a.wav: the transfer broke off (ConnectionResetError); attempt 2 of 3")


def test_a_signature_stays_out_of_names_and_logs(s3: Server, bench: Bench, tmp_path: Path) -> None:
    bucket(s3)
    data = write_wav(tmp_path / "a.wav", tone(1.0)).read_bytes()
    client(s3).put_object(Bucket="speech", Key="talk one.wav", Body=data, ACL="public-read")
    (item,), errors = collect([f"{s3.address}/speech/talk%20one.wav?signature=geheim"])
    assert (item.name, item.stem, errors) == ("talk one.wav", Path("talk one"), [])

    assert bench.run(bench.shelf.take(0, item.path)).work.duration == 1.0

    (event,) = (json.loads(line) for line in EventLog(bench.folder).path.read_text().splitlines())
    assert event["file"] == f"{s3.address}/speech/talk%20one.wav"
