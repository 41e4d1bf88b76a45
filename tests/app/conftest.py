from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.app.memory_files import MemoryFiles
from tests.app.s3 import Server, forget_clients

RunApp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def environment(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one test has finished is no help to the next."""
    return persons_environment(home, tmp_path_factory.mktemp("state"))


def persons_environment(home: Path, state: Path) -> dict[str, str]:
    """With folders of its own, and nothing of the developer's profile."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RUN_APP_", "HF_", "XDG_", "PYANNOTE_", "PYTHON", "GRADIO_"))
    }
    return kept | {
        "XDG_STATE_HOME": str(state),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "OMP_NUM_THREADS": "2",
    }


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The launcher under the profile that works everywhere."""
    return [sys.executable, "-P", "-m", "launcher", "--profile", "cpu"]


@pytest.fixture
def run_app(environment: dict[str, str], command: list[str], tmp_path: Path) -> RunApp:
    """Run `run-app --profile cpu ...` in an empty folder, as a person would."""

    def run(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="module")
def moto() -> Iterator[Server]:
    """An S3 server for the tests of one file; each leaves it empty, or takes `s3` instead."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def s3(moto: Server) -> Iterator[Server]:
    """The same, empty again afterwards."""
    forget_clients()
    yield moto
    moto.reset()
    forget_clients()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFiles]:
    """memory:// without anything; what fails there is tried again at once."""
    pytest.importorskip("fsspec")
    from app.remote import access

    monkeypatch.setattr(access, "WAITS_S", (0.01, 0.02))
    files = MemoryFiles()
    files.clear()
    yield files
    files.clear()
