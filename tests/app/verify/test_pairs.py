"""The table of versions, and what installed metadata asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.verify import Check
from app.verify.pairs import fits

ASK = """
import dataclasses, json
from app.verify.requirements import installed, twice, unmet
print(json.dumps([installed(), [dataclasses.asdict(check) for check in [*twice(), *unmet(())]]]))
"""


def one(id: str, versions: dict[str, str], card: tuple[int, ...] | None = None, compute_type: str = "auto") -> Check:
    (check,) = [check for check in fits(versions, card, compute_type) if check.id == id]
    return check


@pytest.mark.parametrize(
    ("torch", "codec", "pin"),
    [
        ("2.8.0", "0.8.1", "torchcodec==0.7.*"),
        ("2.8.0+cu128", "0.9.1", "torchcodec==0.7.*"),
        ("2.9.1", "0.7.0", "torchcodec==0.9.*"),
        ("2.10.0", "0.11.0", "torchcodec==0.10.*"),
        ("2.13.0", "0.10.0", "torchcodec>=0.11"),
    ],
)
def test_a_torchcodec_that_does_not_fit_its_torch(torch: str, codec: str, pin: str) -> None:
    check = one("torch-torchcodec", {"torch": torch, "torchcodec": codec})

    assert (check.status, check.todo) == ("FAIL", f"pip install '{pin}'")
    assert check.subject == f"torch {torch} with torchcodec {codec}"


@pytest.mark.parametrize(("torch", "codec"), [("2.8.0", "0.7.0"), ("2.9.1", "0.8.1"), ("2.13.0", "0.12.0")])
def test_a_torchcodec_that_fits(torch: str, codec: str) -> None:
    assert one("torch-torchcodec", {"torch": torch, "torchcodec": codec}).status == "OK"


def test_what_nobody_knows_is_no_tick() -> None:
    assert one("torch-torchcodec", {"torch": "2.7.1", "torchcodec": "0.5"}).status == "SKIP"


@pytest.mark.parametrize(
    ("torch", "audio", "pin"),
    [
        ("2.8.0", "2.9.0", "torchaudio==2.8.*"),
        ("2.10.0", "2.9.1", "torchaudio==2.10.*"),
        ("2.10.0", "2.11.0", "torchaudio==2.10.*"),
        ("2.12.0", "2.10.0", "torchaudio>=2.11"),
    ],
)
def test_a_torchaudio_of_another_torch(torch: str, audio: str, pin: str) -> None:
    check = one("torch-torchaudio", {"torch": torch, "torchaudio": audio})

    assert (check.status, check.todo) == ("FAIL", f"pip install '{pin}'")


@pytest.mark.parametrize(("torch", "audio"), [("2.8.0+cu128", "2.8.0"), ("2.11.0", "2.11.0"), ("2.14.0", "2.11.0")])
def test_a_torchaudio_that_fits(torch: str, audio: str) -> None:
    assert one("torch-torchaudio", {"torch": torch, "torchaudio": audio}).status == "OK"


def test_gradio_that_redirects_anywhere() -> None:
    check = one("gradio-redirect", {"gradio": "6.17.3"})

    assert check.status == "WARN"
    assert "gradio>=6.22,<7" in check.todo
    assert "huggingface-hub>=1.16" in check.todo
    assert one("gradio-redirect", {"gradio": "6.20.0"}).status == "OK"


def test_pyav_without_the_option_that_decoding_passes() -> None:
    check = one("pyav", {"av": "19.0.0", "faster-whisper": "1.2.1"})

    assert (check.status, check.todo) == ("FAIL", "pip install 'av>=14,<19'")
    assert one("pyav", {"av": "18.1.0", "faster-whisper": "1.2.1"}).status == "OK"


@pytest.mark.parametrize(
    ("version", "card", "compute_type", "status"),
    [
        ("4.6.3", (12, 0), "int8", "FAIL"),
        ("4.6.3", (12, 0), "int8_float16", "FAIL"),
        ("4.6.3", (12, 0), "auto", "FAIL"),
        ("4.7.0", (12, 0), "int8", "OK"),
        ("4.6.3", None, "int8", "SKIP"),
    ],
)
def test_int8_on_compute_capability_12(
    version: str, card: tuple[int, ...] | None, compute_type: str, status: str
) -> None:
    check = one("ctranslate2-int8", {"ctranslate2": version}, card, compute_type)

    assert check.status == status
    assert ("ctranslate2>=4.7" in check.todo) == (status == "FAIL")


@pytest.mark.parametrize(("card", "compute_type"), [((8, 9), "int8"), ((9, 0), "int8"), ((12, 0), "float16")])
def test_int8_is_no_matter_elsewhere(card: tuple[int, ...], compute_type: str) -> None:
    assert fits({"ctranslate2": "4.6.3"}, card, compute_type) == []


def test_two_packages_that_write_into_one_folder() -> None:
    check = one("onnxruntime-twice", {"onnxruntime": "1.23.2", "onnxruntime-gpu": "1.23.0"})

    assert check.status == "WARN"
    assert check.todo == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"
    assert one("onnxruntime-twice", {"onnxruntime": "1.23.2"}).status == "OK"


def test_nothing_is_said_of_what_is_not_installed() -> None:
    assert fits({"torch": "2.8.0"}) == []


def asked(folder: Path) -> tuple[dict[str, str], list[Check]]:
    """What another interpreter finds, with the metadata in this folder before its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    versions, checks = json.loads(done.stdout)
    return versions, [Check(**check) for check in checks]


def plant(folder: Path, name: str, version: str, *requires: str) -> None:
    """Metadata of a package, without the package."""
    where = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    where.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", *([f"Version: {version}"] if version != "0" else [])]
    (where / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires), ""]))


def test_a_sound_installation_asks_for_nothing_it_has_not(tmp_path: Path) -> None:
    versions, checks = asked(tmp_path)

    assert "python-dotenv" in versions
    assert {check.status for check in checks} == {"OK"}


def test_what_another_package_asks_for_in_vain_with_one_pin_for_all(tmp_path: Path) -> None:
    plant(tmp_path, "gradio", "6.31.0", "Pillow<13", "python-dotenv>=99")
    plant(tmp_path, "silero-vad", "6.2.3", "python-dotenv<199; python_version > '3'", "python-dotenv>999; extra == 'x'")

    _, checks = asked(tmp_path)

    (check,) = [check for check in checks if check.id == "requirements"]
    assert check.status == "WARN"
    assert "gradio asks for >=99" in check.found
    assert "silero" not in check.found
    assert ">=99" in check.todo
    assert "<199" in check.todo
    assert "999" not in check.todo


def test_whisperx_hub_client_is_overruled(tmp_path: Path) -> None:
    plant(tmp_path, "whisperx", "3.8.6", "huggingface-hub<0.1")

    assert not [check for check in asked(tmp_path)[1] if check.subject.startswith("huggingface")]


def test_two_versions_on_the_module_path(tmp_path: Path) -> None:
    plant(tmp_path, "python-dotenv", "1.1.0")

    (check,) = [check for check in asked(tmp_path)[1] if check.id == "installed-twice"]

    assert (check.status, check.subject) == ("WARN", "python-dotenv")
    assert f"1.1.0 in {tmp_path}" in check.found
    assert check.todo == f"take {tmp_path} out of PYTHONPATH"


def test_damaged_metadata_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "python-dotenv", "0")

    versions, checks = asked(tmp_path)

    assert versions["python-dotenv"] == "?"
    assert any("metadata is damaged" in check.found for check in checks)
