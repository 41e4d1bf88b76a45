"""Names of separation models, through real processes, real files and a real HTTP server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.emilia.separators import KNOWN, ON_THE_HUB, Figures, figures
from app.emilia.settings import EmiliaSettings, changed
from app.errors import UsageError
from tests.app.hub import LocalHub

HQ_3 = "UVR-MDX-NET-Inst_HQ_3"
REPOSITORY = ON_THE_HUB[HQ_3].repository

CHILD = """
import json, sys
from pathlib import Path
from app.emilia import separators
from app.errors import UsageError
name, offline, sha256, windows = sys.argv[1:]
separators.WINDOWS_USERS = Path(windows)
if sha256:
    published = separators.Source(separators.ON_THE_HUB[name].repository, sha256)
    separators.ON_THE_HUB[name] = published
steps = []
try:
    path, words = separators.find_separator(name, offline=bool(int(offline)), report=steps.append)
except UsageError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
heavy = sorted({module.partition(".")[0] for module in sys.modules} & {"numpy", "onnxruntime", "torch"})
print(json.dumps({"path": str(path), "words": words, "steps": len(steps), "heavy": heavy}))
"""


class Person:
    """With an empty home, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.windows = home / "c" / "Users"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "AUDIO_SEPARATOR_MODEL_DIR": str(home / "separator")}

    def run(self, name: str, *, offline: bool = True, sha256: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        arguments = [name, str(int(offline)), sha256, str(self.windows)]
        return subprocess.run(
            [sys.executable, "-P", "-c", CHILD, *arguments],
            env={**self.env, **env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def find(self, name: str, **options: Any) -> dict[str, Any]:
        done = self.run(name, **options)
        assert (done.returncode, done.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def error(self, name: str, **options: Any) -> str:
        """The one line that a failure gives."""
        done = self.run(name, **options)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def put(self, *where: str, content: bytes = b"onnx") -> str:
        path = self.home.joinpath(*where)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    """With a file so large that it lies in the hub's storage, as the real one."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / f"{HQ_3}.onnx").write_bytes(b"weights " * 1_500_000)
    with LocalHub({REPOSITORY: folder}).serving() as served:
        yield served


def sha256(hub: LocalHub) -> str:
    return hashlib.sha256((hub.folders[REPOSITORY] / f"{HQ_3}.onnx").read_bytes()).hexdigest()


def test_a_path_is_that_file_and_nothing_else(person: Person) -> None:
    file = person.put("models", "mine.onnx")
    person.put("mine.onnx")

    for name in ("models/mine.onnx", "~/models/mine.onnx", file):
        assert person.find(name) == {"path": file, "words": file, "steps": 0, "heavy": []}
    assert person.find("mine.onnx")["path"] == str(person.home / "mine.onnx")
    assert "mine.onnx: no such file" in person.error("other/mine.onnx")
    assert "models: a folder; give the .onnx file in it" in person.error("./models")
    assert f"without .onnx it is looked for in more places: {HQ_3}" in person.error(f"{HQ_3}.onnx")


def test_a_name_is_looked_for_where_people_have_such_models_in_that_order(person: Person) -> None:
    uvr = ("models", "MDX_Net_Models", "Mine.onnx")
    places = [
        ("c", "Users", "Ann", "AppData", "Local", "Programs", "Ultimate Vocal Remover", *uvr),
        ("ultimatevocalremovergui", *uvr),
        ("separator", "Mine.onnx"),
        (".local", "share", "run-app", "models", "Mine.onnx"),
    ]
    for place in places:
        path = person.put(*place)
        assert person.find("Mine") == {
            "path": path,
            "words": f"Mine in {Path(path).parent}",
            "steps": 0,
            "heavy": [],
        }
    elsewhere = person.put("data", "run-app", "models", "Mine.onnx")
    assert person.find("Mine", XDG_DATA_HOME=str(person.home / "data"))["path"] == elsewhere


def test_a_file_in_the_current_folder_is_no_answer_to_a_name(person: Person) -> None:
    person.put("Mine.onnx")
    person.put("Mine")

    said = person.error("Mine")

    assert f"no Mine.onnx in {person.home}/.local/share/run-app/models or {person.home}/separator or" in said
    assert f"the hub is only asked for {HQ_3} or UVR-MDX-NET-Voc_FT; put the file into the first" in said


def test_what_another_has_put_into_tmp_is_not_loaded(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.emilia import separators

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = Path(folder, "Mine.onnx")
        file.write_bytes(b"onnx")
        monkeypatch.setenv("AUDIO_SEPARATOR_MODEL_DIR", folder)
        monkeypatch.setenv("XDG_DATA_HOME", str(person.home))
        assert separators.find_separator("Mine", offline=True)[0] == file

        if os.getuid():
            monkeypatch.setattr(os, "getuid", lambda: 54321)
        else:
            os.chown(file, 54321, -1)
        with pytest.raises(UsageError, match=r"no Mine\.onnx in"):
            separators.find_separator("Mine", offline=True)


def test_the_hub_is_asked_once_then_its_cache(person: Person, hub: LocalHub) -> None:
    there = {"HF_ENDPOINT": hub.url, "sha256": sha256(hub)}

    first = person.find(HQ_3, offline=False, **there)
    asked = len(hub.of_repository())
    again = person.find(HQ_3, offline=False, **there)
    offline = person.find(HQ_3, **there)

    assert first["words"] == f"{HQ_3} of {REPOSITORY} (downloaded)"
    assert first["steps"] > 2
    assert again["words"] == offline["words"] == f"{HQ_3} of {REPOSITORY} (hub cache)"
    assert again["path"] == offline["path"] == first["path"]
    assert Path(first["path"]).name == f"{HQ_3}.onnx"
    assert len(hub.of_repository()) == asked


def test_a_file_on_this_machine_is_taken_before_the_hub_is_asked(person: Person, hub: LocalHub) -> None:
    path = person.put(".local", "share", "run-app", "models", f"{HQ_3}.onnx")

    assert person.find(HQ_3, offline=False, HF_ENDPOINT=hub.url)["path"] == path
    assert not hub.requests


def test_offline_asks_no_hub_and_says_where_it_looked(person: Person, hub: LocalHub) -> None:
    said = person.error(HQ_3, HF_ENDPOINT=hub.url)
    variable = person.error(HQ_3, offline=False, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")

    assert f"not in {person.home}/.local/share/run-app/models or " in said
    assert "nor in the hub's cache, and --offline forbids downloading it" in said
    assert "HF_HUB_OFFLINE forbids downloading it" in variable
    assert not hub.requests


def test_a_hubs_file_of_another_content_is_refused(person: Person, hub: LocalHub) -> None:
    said = person.error(HQ_3, offline=False, HF_ENDPOINT=hub.url)

    assert (
        f"sha256 {sha256(hub)[:12]}... is not the published {HQ_3}.onnx's (317554b07fe1...): remove it with rm " in said
    )


def test_a_hub_that_does_not_answer_is_one_line(person: Person) -> None:
    assert "can't be reached" in person.error(HQ_3, offline=False, HF_ENDPOINT="http://127.0.0.1:9")


def settings(model: str, **others: object) -> EmiliaSettings:
    return changed(EmiliaSettings(), {"separation_model": model, **others})


def test_what_a_known_model_takes_and_gives_need_not_be_said() -> None:
    assert figures(settings(f"/m/{HQ_3}.onnx")) == Figures(6144, "instrumental", 1024)
    assert figures(settings("/m/Kim_Vocal_2.onnx")) == Figures(7680, "vocals", 1024)
    assert figures(settings("/m/Kim_Vocal_2.onnx", separation_n_fft=6144)) == Figures(6144, "vocals", 1024)
    assert set(ON_THE_HUB) <= set(KNOWN)


def test_of_an_unknown_model_nothing_is_guessed() -> None:
    own = {"separation_n_fft": 4096, "separation_gives": "vocals", "separation_hop": 512}

    assert figures(settings("/m/mine.onnx", **own)) == Figures(4096, "vocals", 512)
    with pytest.raises(UsageError, match=r"/m/mine\.onnx: .*; set separation_n_fft and separation_gives in --config"):
        figures(settings("/m/mine.onnx"))
    with pytest.raises(UsageError, match="set separation_gives in --config"):
        figures(settings("/m/mine.onnx", separation_n_fft=4096))


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("separation_denoise", 1, "must be true or false"),
        ("separation_n_fft", 100, "must be 0 or at least 256"),
        ("separation_gives", "drums", "must be one of auto, instrumental, vocals"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(key: str, value: object, right: str) -> None:
    with pytest.raises(UsageError, match=right):
        changed(EmiliaSettings(), {key: value})
