"""Every test runs the real run-app in an environment of its own: no config of the developer, no profile inherited."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, RUN_APP, Run


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The inherited environment of a start: next to nothing, and a config folder that belongs to the test."""
    return {
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture
def run_app(home: dict[str, str], tmp_path: Path) -> Run:
    """Call it with the words of the command line, env= for more variables, and options of subprocess.run."""

    def run(*words: str | bytes | Path, env: dict[str, str] | None = None, **options: object) -> object:
        options = {"capture_output": True, "text": True, "timeout": 60, "cwd": tmp_path, **options}
        options.setdefault("args", [*RUN_APP, *words])
        return subprocess.run(env=home | (env or {}), **options)  # type: ignore[call-overload]

    return run  # type: ignore[return-value]


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., Path]:
    """Call it with a profile's text (and name=); it is written into the user's folder."""

    def write(text: str | bytes, name: str = "mine") -> Path:
        folder = tmp_path / "config" / "run-app" / "env"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.env"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o644)
        return path

    return write
