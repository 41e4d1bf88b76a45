"""URLs and the files behind them, by fsspec's memory file system and by file systems that misbehave."""

import errno
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import remote
from app.errors import InputError, UsageError, WorkError
from app.remote import access
from app.remote.urls import scheme_of

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.local import LocalFileSystem  # noqa: E402
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

MP3 = frozenset((".mp3", ".wav"))


class Shelf(LocalFileSystem):  # type: ignore[misc]
    """A file system without whole objects, which fails as it is told."""

    protocol = "shelf"
    calls: int = 0
    broken: int = 0
    """The first so many transfers break off half-way."""
    error: Exception | None = None
    short = False
    """Half of the bytes, and no error."""

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """The parent knows its own names alone, and would make a folder `shelf:` where one stands."""
        bare = [each.removeprefix("shelf://") for each in ([path] if isinstance(path, str) else path)]
        return super()._strip_protocol(bare[0] if isinstance(path, str) else bare)

    def _trouble(self) -> bool:
        Shelf.calls += 1
        if Shelf.calls <= Shelf.broken:
            raise Shelf.error or ConnectionResetError(errno.ECONNRESET, "reset by peer")
        return Shelf.short

    def get_file(self, path1: str, path2: str, **options: Any) -> None:
        data = Path(self._strip_protocol(path1)).read_bytes()
        Path(path2).write_bytes(data[: len(data) // 2])
        if not self._trouble():
            Path(path2).write_bytes(data)

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        Path(self._strip_protocol(path)).write_bytes(value[: len(value) // 2])
        if not self._trouble():
            Path(self._strip_protocol(path)).write_bytes(value)


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    for name, value in {"calls": 0, "broken": 0, "error": None, "short": False}.items():
        monkeypatch.setattr(Shelf, name, value)
    monkeypatch.setattr(access, "WAITS_S", (0.01, 0.02))
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("text", ["s3://bucket/x", "S3://b", "memory://a.wav", "https://a.org/x?y", "abfs+x://c/d"])
def test_a_url(text: str) -> None:
    assert remote.is_remote(text)


@pytest.mark.parametrize(
    "text", ["a.wav", "a:b.wav", "s3:", "s3:/bucket/x", "./s3://bucket/x", "C:/talk.wav", "file:///a.wav", "://x", ""]
)
def test_no_url(text: str) -> None:
    assert not remote.is_remote(text)


def test_a_local_folder_of_that_name_makes_no_url_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    assert remote.is_remote("s3://bucket")
    assert not remote.is_remote("s3:")


def test_a_file_url_is_a_path() -> None:
    assert remote.local_path("file:///data/a%20b%3F.wav") == Path("/data/a b?.wav")
    assert remote.local_path("a%20b.wav") == Path("a%20b.wav")
    with pytest.raises(UsageError, match="three slashes"):
        remote.local_path("file://host/a.wav")


@pytest.mark.parametrize(
    "url",
    [
        "s3://me:geheim@bucket/x",
        "s3://me:ge/heim/geheim@bucket/x",
        "s3://geheim@bucket/x",
        "https://me:geheim@a.org/x",
        "sftp://me:geheim@host/x",
        "sftp://me:1geheim/1@host/x",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="must not carry") as caught:
        remote.listing(url, MP3)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:8080/a@b.wav", "memory://a@b.wav", "s3://bucket/a:b@c.wav"])
def test_a_port_or_an_at_sign_in_a_name_is_no_password(url: str) -> None:
    assert scheme_of(url) == url.partition(":")[0]


def test_a_signature_in_a_web_address_is_not_shown() -> None:
    assert remote.shown("https://a.org/talk.mp3?X-Amz-Signature=geheim") == "https://a.org/talk.mp3"
    assert remote.shown("s3://bucket/a?b\n.mp3") == "s3://bucket/a?b?.mp3"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nope://bucket/x", "fsspec knows no nope://"),
        ("s3://", "names nothing"),
        ("hdfs://", "names nothing|package for hdfs"),
        ("gs://bucket/x", r"a package for gs:// is missing: .*gcsfs"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        remote.listing(url, MP3)


def test_without_the_packages_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from app import remote\n"
        "try: remote.exists('s3://bucket/x')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    for package in ("fsspec", "s3fs"):
        done = subprocess.run([sys.executable, "-c", code, package], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("UsageError s3://bucket/x: ")
        assert done.stdout.endswith("is missing: pip install 'run-app[s3]'\n")


def test_importing_it_costs_no_fsspec() -> None:
    code = "import sys, app.remote; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_listing_is_sorted_relative_and_leaves_hidden_files_out() -> None:
    for name in ("b.mp3", "day2/a.WAV", "notes.txt", ".hidden/c.mp3", "day1/.d.mp3"):
        remote.write_bytes(f"memory://in/{name}", b"sound")
    found = remote.listing("memory://in/", MP3)
    assert [(file.name, file.size) for file in found] == [("b.mp3", 5), ("day2/a.WAV", 5)]
    assert [remote.read_bytes(file.url) for file in found] == [b"sound", b"sound"]
    (one,) = remote.listing("memory://in/notes.txt", MP3)  # named by itself it may be called anything
    assert one.name == "notes.txt"


def test_nothing_to_work_on_is_said() -> None:
    remote.write_bytes("memory://in/notes.txt", b"x")
    with pytest.raises(UsageError, match="no recordings below it"):
        remote.listing("memory://in", MP3)
    with pytest.raises(UsageError, match="memory://other: no such file"):
        remote.listing("memory://other", MP3)


def test_a_name_that_leads_out_is_refused() -> None:
    MemoryFileSystem().pipe_file("/in/../../x.mp3", b"x")
    with pytest.raises(UsageError, match=r"`\.\.`"):
        remote.listing("memory://in", MP3)


def test_the_token_follows_the_content(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/a.mp3"
    remote.write_bytes(url, b"one")
    (first,) = remote.listing(url, MP3)
    assert remote.listing(url, MP3) == [first]
    remote.write_bytes(url, b"two")
    (second,) = remote.listing(url, MP3)
    assert second.token != first.token


def test_a_fetched_file_has_its_ending_and_is_gone_afterwards(tmp_path: Path) -> None:
    remote.write_bytes("memory://in/talk.mp3", b"sound")
    with remote.fetched("memory://in/talk.mp3", tmp_path) as local:
        assert local.suffix == ".mp3"
        assert local.read_bytes() == b"sound"
        assert local.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_the_file_is_said_of_the_url(tmp_path: Path) -> None:
    remote.write_bytes("memory://in/talk.mp3", b"")
    with (
        pytest.raises(InputError, match=r"^memory://in/talk\.mp3: empty$"),
        remote.fetched("memory://in/talk.mp3", tmp_path) as local,
    ):
        raise InputError(f"{local}: empty")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_fetched_goes_with_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from app.remote.temporary import temporary_folder\n"
        "with temporary_folder() as folder: print(folder, flush=True); time.sleep(60)"
    )
    environment = {"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout
            left = Path(child.stdout.readline().strip())
            remote.write_bytes("memory://a.mp3", b"x")
            with remote.fetched("memory://a.mp3", tmp_path):
                assert left.is_dir(), "the folder of a living process"
        finally:
            child.send_signal(signal.SIGKILL)
    assert left.is_dir()
    with remote.fetched("memory://a.mp3", tmp_path):
        assert not left.exists()


def test_no_place_to_bring_it_to(tmp_path: Path) -> None:
    remote.write_bytes("memory://a.mp3", b"x")
    with (
        pytest.raises(WorkError, match=r"none: can't write there .*TMPDIR"),
        remote.fetched("memory://a.mp3", tmp_path / "none"),
    ):
        pass


def test_two_breaks_cost_two_attempts_and_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp3").write_bytes(b"sound")
    monkeypatch.setattr(Shelf, "broken", 2)
    said: list[str] = []
    with remote.fetched(f"shelf://{tmp_path}/a.mp3", say=said.append) as local:
        assert local.read_bytes() == b"sound"
    assert Shelf.calls == 3
    assert [line.rpartition("; ")[2] for line in said] == ["attempt 2 of 3 in 0.01 s", "attempt 3 of 3 in 0.02 s"]


def test_three_breaks_are_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp3").write_bytes(b"sound")
    monkeypatch.setattr(Shelf, "broken", 9)
    with pytest.raises(InputError, match=r"broke off .*\(3 attempts\)$"), remote.fetched(f"shelf://{tmp_path}/a.mp3"):
        pass
    assert Shelf.calls == 3


def test_what_is_forbidden_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp3").write_bytes(b"sound")
    monkeypatch.setattr(Shelf, "broken", 9)
    monkeypatch.setattr(Shelf, "error", PermissionError("no"))
    with pytest.raises(InputError, match=r"access denied$"), remote.fetched(f"shelf://{tmp_path}/a.mp3"):
        pass
    assert Shelf.calls == 1


def test_half_a_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp3").write_bytes(b"sounds")
    monkeypatch.setattr(Shelf, "short", True)
    with pytest.raises(InputError, match="3 of 6 bytes came"), remote.fetched(f"shelf://{tmp_path}/a.mp3"):
        pass


def test_a_full_disk_here_is_not_the_server_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp3").write_bytes(b"sound")
    monkeypatch.setattr(Shelf, "broken", 9)
    monkeypatch.setattr(Shelf, "error", OSError(errno.ENOSPC, "No space left on device"))
    with (
        pytest.raises(WorkError, match=f"^{tmp_path}: no space left to bring shelf://"),
        remote.fetched(f"shelf://{tmp_path}/a.mp3", tmp_path),
    ):
        pass


@pytest.mark.parametrize("trouble", ["broken", "short"])
def test_a_write_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    url = f"shelf://{tmp_path}/out/a.txt"
    remote.write_bytes(url, b"the old")
    monkeypatch.setattr(Shelf, trouble, 99)
    with pytest.raises(WorkError, match="3 attempts"):
        remote.write_bytes(url, b"the new and longer")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").iterdir()] == [("a.txt", b"the old")]


def test_put_exists_and_remove(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text")
    for url in ("memory://out/day 1/a.txt", f"shelf://{tmp_path}/out/a.txt"):
        assert not remote.exists(url)
        remote.put(tmp_path / "a.txt", url)
        assert remote.exists(url)
        assert remote.read_bytes(url) == b"text"
        remote.remove(url)
        remote.remove(url)
        assert not remote.exists(url)
    with pytest.raises(WorkError, match="none: No such file"):
        remote.put(tmp_path / "none", "memory://out/none")


def test_one_of_many_makes_the_lock(tmp_path: Path) -> None:
    for url in ("memory://out/lock", f"file://{tmp_path}/lock"):
        won: list[int] = []

        def contend(number: int, url: str = url, won: list[int] = won) -> None:
            if remote.create_exclusively(url, b"%d" % number):
                won.append(number)

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert remote.read_bytes(url) == b"%d" % won[0]
    with pytest.raises(UsageError, match="no way to make a lock"):
        remote.create_exclusively(f"shelf://{tmp_path}/lock", b"x")


def test_a_place_for_outputs_is_tried_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"shelf://{tmp_path}/out"
    remote.check_writable(url)
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.setattr(Shelf, "broken", 99)
    monkeypatch.setattr(Shelf, "error", PermissionError("no"))
    with pytest.raises(UsageError, match=f"^{url}/?: access denied"):
        remote.check_writable(url)
    with pytest.raises(UsageError, match="can be read, not written"):
        remote.check_writable("https://127.0.0.1:9/out")
