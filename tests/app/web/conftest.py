from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.transcript import Segment, Transcript
from app.web.jobs import JobStore
from app.web.options import Options
from tests.app.conftest import persons_environment
from tests.app.web.browser import Watched, watched
from tests.app.web.client import PageClient

PATIENCE_S = 60.0
OLD_GRADIO = ("gradio==6.17.3", "gradio_client==2.5.0")
"""What plain pip resolves beside whisperx."""


@dataclass
class PageServer:
    """`run-app --profile cpu gradio`, as a process."""

    process: subprocess.Popen[str]
    address: str
    state: Path
    """XDG_STATE_HOME."""
    log: Path

    @property
    def jobs(self) -> Path:
        return self.state / "run-app" / "page"

    @property
    def uploads(self) -> Path:
        return self.state / "run-app" / "page-uploads"

    def client(self, name: str = "", password: str = "") -> PageClient:
        """Of somebody who has logged in, where there is a name."""
        client = PageClient(self.address)
        if name:
            assert client.post("login", data={"username": name, "password": password}).status_code == 200
        return client

    def alive(self) -> bool:
        return self.process.poll() is None and self.client().get("").status_code == 200


StartPage = Callable[..., AbstractContextManager[PageServer]]


@contextmanager
def serving(home: Path, state: Path, *arguments: str | Path, **environment: str) -> Iterator[PageServer]:
    """Started, and answering; ended by SIGTERM."""
    command = [sys.executable, "-P", "-m", "launcher", "--profile", "cpu", "gradio", "--port", "0"]
    with tempfile.NamedTemporaryFile("w", prefix="page-", suffix=".log", dir=state.parent, delete=False) as log:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=state.parent,
            env=persons_environment(home, state) | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        address = _wait_for_address(process, Path(log.name))
        yield PageServer(process, address, state, Path(log.name))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def _wait_for_address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("serving on "):
                return line.removeprefix("serving on ")
        assert process.poll() is None, f"exit {process.returncode}: {log.read_text()}"
        time.sleep(0.05)
    raise AssertionError(f"no address came: {log.read_text()}")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """XDG_STATE_HOME of what start_page starts."""
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def start_page(home: Path, state: Path) -> StartPage:
    """As a context manager, with arguments of the command and variables."""
    return lambda *arguments, **environment: serving(home, state, *arguments, **environment)


@pytest.fixture(scope="module")
def page_server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """One for all tests of a module: what they leave in it must not disturb the next."""
    with serving(home, tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def chrome() -> Iterator[Watched]:
    """A browser; at the end, nothing that it asked for was on another machine, and no script had failed."""
    with watched() as browser:
        yield browser
        browser.check()


@pytest.fixture(scope="session")
def old_gradio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the version that plain pip resolves."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("there is no uv here to install an older gradio with")
    folder = tmp_path_factory.mktemp("gradio-6.17.3")
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, *OLD_GRADIO], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"gradio 6.17.3 can't be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module", params=["installed", "6.17.3"])
def each_server(
    request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PageServer]:
    """One under each version of gradio, for two people: ann and bob, whose passwords are ann's and bob's."""
    old = request.param != "installed"
    environment = {"PYTHONPATH": str(request.getfixturevalue("old_gradio"))} if old else {}
    accounts = write_accounts(tmp_path_factory.mktemp("accounts") / "accounts")
    with serving(home, tmp_path_factory.mktemp("page"), "--auth-file", accounts, **environment) as server:
        version = server.client("ann", "ann's").get("config").json()["version"]
        assert (version == "6.17.3") == old
        yield server


def write_accounts(path: Path) -> Path:
    path.write_text("# who may come in\n\nann:ann's\nbob:bob's\n")
    path.chmod(0o600)
    return path


def transcribed(state: Path, name: str, transcript: Transcript, recording: Path) -> str:
    """A job that is done, put there while no server runs, with a copy of the recording."""
    folder = state / "run-app" / "page"
    folder.mkdir(parents=True, exist_ok=True)
    store = JobStore(folder)
    id = store.add("", [(name, Path(shutil.copy(recording, folder / "recording.wav")))], Options(model="tiny.en"))
    job = store.get(id, "")
    job.state, job.seconds = "done", 3.0
    job.files[0].state, job.files[0].duration, job.files[0].language = "done", transcript.duration, "en"
    store.save_transcript(job, 0, transcript)
    store.save(job)
    return id


def finished_job(state: Path, *names: str, owner: str = "", text: str = "Hello there.") -> str:
    """A job that is done, put there while no server runs; its recordings are a second of silence."""
    folder = state / "run-app" / "page"
    folder.mkdir(parents=True, exist_ok=True)
    store = JobStore(folder)
    files = []
    for index, name in enumerate(names or ("talk.wav",)):
        path = folder / f"silence-{index}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(bytes(32000))
        files.append((name, path))
    id = store.add(owner, files, Options(model="tiny.en"))
    job = store.get(id, owner)
    transcript = Transcript("en", 1.0, 1.0, (Segment(0.0, 0.9, text, speaker="SPEAKER_00"),))
    for index, each in enumerate(job.files):
        each.state = "done"
        store.save_transcript(job, index, transcript)
    job.state = "done"
    store.save(job)
    return id
