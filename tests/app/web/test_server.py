"""`run-app gradio` as a process: how it begins, what it refuses, how it ends."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.app.conftest import RunApp, persons_environment
from tests.app.web.conftest import PageServer, StartPage, write_accounts

STOPS_WITHIN_S = 5.0
REACHABLE = "others can reach this address; say with --auth-file who may come in"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--host", "0.0.0.0"], f"run-app: --host 0.0.0.0: {REACHABLE}"),
        (["--host", "::"], f"run-app: --host ::: {REACHABLE}"),
        (["--host", "no.such.name.invalid"], "run-app: --host no.such.name.invalid: "),
        (["--host", "x" * 300], f"run-app: --host {'x' * 300}: "),
        (["--port", "65536"], "run-app: argument --port: 65536: must be a port from 0 to 65535"),
        (["--port", "-1"], "run-app: argument --port: -1: must be a port from 0 to 65535"),
        (["--max-upload", "4"], "run-app: argument --max-upload: 4: must be a size in B, KB, MB, GB, TB, as 500MB"),
        (["--max-upload", "0MB"], "run-app: argument --max-upload: 0MB: must be a size"),
        (["--max-upload", "1.5GB"], "run-app: argument --max-upload: 1.5GB: must be a size"),
        (["--idle-unload", "soon"], "run-app: argument --idle-unload: soon: must be an integer of at least 0"),
        (["--root-path", "speech"], "run-app: argument --root-path: speech: must be an address"),
        (["--root-path", "ftp://x/"], "run-app: argument --root-path: ftp://x/: must be an address"),
        (["--auth-file", "nothing"], "run-app: --auth-file nothing: No such file or directory"),
        (["talk.wav"], "run-app: unrecognized arguments: talk.wav"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(run_app: RunApp, arguments: list[str], line: str) -> None:
    done = run_app("gradio", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"ann", "{path}:1: not a line name:password"),
        (b"\n# c\n:secret", "{path}:3: not a line name:password"),
        (b"a\x07nn:secret", "{path}:1: not a line name:password"),
        (b"ann:", "{path}:1: the password of ann is empty"),
        (b"ann: \n", "{path}:1: the password of ann is empty"),
        (b"ann:secret\nbob:x\n ann :secret", "{path}:3: ann has a line already"),
        (b"", "--auth-file {path}: there is no line name:password in it"),
        (b"ann:\xff", "--auth-file {path}: not UTF-8"),
    ],
)
def test_a_wrong_auth_file_is_one_line(run_app: RunApp, tmp_path: Path, text: bytes, line: str) -> None:
    path = tmp_path / "who"
    path.write_bytes(text)
    path.chmod(0o600)
    done = run_app("gradio", "--auth-file", path)
    assert (done.returncode, done.stderr) == (2, f"run-app: {line.format(path=path)}\n")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_an_auth_file_that_others_can_read_is_refused(run_app: RunApp, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "who may"
    path.write_text("ann:secret")
    path.chmod(mode)
    done = run_app("gradio", "--auth-file", path)
    assert done.returncode == 2
    said, _, mend = done.stderr.strip().partition("; ")
    assert said == f"run-app: --auth-file {path}: others can read it"
    subprocess.run(mend, shell=True, check=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_port_that_is_taken_is_one_line(run_app: RunApp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_app("gradio", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (f"run-app: port {port} is taken; choose another with --port, --port 0 takes a free one\n")


def test_only_one_server_has_the_jobs(start_page: StartPage, home: Path, state: Path) -> None:
    with start_page() as server:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "app", "gradio", "--port", "0"],
            env=persons_environment(home, state),
            cwd=state,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2
        assert done.stderr == (
            f"run-app: another server has these jobs: process {server.process.pid}, {server.address}; "
            "stop it, or set XDG_STATE_HOME to another folder\n"
        )
        assert server.alive()
    with start_page():  # the lock ends with its process
        pass


def test_it_says_at_once_what_was_chosen(page_server: PageServer) -> None:
    first, second = page_server.log.read_text().splitlines()[:2]
    assert first == f"profile cpu, model base, device cpu, {page_server.address}"
    assert second == f"serving on {page_server.address}"
    assert page_server.address.startswith("http://127.0.0.1:")


def test_gradios_own_variables_set_host_and_port(start_page: StartPage) -> None:
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    with start_page("--port", str(port), GRADIO_SERVER_NAME="127.0.0.2", GRADIO_ALLOWED_PATHS="/") as server:
        assert server.address == f"http://127.0.0.2:{port}"
        assert server.client().get("gradio_api/file=/etc/hostname").status_code == 404


def test_the_front_process_has_no_heavy_library(page_server: PageServer) -> None:
    assert page_server.alive()
    maps = Path(f"/proc/{page_server.process.pid}/maps").read_text()
    for library in ("libtorch", "ctranslate2", "onnxruntime", "libavcodec"):
        assert library not in maps


def test_its_folders_are_the_users_alone(page_server: PageServer) -> None:
    client = page_server.client()
    path = Path(client.upload(b"sound"))
    id = client.submit(b"sound")
    folders = [page_server.jobs, page_server.uploads, page_server.jobs / id, path.parent, path.parent.parent]
    assert [stat.S_IMODE(each.stat().st_mode) for each in folders] == [0o700] * 5
    assert stat.S_IMODE((page_server.jobs / "lock").stat().st_mode) == 0o600


def test_it_works_in_an_empty_folder(page_server: PageServer) -> None:
    folder = Path(f"/proc/{page_server.process.pid}/cwd").resolve()
    assert folder == page_server.state / "run-app" / "page-empty"
    assert list(folder.iterdir()) == []


def test_nothing_is_reported_anywhere(page_server: PageServer) -> None:
    connections = psutil.Process(page_server.process.pid).net_connections("inet")
    assert all(not each.raddr or each.raddr.ip == "127.0.0.1" for each in connections)
    assert page_server.client().get("config").json()["analytics_enabled"] is False


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0), (signal.SIGHUP, 0)])
def test_a_signal_ends_it_though_others_are_listening(start_page: StartPage, how: signal.Signals, code: int) -> None:
    with start_page() as server:
        with server.client().stream("GET", "gradio_api/heartbeat/a") as heartbeat:
            assert next(heartbeat.iter_text()).startswith("data: ALIVE")
            upload = socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])))
            upload.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
            )
            idle = socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])))
            begin = time.monotonic()
            server.process.send_signal(how)
            assert server.process.wait(30) == code
            assert time.monotonic() - begin < STOPS_WITHIN_S
            upload.close()
            idle.close()
        assert len(server.log.read_text().splitlines()) == 2  # nothing of what it had to break off


def test_who_comes_while_it_starts_waits(home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "app", "gradio", "--port", str(port)],
        env=persons_environment(home, tmp_path),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    with process, process.stderr:
        assert process.stderr.readline().startswith("profile none, model base")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as early:
            early.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert early.recv(12) == b"HTTP/1.1 200"
        process.terminate()


def test_passwords_are_seen_nowhere(start_page: StartPage, tmp_path: Path) -> None:
    accounts = tmp_path / "who"
    accounts.write_text("ann:correct-horse\n")
    accounts.chmod(0o600)
    with start_page("--auth-file", "who", "--host", "0.0.0.0") as server:
        page = server.address.replace("0.0.0.0", "127.0.0.1")
        client = PageServer(server.process, page, server.state, server.log).client("ann", "correct-horse")
        client.submit(b"no sound")
        assert client.post("login", data={"username": "ann", "password": "battery-staple"}).status_code == 400
        pages = "".join(client.get(path).text for path in ("", "config", "gradio_api/info", "gradio_api/user"))
        process = Path(f"/proc/{server.process.pid}")
        seen = [pages, server.log.read_text(), (process / "cmdline").read_text(), (process / "environ").read_text()]
        seen += [path.read_text(errors="replace") for path in server.state.rglob("*") if path.is_file()]
        for text in seen:
            assert "correct-horse" not in text
            assert "battery-staple" not in text


def test_whoever_guesses_passwords_has_to_wait(start_page: StartPage, tmp_path: Path) -> None:
    with start_page("--auth-file", write_accounts(tmp_path / "who")) as server:
        client = server.client()

        def log_in(password: str) -> int:
            return client.post("login", data={"username": "ann", "password": password}).status_code

        for _ in range(5):
            assert log_in("wrong") == 400
        for _ in range(20):  # one's own account gives back no attempt at somebody else's
            assert log_in("ann's") == 200
        for _ in range(5):
            assert log_in("wrong") == 400
        assert log_in("ann's") == 429
        answer = client.post("login", data={"username": "bob", "password": "bob's"})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert client.post("login", data={"username": "bob"}).status_code == 429


def test_other_addresses_ask_for_a_log_in(start_page: StartPage, tmp_path: Path) -> None:
    with start_page("--auth-file", write_accounts(tmp_path / "who"), "--host", "0.0.0.0") as server:
        port = server.address.rpartition(":")[2]
        page = PageServer(server.process, f"http://127.0.0.1:{port}", server.state, server.log)
        assert '"auth_required":true' in page.client().get("").text
        for host, status in ((socket.gethostname(), 200), ("192.0.2.1", 200), ("example.org", 403)):
            assert page.client().get("", headers={"Host": host}).status_code == status
