"""The command on a Ray of its own: what it makes is what the local engine makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.cluster.nodes import left_of
from tests.app.conftest import RunApp
from tests.app.emilia.conftest import carriers
from tests.app.sounds import tone, write_wav
from tests.app.voices import missing_voices, mix

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
VOICE = "en_US_f_Allison"
MODELS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline", "--dnsmos-min", "1")


@pytest.fixture
def command(command: list[str]) -> list[str]:
    return list(command)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | carriers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if missing_voices([VOICE]):
        pytest.skip(f"the prompts of {VOICE} are not installed: scripts/test-audio")
    made = tmp_path / "in"
    made.mkdir()
    write_wav(made / "talk.wav", mix([VOICE], 20, 3).waveform)
    write_wav(made / "tone.wav", tone(2))
    (made / "broken.mp3").write_bytes(bytes(range(256)) * 64)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The same Python, under a path with a blank."""
    here, there = Path(sys.prefix), tmp_path / "a folder" / "venv"
    (there / "bin").mkdir(parents=True)
    (there / "bin/python").symlink_to(Path(sys.executable).resolve())
    (there / "lib").symlink_to(here / "lib")
    shutil.copy(here / "pyvenv.cfg", there)
    return there / "bin/python"


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the dataset, the ledger left out."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".run-app-emilia" not in path.parts
    }


def test_ray_makes_what_the_local_engine_makes_and_leaves_nothing_running(
    run_app: RunApp, environment: dict[str, str], command: list[str], elsewhere: Path, folder: Path, tmp_path: Path
) -> None:
    local = run_app("emilia", folder, "local", *MODELS)
    assert local.returncode == 1, local.stderr
    command[0] = str(elsewhere)
    result: subprocess.CompletedProcess[str] = run_app("emilia", folder, "ray", *MODELS, "--engine", "ray")

    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "profile cpu" in result.stderr
    assert "broken.mp3: not a recording" in result.stderr
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
    assert any(name.startswith("talk-") and name.endswith("_000000.mp3") for name in contents(tmp_path / "ray"))
    assert left_of(environment) == []

    again = run_app("emilia", folder, "ray", *MODELS, "--engine", "ray")

    assert "diarize:" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--address", "127.0.0.1:1"), "--address is Ray's: say --engine ray as well"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), "no Ray can be reached there"),
    ],
)
def test_an_address_where_no_ray_is(run_app: RunApp, folder: Path, arguments: tuple[str, ...], line: str) -> None:
    result = run_app("emilia", folder, "out", *MODELS, *arguments)

    assert result.returncode == 2
    assert line in result.stderr
    assert "Traceback" not in result.stderr
