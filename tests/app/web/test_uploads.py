"""What arrives at `gradio_api/upload`, and how: whole, under its owner, or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from app.store import PART as UNFINISHED
from app.web import uploads
from app.web.places import LONGEST_NAME, Places, component
from tests.app.web.client import files_below, raw
from tests.app.web.conftest import PageServer, StartPage


def test_fifty_at_once_arrive_whole(page_server: PageServer) -> None:
    contents = [os.urandom(300_000) + bytes([index]) for index in range(50)]

    async def send_all() -> list[str]:
        async with httpx.AsyncClient(base_url=page_server.address, timeout=120) as client:
            posts = [
                client.post(
                    "gradio_api/upload", files={"files": ("talk.wav", content)}, params={"upload_id": str(index)}
                )
                for index, content in enumerate(contents)
            ]
            return [answer.json()[0] for answer in await asyncio.gather(*posts)]

    assert [Path(path).read_bytes() for path in asyncio.run(send_all())] == contents


def test_several_in_one_request_keep_their_order(page_server: PageServer) -> None:
    contents = [b"", b"1", os.urandom(3 << 20), b"\r\n--", b""]
    files = [("files", ("same.wav", content)) for content in contents]
    paths = page_server.client().post("gradio_api/upload", files=files).json()
    assert [Path(path).read_bytes() for path in paths] == contents
    assert len(set(paths)) == len(contents)


def test_the_same_recording_twice_becomes_two_jobs(page_server: PageServer) -> None:
    client = page_server.client()
    first, second = client.upload(b"no sound"), client.upload(b"no sound")
    for path in (first, second):
        client.call("submit", [{"path": path, "meta": {"_type": "gradio.FileData"}}], {})
    assert not Path(first).exists()
    assert not Path(second).exists()


def test_one_above_the_limit_is_refused_and_leaves_nothing(start_page: StartPage) -> None:
    with start_page("--max-upload", "100KB") as server:
        client = server.client()
        for content, status in ((bytes(100_000), 200), (bytes(100_001), 413), (bytes(9_000_000), 413)):
            assert client.post("gradio_api/upload", files={"files": ("a.wav", content)}).status_code == status
        kept = files_below(server.uploads)
        assert [path.stat().st_size for path in kept] == [100_000]
        two = [("files", ("a.wav", b"small")), ("files", ("b.wav", bytes(200_000)))]
        assert client.post("gradio_api/upload", files=two).status_code == 413
        assert files_below(server.uploads) == kept
        assert client.get("config").json()["max_file_size"] == 100_000
        assert server.alive()


HEAD = "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n"
FORM = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
PART = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("Content-Type: multipart/form-data\r\n\r\n", PART + "sound\r\n--x--\r\n"),
        ("Content-Type: text/plain\r\n\r\n", "sound"),
        ("\r\n", "sound"),
        (f"Content-Type: multipart/form-data; boundary={'x' * 1000}\r\n\r\n", PART),
        (FORM, ""),
        (FORM, "sound"),
        (FORM, PART + "sound"),
        (FORM, PART + "sound\r\n--x\r\n"),
        (FORM, '--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nsound\r\n--x--\r\n'),
        (FORM, "--x\r\n\r\nsound\r\n--x--\r\n"),
        (FORM, "--x\r\nno header\r\n\r\nsound\r\n--x--\r\n"),
        (FORM, f"--x\r\nA: {'a' * 20000}\r\n\r\nsound\r\n--x--\r\n"),
        (FORM, "--x\r\n" + "".join(f"A{each}: a\r\n" for each in range(1000)) + "\r\nsound\r\n--x--\r\n"),
    ],
)
def test_a_malformed_multipart_is_refused_and_leaves_nothing(page_server: PageServer, form: str, body: str) -> None:
    before = files_below(page_server.uploads)
    answer = raw(page_server.address, (HEAD.format(len(body)) + form + body).encode())
    assert answer.split()[1] == b"400", answer
    assert b"Traceback" not in answer
    assert files_below(page_server.uploads) == before
    assert page_server.alive()


def test_too_many_files_are_refused(page_server: PageServer) -> None:
    before = files_below(page_server.uploads)
    files = [("files", ("a.wav", b"x"))] * 501
    assert page_server.client().post("gradio_api/upload", files=files).status_code == 413
    assert files_below(page_server.uploads) == before


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)


def _half_an_upload(address: str) -> socket.socket:
    connection = _connect(address)
    connection.sendall((HEAD.format(10_000_000) + FORM + PART).encode() + bytes(2_000_000))
    return connection


def _until(is_so: object, *arguments: object) -> None:
    deadline = time.monotonic() + 120
    while not is_so(*arguments):  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_slow_clients_stop_nobody(page_server: PageServer) -> None:
    slow = [_half_an_upload(page_server.address) for _ in range(30)]
    for _ in range(30):
        slow.append(_connect(page_server.address))
        slow[-1].sendall(b"GET / HTTP/1.1\r\nHost: 127")
    client = page_server.client()
    path = client.upload(b"sound")
    assert Path(path).read_bytes() == b"sound"
    assert client.get("config").status_code == 200
    for each in slow:
        each.close()


def test_a_connection_that_breaks_leaves_nothing(start_page: StartPage) -> None:
    with start_page() as server:
        connection = _half_an_upload(server.address)
        _until(lambda: files_below(server.uploads))
        connection.close()
        _until(lambda: not files_below(server.uploads))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_upload_that_the_server_did_not_live_to_see_is_gone_at_its_next_start(
    start_page: StartPage, how: signal.Signals
) -> None:
    with start_page() as server:
        whole = Path(server.client().upload(b"sound"))
        with _half_an_upload(server.address):
            _until(lambda: len(files_below(server.uploads)) == 2)
            server.process.send_signal(how)
            server.process.wait(30)
    if how == signal.SIGTERM:
        assert files_below(server.uploads) == [whole]
    with start_page() as server:
        assert files_below(server.uploads) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../x.wav",
        "..",
        ".",
        "/etc/passwd",
        "..\\..\\x.wav",
        "C:\\CON",
        "CON",
        "a\0b.wav",
        "\u202egnp.wav",
        "é" * 1000 + ".wav",
        "x" * 3000,
        "<img src=x onerror=alert(1)>.wav",
        " ",
        "a\r\nb.wav",
        "%2e%2e%2fx.wav",
        "\U0001f3a4 mic.wav",
    ],
)
def test_names_become_no_paths(page_server: PageServer, name: str) -> None:
    client = page_server.client()
    path = client.upload(b"sound", name)
    place = Path(path)
    assert place.parent.parent.parent == page_server.uploads
    assert os.listdir(place.parent) == [place.name]  # noqa: PTH208
    assert place.name.isprintable()
    id = client.call("submit", [{"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": name}], {})
    shown = client.status(id)["files"][0]["name"]
    assert shown == place.name
    ours = {"job.json", "state.json", "memory.json", "000", "000.wav"}
    assert all(each.name in ours or each.name.startswith(UNFINISHED) for each in (page_server.jobs / id).iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("talk.wav", "talk.wav"),
        ("a/b\\c.wav", "c.wav"),
        ("..", "recording"),
        (".hidden.wav", "hidden.wav"),
        ("a\0\u202eb.wav", "a  b.wav"),
        ("\ud800.wav", "wav"),
        ("", "recording"),
    ],
)
def test_a_name_is_one_part_of_a_path(name: str, expected: str) -> None:
    assert component(name) == expected


def test_a_long_name_keeps_its_ending() -> None:
    assert component("é" * 1000 + ".wav") == "é" * ((LONGEST_NAME - 4) // 2) + ".wav"
    assert len(component("x" * 10 + "." + "y" * 1000)) == LONGEST_NAME


def test_what_nobody_fetches_is_swept_up_by_its_age(tmp_path: Path) -> None:
    places = Places(tmp_path)
    old, new = places.new("ann") / "a.wav", places.new("ann") / "b.wav"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old.parent, (0, 0))
    left = tmp_path / "left"
    left.touch()
    os.utime(left, (0, 0))
    places.sweep(60.0)
    assert files_below(tmp_path) == [new]


def test_another_name_is_another_visitor(tmp_path: Path) -> None:
    places = Places(tmp_path)
    path = places.new("ann") / "a.wav"
    path.write_bytes(b"x")
    assert places.has("ann", str(path))
    assert not places.has("bob", str(path))
    assert not places.has("ann", f"{path}/.")
    assert not places.has("ann", f"{path.parent}/../{path.parent.name}/a.wav")
    assert not places.has("ann", str(path.parent))
    assert not places.has("ann", f"{path}\0")


def stalling(*chunks: bytes) -> Request:
    """A request whose body stops coming."""
    waiting = list(chunks)

    async def receive() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": True}
        await asyncio.sleep(60)
        raise AssertionError

    kind = (b"content-type", b"multipart/form-data; boundary=x")
    return Request({"type": "http", "method": "POST", "path": "/", "headers": [kind]}, receive)


def received(places: Places, request: Request) -> list[Path]:
    return asyncio.run(uploads.receive(request, lambda: places.new(""), 10**9, lambda name, chunk: None))


def test_a_sender_who_pauses_too_long_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0.1)
    with pytest.raises(HTTPException) as error:
        received(Places(tmp_path), stalling(PART.encode(), bytes(3 << 20)))
    assert error.value.status_code == 408
    assert files_below(tmp_path) == []


def test_the_end_of_the_disk_is_left_to_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SPARE_BYTES", shutil.disk_usage(tmp_path).total)
    with pytest.raises(HTTPException) as error:
        received(Places(tmp_path), stalling(PART.encode(), bytes(3 << 20)))
    assert (error.value.status_code, error.value.detail) == (507, "the server's disk is full")
    assert files_below(tmp_path) == []
