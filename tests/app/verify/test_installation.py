"""What verify says of whole installations, sound and lacking, in interpreters of their own; and of FFmpeg."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.verify import Check, installation
from app.verify.imports import LIBRARIES
from tests.app.verify.looking import of, plant

APP = "torch torchaudio torchcodec torchvision whisperx pyannote silero_vad gradio".split()
"""How the names begin of what the extra [app] brings."""

SECTION = """
import dataclasses, json, sys
from app.commands.verify import read
from app.verify.installation import tasks
from app.verify.run import run_all
found = run_all([task for task in tasks(read()) if task.name in sys.argv[1:] or not sys.argv[1:]])
print(json.dumps([dataclasses.asdict(check) for checks in found for check in checks]))
"""

needs_app = pytest.mark.skipif(find_spec("whisperx") is None, reason="not installed: pip install 'run-app[app]'")


def section(*names: str, python: Path = Path(sys.executable), env: dict[str, str] | None = None) -> list[Check]:
    """These tasks of the section, or all, in an interpreter of their own."""
    done = subprocess.run(
        [python, "-P", "-c", SECTION, *names], env=env or dict(os.environ), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return [Check(**check) for check in json.loads(done.stdout)]


# Whole installations


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., Path]:
    """Makes an environment like this one but for packages whose files' names begin so; returns its interpreter."""

    def make(*names: str) -> Path:
        home = tmp_path / "venv"
        venv.create(home, symlinks=True)
        (packages,) = home.glob("lib/python3*/site-packages")
        spec = find_spec("psutil")
        assert spec is not None
        assert spec.origin is not None
        for entry in Path(spec.origin).parents[1].iterdir():
            if not entry.name.startswith(names) and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
        return home / "bin" / "python"

    return make


@pytest.mark.slow
def test_without_torch_nothing_fails(without: Callable[..., Path], environment: dict[str, str]) -> None:
    python = without(*APP)

    checks = section(python=python, env=environment)

    assert [check for check in checks if check.status == "FAIL"] == []
    torch = of(checks, "import torch")
    assert (torch.id, torch.status, torch.todo) == ("not-installed", "SKIP", "pip install 'run-app[app]'")
    assert "alignment of words" in torch.found
    assert of(checks, "import ctranslate2").status == "OK"
    assert of(checks, "PyAV").status == "OK"
    assert "torch " not in of(checks, "versions").found


def test_what_is_left_without_torch_is_named(without: Callable[..., Path]) -> None:
    if find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    python = without("torch-", "torch.", "torchgen", "functorch")
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    (packages / "torch").unlink()

    check = of(section("import torchaudio", python=python), "import torchaudio")

    assert check.status == "FAIL"
    assert "No module named 'torch'" in check.found
    assert check.todo == "pip install 'run-app[app]'"


def test_files_that_are_gone_while_the_metadata_stands(without: Callable[..., Path]) -> None:
    python = without("ctranslate2")
    spec = find_spec("psutil")
    assert spec is not None
    assert spec.origin is not None
    (dist,) = Path(spec.origin).parents[1].glob("ctranslate2-*.dist-info")
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    (packages / dist.name).symlink_to(dist)

    check = of(section("import ctranslate2", python=python), "import ctranslate2")

    assert check.status == "FAIL"
    assert "No module named 'ctranslate2'" in check.found
    assert "--force-reinstall" in check.todo


def test_a_misfit_that_dies_of_bad_alloc_is_told_by_its_pair(without: Callable[..., Path]) -> None:
    python = without("torch-", "torch.", "torchcodec")
    (packages,) = python.parents[1].glob("lib/python3*/site-packages")
    (packages / "torch").unlink(missing_ok=True)
    code = (
        "import os\nos.write(2, b\"terminate called after throwing an instance of 'std::bad_alloc'\\n\")\nos.abort()\n"
    )
    for name, version, source in (("torch", "2.8.0", ""), ("torchcodec", "0.8.1", code)):
        plant(packages, name, source)
        dist = packages / f"{name}-{version}.dist-info"
        dist.mkdir()
        (dist / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    checks = section("versions", "import torchcodec", python=python)

    pair = of(checks, "torch 2.8.0 with torchcodec 0.8.1")
    death = of(checks, "import torchcodec")
    assert (pair.id, pair.status, pair.todo) == ("torch-torchcodec", "FAIL", "pip install 'torchcodec==0.7.*'")
    assert (death.id, death.status, death.todo) == ("torch-torchcodec", "FAIL", "pip install 'torchcodec==0.7.*'")
    assert "std::bad_alloc" in death.found
    assert not [check for check in checks if check.id == "requirements" and "torchcodec" in check.subject]


@needs_app
@pytest.mark.slow
def test_this_installation_is_sound(environment: dict[str, str]) -> None:
    checks = section(env=environment)

    assert [check for check in checks if check.status == "FAIL"] == []
    for library in LIBRARIES:
        check = of(checks, f"import {library.package}")
        assert check.status == "OK" or check.id == "torchcodec-ffmpeg"
        peak = check.facts.get("peak_mib", 0)
        assert isinstance(peak, int)
        assert peak <= library.needs_mib


def test_the_interpreter() -> None:
    (check,) = installation.python()
    assert check.status == "OK"
    assert sys.executable in check.found
    assert ("in a virtual environment" in check.found) == (sys.prefix != sys.base_prefix)
    (check,) = installation.python(prefix=sys.base_prefix)
    assert "in a virtual environment" not in check.found

    (check,) = installation.python((3, 14, 0))
    assert check.status == "FAIL"
    assert "3.11 to 3.13" in check.found


# FFmpeg


def test_recordings_are_read_by_pyav_and_the_program_is_optional(tmp_path: Path) -> None:
    checks = installation.ffmpeg(os.environ | {"PATH": str(tmp_path)})

    av, program = of(checks, "PyAV"), of(checks, "ffmpeg program")
    assert av.status == "OK"
    assert "decoded 1 s" in av.found
    assert (program.id, program.status) == ("ffmpeg-program", "SKIP")

    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ffmpeg version 9.9 Copyright\n")
    fake.chmod(0o755)
    program = of(installation.ffmpeg(os.environ | {"PATH": str(tmp_path)}), "ffmpeg program")
    assert program.status == "OK"
    assert "ffmpeg version 9.9" in program.found


def test_a_pyav_that_does_not_decode(tmp_path: Path) -> None:
    code = f"import sys\nsys.path.remove({str(tmp_path)!r})\ndel sys.modules['av']\nimport av\n"
    code += "real = av.open\nav.open = lambda file, mode='r', *, format=None: real(file, mode, format=format)\n"
    environment = plant(tmp_path, "av", code)

    check = of(installation.ffmpeg(environment), "PyAV")

    assert (check.id, check.status) == ("pyav", "FAIL")
    assert "metadata_errors" in check.found
    assert "av>=14,<19" in check.todo
