"""What must not pass, under both versions of gradio that may be installed."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.app.web.client import FILE, CallError, PageClient, files_below, raw
from tests.app.web.conftest import PageServer, StartPage

SECRET = "a file of the server that nobody has uploaded"


@pytest.fixture
def ann(each_server: PageServer) -> PageClient:
    return each_server.client("ann", "ann's")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server that is none of ours: its address, and what was asked of it."""
    asked: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    done = threading.Event()

    def answer() -> None:
        while not done.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                asked.append(connection.recv(4096).decode())
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}".encode())

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/talk.wav", asked
    done.set()
    thread.join()
    listener.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.wav"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file={outside}",
        "gradio_api/file={quoted}",
        "gradio_api/file/{outside}",
        "gradio_api/file=//{host}/talk.wav",
        "gradio_api/proxy={outside}",
        "gradio_api/proxy=https://x.hf.space/",
        "gradio_api/stream/a/b/1/playlist.m3u8",
        "gradio_api/stream/a/b/1/playlist-file",
        "gradio_api/deep_link?session_hash=a",
        "gradio_api/custom_component/a/client/component/index.js",
        "gradio_api/dev/reload",
        "gradio_api/token",
        "gradio_api/run-history/buckets",
        "gradio_api/runs",
        "monitoring",
        "monitoring/summary",
        "pwa_icon",
        "pwa_icon/100000",
        "docs",
        "openapi.json",
        "gradio_api/mcp/",
        "/%2f{host}/",
    ],
)
def test_routes_that_the_page_has_no_use_for_are_closed(
    ann: PageClient, outside: tuple[str, list[str]], path: str
) -> None:
    address, asked = outside
    path = path.format(outside=address, quoted=quote(address, safe=""), host=urlsplit(address).netloc)
    answer = ann.get(path, follow_redirects=False)
    assert answer.status_code in (403, 404)
    assert "location" not in answer.headers
    assert asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_that_the_page_has_no_use_for_are_closed(ann: PageClient, method: str) -> None:
    assert ann.request(method, "").status_code == 404


def test_theme_and_assets_are_served(ann: PageClient) -> None:
    assert ann.get("theme.css").headers["content-type"].startswith("text/css")
    script = re.search(r'src="\./(assets/[^"]+\.js)"', ann.get("").text)
    assert script
    assert ann.get(script[1]).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file={secret}",
        "gradio_api/file={uploads}/../../../..{secret}",
        "gradio_api/file={uploads}/.{secret}",
        "gradio_api/file=../../../../../../../..{secret}",
        "static/../../../../../../../../../../../..{secret}",
        "static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f..{secret}",
        "assets/..%5c..%5c..{secret}",
        "assets/{secret}",
        "svelte/../../../../../../../../../../../../..{secret}",
        "jobs/../../{secret}/0/media",
        "jobs/..%2f..%2f..{secret}/0/media",
        "jobs/000001-00000000000000000000000000000000/..%2f0/media",
        "jobs/000001-00000000000000000000000000000000/0/transcript.%2e%2e%2fjob.json",
        "jobs/%2e%2e/all.zip",
    ],
)
def test_no_path_leads_to_a_file_of_the_server(each_server: PageServer, secret: Path, path: str) -> None:
    path = path.format(secret=secret, uploads=each_server.uploads)
    client = each_server.client("ann", "ann's")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    host = urlsplit(each_server.address).netloc
    # As it stands: a client would tidy it up.
    headers = f"Host: {host}\r\nCookie: {cookie}\r\nConnection: close"
    answer = raw(each_server.address, f"GET /{path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    assert answer.split()[1] in (b"403", b"404")
    assert SECRET.encode() not in answer


def named(path: Any) -> list[Any]:
    return [
        {"path": path, "meta": FILE},
        {"path": path, "url": path, "meta": FILE, "orig_name": "talk.wav"},
        {"path": path},
    ]


@pytest.mark.parametrize("way", ["call", "run", "queue/join", "component_server", "call/v2"])
def test_only_what_was_uploaded_can_be_named(
    each_server: PageServer, ann: PageClient, outside: tuple[str, list[str]], secret: Path, way: str
) -> None:
    address, asked = outside
    before = set(each_server.jobs.iterdir())
    submit = next(each for each in ann.get("config").json()["dependencies"] if each["api_name"] == "submit")
    above = f"{each_server.uploads}/../../..{secret}"
    paths: tuple[Any, ...] = (str(secret), f"file://{secret}", address, above, None, 1, [])
    for path in paths:
        for file in named(path):
            bodies: dict[str, tuple[str, Any]] = {
                "call": ("call/submit", {"data": [[file], {}]}),
                "run": ("run/submit", {"data": [[file], {}]}),
                "queue/join": ("queue/join", {"data": [[file], {}], "fn_index": submit["id"], "session_hash": "a"}),
                "call/v2": ("call/v2/submit", {"files": [file], "options": {}}),
                "component_server": (
                    "component_server",
                    {"data": {"files": [file]}, "component_id": 1, "fn_name": "submit", "session_hash": "a"},
                ),
            }
            route, body = bodies[way]
            assert ann.post(f"gradio_api/{route}", json=body).status_code == 403
    assert set(each_server.jobs.iterdir()) == before
    assert asked == []
    assert all(SECRET not in path.read_text(errors="replace") for path in files_below(each_server.state))


def test_what_one_has_uploaded_is_nobody_elses(each_server: PageServer, ann: PageClient) -> None:
    path = ann.upload(b"sound of ann's")
    assert ann.get(f"gradio_api/file={path}").content == b"sound of ann's"
    bob = each_server.client("bob", "bob's")
    assert bob.get(f"gradio_api/file={path}").status_code == 404
    assert bob.post("gradio_api/call/submit", json={"data": [[{"path": path, "meta": FILE}], {}]}).status_code == 403
    nobody = each_server.client()
    assert nobody.get(f"gradio_api/file={path}").status_code == 401


def test_a_body_is_read_in_one_way_only(each_server: PageServer, ann: PageClient, secret: Path) -> None:
    good = ann.upload(b"sound")
    file = f'{{"path": {json.dumps(str(secret))}, "path": {json.dumps(good)}, "meta": {json.dumps(FILE)}}}'
    twice = f'{{"data": [[{file}], {{"model": "tiny.en"}}]}}'
    headers = {"Content-Type": "application/json"}
    assert ann.post("gradio_api/call/submit", content=twice, headers=headers).status_code == 200
    assert all(SECRET not in path.read_text(errors="replace") for path in files_below(each_server.state))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"data": ' + b"9" * 5000 + b"}", 400),
        (b'{"data": [NaN]}', 400),
        (b'{"data": [1e999]}', 400),
        (b" " * (9 << 20), 413),
    ],
    ids=["broken", "bytes", "deep", "number", "NaN", "infinite", "long"],
)
def test_a_body_that_is_no_json_is_refused(ann: PageClient, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    assert ann.post("gradio_api/queue/join", content=body, headers=headers).status_code == status
    assert ann.get("").status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:7860",
        "127.0.0.1.example.org",
        "localhost.",
        "",
        "8.8.8.8",
        "[::1",
        "x@127.0.0.1.org",
    ],
)
def test_a_foreign_host_is_refused(each_server: PageServer, host: str) -> None:
    for path in ("", "config", "gradio_api/info", "jobs/x/0/media"):
        assert each_server.client().get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "LOCALHOST:1", "[::1]:{port}", "127.0.0.2"])
def test_names_of_this_machine_are_taken(each_server: PageServer, host: str) -> None:
    host = host.format(port=urlsplit(each_server.address).port)
    assert each_server.client().get("", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://{host}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_another_sites_page_can_do_nothing(each_server: PageServer, ann: PageClient, headers: dict[str, str]) -> None:
    host = urlsplit(each_server.address).netloc
    headers = {name: value.format(host=host) for name, value in headers.items()}
    for answer in (
        ann.post("gradio_api/upload", files={"files": b"x"}, headers=headers),
        ann.post("gradio_api/call/status", json={"data": ["x"]}, headers=headers),
        ann.post("login", data={"username": "ann", "password": "ann's"}, headers=headers),
        ann.get("config", headers=headers),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_link_from_another_site_opens_the_page(each_server: PageServer) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert each_server.client().get("", headers=headers).status_code == 200


def test_headers_of_a_proxy_do_not_change_the_pages_address(ann: PageClient) -> None:
    forged = {"X-Forwarded-Host": "example.org", "X-Gradio-Server": "http://example.org", "X-Forwarded-Proto": "https"}
    for path in ("config", "gradio_api/info", ""):
        assert "example.org" not in ann.get(path, headers=forged).text


def test_every_answer_has_the_headers_that_hold_a_browser_back(ann: PageClient) -> None:
    for path in ("", "config", "nothing", "theme.css"):
        headers = ann.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"


def test_who_has_not_logged_in_gets_the_log_in_alone(each_server: PageServer) -> None:
    nobody = each_server.client()
    assert '"auth_required":true' in nobody.get("").text
    assert '"components":[]' in nobody.get("").text
    closed = (
        "info queue/data?session_hash=a queue/status startup-events heartbeat/a upload_progress?upload_id=a".split()
    )
    for path in ("config", "jobs/x/0/media", *(f"gradio_api/{each}" for each in closed)):
        assert nobody.get(path).status_code == 401
    assert nobody.post("gradio_api/upload", files={"files": b"x"}).status_code == 401
    assert nobody.post("gradio_api/component_server", json={}).status_code == 401


def test_a_bug_of_ours_shows_nothing_of_itself(each_server: PageServer, ann: PageClient) -> None:
    with pytest.raises(CallError) as error:
        ann.call("submit", "no list", {})
    assert str(error.value) == "None"


def test_behind_a_proxy(start_page: StartPage) -> None:
    with start_page("--root-path", "https://example.org/speech/") as server:
        client = server.client()
        assert client.get("config", headers={"Host": "example.org"}).json()["root"] == "https://example.org/speech"
        there = {"Host": "127.0.0.1", "Origin": "https://example.org"}
        assert client.post("gradio_api/upload", files={"files": b"x"}, headers=there).status_code == 200
        there["Origin"] = "https://example.com"
        assert client.post("gradio_api/upload", files={"files": b"x"}, headers=there).status_code == 403
        assert client.get("", headers={"Host": "example.com"}).status_code == 403
