"""URLs on a real server of the S3 kind."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app import remote
from app.errors import InputError, UsageError, WorkError
from app.remote import access
from tests.app.s3 import PAGE, Server, bucket, client, foreign, forget_clients

pytest.importorskip("s3fs")
pytest.importorskip("moto")
MP3 = frozenset((".mp3",))
MIB = 2**20


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the test may kill, already in the environment."""
    server = Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def environment(moto: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a user sets, and nothing of the machine's own."""
    for name in filter(foreign, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.aws
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(access, "WAITS_S", (0.01, 0.02))
    forget_clients()
    yield
    moto.reset()
    forget_clients()


class Between:
    """Stands between a client and the server: after `after` bytes of answers, `act`, and the line is cut."""

    def __init__(self, server: Server, after: int, act: Callable[[], None] = lambda: None, times: int = 99) -> None:
        self.server, self.after, self.act, self.times = server, after, act, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port)) as far:
            threading.Thread(target=self._copy, args=(near, far), daemon=True).start()
            passed = 0
            while data := far.recv(65536):
                passed += len(data)
                if passed > self.after and self.times > 0:
                    self.times -= 1
                    self.act()
                    break
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


def test_up_down_over_and_away(moto: Server, tmp_path: Path) -> None:
    top = bucket(moto)
    (tmp_path / "talk.mp3").write_bytes(b"one")
    remote.check_writable(f"{top}/in")
    remote.put(tmp_path / "talk.mp3", f"{top}/in/day 1/talk+ü.mp3")
    remote.write_bytes(f"{top}/in/notes.txt", b"x")
    (file,) = remote.listing(f"{top}/in", MP3)
    assert (file.url, file.name, file.size) == (f"{top}/in/day 1/talk+ü.mp3", "day 1/talk+ü.mp3", 3)
    assert remote.listing(file.url, MP3)[0].token == file.token, "asked for by itself it has the same token"
    with remote.fetched(file.url) as local:
        assert (local.suffix, local.read_bytes()) == (".mp3", b"one")
    remote.write_bytes(file.url, b"two")
    (other,) = remote.listing(f"{top}/in", MP3)
    assert other.token != file.token
    assert remote.read_bytes(file.url) == b"two"
    remote.write_bytes(file.url, b"one")
    assert remote.listing(f"{top}/in", MP3) == [file], "the same bytes again: the same token"
    remote.remove(file.url)
    assert not remote.exists(file.url)
    assert remote.exists(f"{top}/in")


def test_a_listing_of_several_pages_is_whole(moto: Server) -> None:
    s3 = client(moto)
    s3.create_bucket(Bucket="speech")
    for number in range(2 * PAGE + 5):
        s3.put_object(Bucket="speech", Key=f"in/{number:04}.mp3", Body=b"x")
    assert [file.name for file in remote.listing("s3://speech/in", MP3)] == [f"{n:04}.mp3" for n in range(2 * PAGE + 5)]


def test_a_large_file_comes_and_goes_in_parts(moto: Server, tmp_path: Path) -> None:
    top = bucket(moto)
    data = bytes(range(256)) * (120 * MIB // 256)
    (tmp_path / "large.wav").write_bytes(data)
    remote.put(tmp_path / "large.wav", f"{top}/large.wav")
    with remote.fetched(f"{top}/large.wav") as local:
        assert local.read_bytes() == data


def test_only_one_makes_the_lock(moto: Server) -> None:
    url = f"{bucket(moto)}/out/.lock"
    assert remote.create_exclusively(url, b"first")
    assert not remote.create_exclusively(url, b"second")
    assert remote.create_exclusively(url, b"first"), "an answer that was lost"
    assert remote.read_bytes(url) == b"first"


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_endpoint_is_taken_from_the_environment(
    moto: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, moto.address)
    assert remote.exists(bucket(moto))


def test_no_such_bucket(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^s3://nowhere/in: no such bucket$"):
        remote.listing("s3://nowhere/in", MP3)
    with pytest.raises(UsageError, match="no such bucket"):
        remote.listing("s3://nowhere", MP3)
    with pytest.raises(WorkError, match="no such bucket"), remote.fetched("s3://nowhere/a.mp3"):
        pass
    with pytest.raises(WorkError, match="no such bucket"):
        remote.write_bytes("s3://nowhere/a.txt", b"x")
    with pytest.raises(WorkError, match="no such bucket"):
        remote.exists("s3://nowhere/a.txt")
    with pytest.raises(UsageError, match=r"^s3://nowhere/out/?: no such bucket"):
        remote.check_writable("s3://nowhere/out")
    with pytest.raises(UsageError, match="no bucket can have this name"):
        remote.listing("s3://no bucket/in", MP3)


def test_no_such_file(moto: Server) -> None:
    top = bucket(moto)
    with pytest.raises(InputError, match=r"^s3://speech/none\.mp3: no such file$"), remote.fetched(f"{top}/none.mp3"):
        pass
    with pytest.raises(UsageError, match="no such file"):
        remote.listing(f"{top}/none", MP3)


@pytest.mark.parametrize(
    ("unset", "said"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "no credentials in the environment: set AWS_ACCESS_KEY_ID"),
        (("AWS_SECRET_ACCESS_KEY",), "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_no_credentials(monkeypatch: pytest.MonkeyPatch, unset: tuple[str, ...], said: str) -> None:
    for name in unset:
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match=said):
        remote.listing("s3://speech/in", MP3)


def test_public_data_needs_no_credentials(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket(moto)
    client(moto).put_object(Bucket="speech", Key="a.mp3", Body=b"x", ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code = "from app import remote; print(remote.read_bytes('s3://speech/a.mp3'))"
    monkeypatch.setenv("FSSPEC_S3_ANON", "true")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("b'x'\n", "")


def test_wrong_credentials(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    top = bucket(moto)
    remote.write_bytes(f"{top}/in/a.mp3", b"x")
    iam = client(moto, "iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    moto.post("/moto-api/reset-auth", b"0")
    with pytest.raises(WorkError, match=r"does not accept the credentials \(InvalidAccessKeyId\)"):
        remote.write_bytes(f"{top}/a.txt", b"x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    forget_clients()
    with pytest.raises(WorkError, match=r"\(SignatureDoesNotMatch\)") as caught:
        remote.write_bytes(f"{top}/a.txt", b"x")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    forget_clients()
    with pytest.raises(UsageError, match="access denied; the owner of AWS_ACCESS_KEY_ID"):
        remote.check_writable(f"{top}/out")  # a user without any right
    with pytest.raises(InputError, match="access denied"), remote.fetched(f"{top}/in/a.mp3"):
        pass


def test_a_server_killed_in_the_middle_of_a_download(
    own: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = bucket(own)
    remote.write_bytes(f"{top}/a.mp3", bytes(4 * MIB))
    between = Between(own, MIB, own.kill)
    monkeypatch.setenv("AWS_ENDPOINT_URL", between.address)
    forget_clients()
    said: list[str] = []
    with (
        pytest.raises((InputError, WorkError), match=r"\(3 attempts\)"),
        remote.fetched(f"{top}/a.mp3", tmp_path, said.append),
    ):
        pytest.fail("half a file was given out")
    assert own.process.poll() is not None
    assert len(said) == 2
    assert list(tmp_path.glob("run-app-*")) == []


def test_a_download_cut_once_comes_whole(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    top = bucket(moto)
    data = bytes(range(256)) * (4 * MIB // 256)
    remote.write_bytes(f"{top}/a.mp3", data)
    monkeypatch.setenv("AWS_ENDPOINT_URL", Between(moto, MIB, times=1).address)
    forget_clients()
    said: list[str] = []
    with remote.fetched(f"{top}/a.mp3", say=said.append) as local:
        assert local.read_bytes() == data
    assert len(said) == 1
    assert "the transfer broke off" in said[0]


def test_an_object_that_always_breaks_off_is_that_file_s_error(moto: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    top = bucket(moto)
    remote.write_bytes(f"{top}/a.mp3", bytes(4 * MIB))
    monkeypatch.setenv("AWS_ENDPOINT_URL", Between(moto, MIB).address)
    forget_clients()
    with pytest.raises(InputError, match=r"the transfer broke off .*\(3 attempts\)$"), remote.fetched(f"{top}/a.mp3"):
        pytest.fail("half a file was given out")


def test_an_upload_that_breaks_off_leaves_what_was_there(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    top = bucket(own)
    remote.write_bytes(f"{top}/a.txt", b"the old")
    monkeypatch.setenv("AWS_ENDPOINT_URL", Between(own, 0).address)  # no answer comes through
    forget_clients()
    with pytest.raises(WorkError, match="3 attempts"):
        remote.exists(f"{top}/a.txt")
    own.kill()
    with pytest.raises(WorkError, match="3 attempts"):
        remote.write_bytes(f"{top}/a.txt", bytes(MIB))


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    forget_clients()
    with pytest.raises(UsageError, match=r"the server of AWS_ENDPOINT_URL does not answer \(3 attempts\)$"):
        remote.listing("s3://speech/in", MP3)
    monkeypatch.setattr(access, "SILENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mute.getsockname()[1]}")
        forget_clients()
        with pytest.raises(WorkError, match=r"said nothing for .* \(3 attempts\)$"):
            remote.exists("s3://speech/in")


def test_an_endpoint_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    forget_clients()
    with pytest.raises(UsageError, match=r"Invalid endpoint: nonsense; AWS_ENDPOINT_URL would be as"):
        remote.listing("s3://speech/in", MP3)


def test_a_web_address_is_read(moto: Server) -> None:
    top = bucket(moto)
    client(moto).put_object(Bucket="speech", Key="a.mp3", Body=b"sound", ACL="public-read")
    assert remote.exists(f"{top}/a.mp3")
    url = f"{moto.address}/speech/a.mp3?signature=geheim"
    with remote.fetched(url) as local:
        assert (local.suffix, local.read_bytes()) == (".mp3", b"sound")
    with (
        pytest.raises(InputError, match=r"none\.mp3: ") as caught,
        remote.fetched(f"{moto.address}/speech/none.mp3?signature=geheim"),
    ):
        pass
    assert "geheim" not in str(caught.value)


def test_a_process_ends_quietly(moto: Server) -> None:
    """No warning of a session left open behind the one line."""
    remote.write_bytes(f"{bucket(moto)}/a.mp3", b"x")
    code = (
        "from app import remote\n"
        "with remote.fetched('s3://speech/a.mp3') as local: print(local.read_bytes())\n"
        "try: remote.read_bytes('s3://nowhere/a')\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("b'x'\ns3://nowhere/a: no such bucket\n", "", 0)
