from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
