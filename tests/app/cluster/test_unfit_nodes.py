"""Nodes that can't do the work say why before the first recording is touched, and how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cluster.nodes import PROBE
from tests.app.cluster.nodes import left_of
from tests.app.conftest import RunApp
from tests.app.emilia.conftest import carriers
from tests.app.sounds import tone, write_wav

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MODELS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline")
UNFIT = """
import os, pathlib, sys
kind = os.environ.get("UNFIT")
on_ray = any(word.endswith("default_worker.py") for word in sys.orig_argv)
if on_ray and kind == "older":
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "older"))
if on_ray and kind == "blind":
    exists = pathlib.Path.exists
    pathlib.Path.exists = lambda self, **more: "out/" not in str(self) and exists(self, **more)
if on_ray and kind == "bare" and "RUN_APP_SETTINGS" in os.environ:
    names = [*os.environ["RUN_APP_SETTINGS"].split(","), "RUN_APP_SETTINGS"]
    rest = {name: value for name, value in os.environ.items() if name not in names}
    os.execve(sys.executable, sys.orig_argv, rest)
"""
"""For Ray's own workers: another run-app is installed there, another disk mounted, the environment not handed on."""
LINES = {
    "older": ": has run-app 0.0.1, this machine ",
    "blind": ": does not see what this machine has just written there (",
    "bare": " of the profile, which have no effect later: what Ray was told to set was not set; start Ray there by "
    "`run-app --profile cpu -- ray start ...`",
}


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    modules = tmp_path / "modules"
    (modules / "older/run_app-0.0.1.dist-info").mkdir(parents=True)
    (modules / "older/run_app-0.0.1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: run-app\nVersion: 0.0.1\n"
    )
    (modules / "sitecustomize.py").write_text(UNFIT)
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    path = os.pathsep.join([str(modules), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    yield environment | carriers() | {"RAY_TMPDIR": folder, "PYTHONPATH": path}
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", LINES)
def test_an_unfit_node(run_app: RunApp, environment: dict[str, str], tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in/tone.wav", tone(2))
    environment["UNFIT"] = kind

    result: subprocess.CompletedProcess[str] = run_app("emilia", tmp_path / "in", "out", *MODELS, "--engine", "ray")

    assert result.returncode == 2, result.stderr
    assert LINES[kind] in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "out").rglob(f"{PROBE}*"))
    assert left_of(environment) == []
