"""transcribe on a Ray of its own, and on two nodes of which one has another profile, and is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.cluster.nodes import Nodes, nodes
from tests.app.conftest import persons_environment
from tests.app.sounds import write_wav

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
OPTIONS = ("--model", "tiny.en", "--offline", "-f", "json,txt")
# What nvidia-ml-py says on a node with one card of 48 GB.
CARD = """
class NVMLError(Exception): pass
class Memory: total = 49140 << 20
nvmlInit = lambda: None
nvmlShutdown = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = lambda index: index
nvmlDeviceGetName = lambda handle: "NVIDIA RTX 6000 Ada Generation"
nvmlDeviceGetUUID = lambda handle: "GPU-1aa-bb"
nvmlDeviceGetMemoryInfo = lambda handle: Memory
nvmlDeviceGetCudaComputeCapability = lambda handle: (8, 9)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With eight recordings of 2 to 5 s, and what the local engine makes of them by one thread."""
    folder = tmp_path_factory.mktemp("transcribe")
    waveform = decode(sample()).waveform
    (folder / "in").mkdir()
    for number, begin in enumerate((6, 9, 12, 14, 17, 20, 22, 25)):
        length = 2 + number % 4
        write_wav(folder / "in" / f"talk{number}.wav", waveform[begin * 16_000 : (begin + length) * 16_000])
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    return persons_environment(folder / "home", folder / "state") | {"RAY_AUTH_MODE": "disabled"}


def run_app(environment: dict[str, str], folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "launcher", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def expected(environment: dict[str, str], folder: Path) -> dict[str, bytes]:
    state = {"XDG_STATE_HOME": str(folder / "its own state")}
    words = ("--profile", "cpu", "transcribe", "in", *OPTIONS, "--threads", "1", "-o", "local")
    with run_app(environment | state, folder, *words) as local:
        _, said = local.communicate(timeout=240)
    assert local.returncode == 0, said
    return contents(folder / "local")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def two(environment: dict[str, str], folder: Path) -> Iterator[Nodes]:
    """The head without a card, and a node that thinks it has one."""
    (folder / "modules").mkdir()
    (folder / "modules/pynvml.py").write_text(CARD)
    there = {"num_cpus": 1, "env_vars": {"PYTHONPATH": str(folder / "modules")}}
    with nodes(environment, {"num_cpus": 1}, there) as running:
        yield running


def test_each_node_has_its_own_profile_and_the_outputs_are_the_local_ones(
    environment: dict[str, str], folder: Path, expected: dict[str, bytes], two: Nodes
) -> None:
    words = ("--profile", "auto", "--set", "MINE=a", "transcribe", "in", *OPTIONS, "--device", "cpu")
    more = ("--compute-type", "int8", "--engine", "ray", "--address", two.address, "-o", "out")
    seen: set[tuple[str, str]] = set()
    with run_app(environment, folder, *words, *more) as process:
        while process.poll() is None:
            for each in psutil.process_iter(["cmdline"]):
                if "app.worker" in (each.info["cmdline"] or ()):
                    try:
                        there = each.environ()
                    except psutil.Error:
                        continue
                    if folder.name in there.get("XDG_STATE_HOME", ""):
                        seen.add((there.get("RUN_APP_PROFILE", ""), there.get("MINE", "")))
            time.sleep(0.1)
        assert process.stderr
        said = process.stderr.read()

    assert process.returncode == 0, said
    assert seen == {("cpu", "a"), ("gpu48", "a")}
    (line,) = [line for line in said.splitlines() if "profile gpu48" in line]
    assert "profile cpu" in line
    assert line.count("1 worker of 1 thread") == 2
    assert contents(folder / "out") == expected
    assert "8 of 8 files done, 0 failed" in said


def test_a_killed_node(environment: dict[str, str], folder: Path, expected: dict[str, bytes], two: Nodes) -> None:
    """What its worker had in hand goes to the other, and all that was finished anywhere is kept: the last here, it
    leaves one node.
    """
    state = {"XDG_STATE_HOME": str(folder / "another state")}
    words = ("--profile", "cpu", "transcribe", "in", *OPTIONS, "--engine", "ray", "--address", two.address)
    with run_app(environment | state, folder, *words, "-o", "after") as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("wrote "):
                break
        begin = time.monotonic()
        two.kill(1)
        for line in process.stderr:
            said.append(line)
            if "is lost: " in line:
                took = time.monotonic() - begin

    assert process.returncode == 0, said
    assert sum("is lost: what it had in hand goes to the others" in line for line in said) == 1, said
    assert took < 60
    assert contents(folder / "after") == expected
