"""run-app inside run-app: under the same profile the outer start has decided; another profile lays its values over."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, Run

Profile = Callable[..., Path]
PRINT_LIST = "import os; print(os.environ['LD_LIBRARY_PATH'])"
INNER = ("--", PYTHON, "-P", "-m", "launcher")
ENVIRON = ("--", "sort", "-z", "/proc/self/environ")
CARD = """
class NVMLError(Exception): pass
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(card): return "NVIDIA GeForce GTX 1080 Ti"
def nvmlDeviceGetUUID(card): return "GPU-aa"
def nvmlDeviceGetMemoryInfo(card): return type("Memory", (), {"total": 11264 << 20})
def nvmlDeviceGetCudaComputeCapability(card): return (6, 1)
"""


@pytest.fixture
def mine(profile: Profile, tmp_path: Path) -> str:
    """A profile that sets two names and a list, and the same again from a file by itself."""
    for name in ("low", "top"):
        (tmp_path / name).mkdir()
    profile(f"X=mine\nY=mine\nLD_LIBRARY_PATH={tmp_path}/low")
    (tmp_path / "one.env").write_text("X=one\n")
    return "mine"


@pytest.fixture
def pascal(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with a card too old for float16."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/pynvml.py").write_text(CARD)
    return {"PYTHONPATH": str(tmp_path / "modules")}


def shown(done: object) -> dict[str, str]:
    """The environment that ENVIRON printed, but for the names that say so little of it."""
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)  # type: ignore[attr-defined]


@pytest.mark.parametrize("again", [(), ("-p", "auto"), ("-p", "gpu")])
def test_what_auto_found_about_the_card_stands(run_app: Run, pascal: dict[str, str], again: tuple[str, ...]) -> None:
    once = run_app(*ENVIRON, env=pascal)
    assert shown(once)["RUN_APP_COMPUTE_TYPE"] == "int8"
    twice = run_app(*INNER, *again, *ENVIRON, env=pascal)
    assert twice.stdout == once.stdout
    assert "replaces" not in twice.stderr


@pytest.mark.parametrize(
    "outer",
    [
        [],
        ["--set", "X=set", "--set", "NEW=set"],
        ["--set", "LD_LIBRARY_PATH=/usr/lib"],
        ["--keep", "X"],
        ["--keep", "LD_LIBRARY_PATH"],
        ["--unset", "X", "--unset", "LD_LIBRARY_PATH"],
        ["--env-file", "one.env"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("again", [(), ("-p", "mine")], ids=["inherited", "named"])
def test_every_word_of_the_outer_start_stands(
    run_app: Run, mine: str, tmp_path: Path, outer: list[str], again: tuple[str, ...]
) -> None:
    env = {"X": "inherited", "LD_LIBRARY_PATH": f"{tmp_path}/top"}
    once = run_app("-p", mine, *outer, *ENVIRON, env=env)
    assert once.returncode == 0, once.stderr
    twice = run_app("-p", mine, *outer, *INNER, *again, *ENVIRON, env=env)
    assert twice.stdout == once.stdout
    # Whatever was said was said by the outer one.
    assert twice.stderr == once.stderr
    thrice = run_app("-p", mine, *outer, *INNER, *again, *INNER, *again, *ENVIRON, env=env)
    assert thrice.stdout == once.stdout


def test_the_inner_starts_own_words_win(run_app: Run, mine: str, tmp_path: Path) -> None:
    outer = ("-p", mine, "--set", "X=set", "--unset", "Y")
    own = ("--env-file", "one.env", "--set", "Y=own", "--set", f"LD_LIBRARY_PATH={tmp_path}/top")
    done = run_app(*outer, *INNER, *own, *ENVIRON)
    there = shown(done)
    assert (there["X"], there["Y"], there["LD_LIBRARY_PATH"]) == ("one", "own", f"{tmp_path}/top:{tmp_path}/low")
    assert {"X", "Y", "LD_LIBRARY_PATH"} <= set(there["RUN_APP_SETTINGS"].split(","))
    assert done.stderr == "run-app: replaces inherited X; --keep NAME lets the inherited one stand\n"
    gone = shown(run_app(*outer, *INNER, "--unset", "X", *ENVIRON))
    assert "X" not in {*gone, *gone["RUN_APP_SETTINGS"].split(",")}
    kept = run_app(*outer, *INNER, "--keep", "X", *ENVIRON)
    assert (shown(kept)["X"], kept.stderr) == ("set", "")


def test_what_was_lost_on_the_way_is_set_again(run_app: Run, mine: str, tmp_path: Path) -> None:
    """A setuid program (sudo, screen) starts without LD_*; another interpreter has other libraries."""
    lost = ("--", "env", "-u", "LD_LIBRARY_PATH", "-u", "X", *INNER[1:])
    there = shown(run_app("-p", mine, *lost, *ENVIRON))
    assert (there["X"], there["LD_LIBRARY_PATH"]) == ("mine", f"{tmp_path}/low")


def test_a_list_grows_by_the_libraries_of_another_interpreter(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    profile("LD_LIBRARY_PATH=${SITE_PACKAGES}/nvidia")
    folders = []
    for name in ("one", "two"):
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", tmp_path / name], check=True)
        (folder,) = tmp_path.glob(f"{name}/lib/python*/site-packages")
        folders.append(str(folder / "nvidia"))
        (folder / "nvidia").mkdir()
    runner = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    inner = ("--", str(tmp_path / "one/bin/python"), "-c", runner, *INNER[1:])
    done = run_app("-p", "mine", *inner, "--", str(tmp_path / "two/bin/python"), "-c", PRINT_LIST)
    assert done.stdout == f"{folders[1]}:{folders[0]}\n"


def test_the_inner_plan_shows_what_the_outer_start_set(run_app: Run, mine: str) -> None:
    done = run_app("-p", mine, "--set", "X=set", *INNER, "--set", "Y=own", "--print=json")
    settings = {setting["name"]: setting for setting in json.loads(done.stdout)["settings"]}
    assert settings["X"] == {"name": "X", "value": "set", "origin": "outer run-app", "replaced": []}
    assert settings["Y"]["replaced"] == [{"origin": "outer run-app", "value": "mine"}]
    says = "run-app: inside profile mine: what the outer start set stands, and your own words are laid over it\n"
    assert (done.stderr, run_app("-p", mine, *INNER, "--print").stderr) == ("", says)


def test_another_profile_says_so_and_its_values_win(run_app: Run, mine: str, profile: Profile) -> None:
    profile("X=other", "other")
    done = run_app("-p", mine, "--set", "NEW=set", *INNER, "-p", "other", *INNER, *ENVIRON)
    there = shown(done)
    assert (there["X"], there["Y"], there["NEW"], there["RUN_APP_PROFILE"]) == ("other", "mine", "set", "other")
    assert {"X", "Y", "NEW"} <= set(there["RUN_APP_SETTINGS"].split(","))
    assert done.stderr == "run-app: inside profile mine, now other; what only mine sets stays\n"


def test_a_profile_that_is_only_exported_is_a_choice_and_no_start(run_app: Run, mine: str) -> None:
    env = {"RUN_APP_PROFILE": mine, "X": "inherited"}
    done = run_app(*ENVIRON, env=env)
    assert (shown(done)["X"], shown(done)["RUN_APP_PROFILE"]) == ("mine", "mine")
    assert done.stderr == "run-app: replaces inherited X; --keep NAME lets the inherited one stand\n"
    done = run_app("-p", "cpu", *ENVIRON, env=env)
    assert (shown(done)["X"], done.stderr) == ("inherited", "")
    done = run_app(*ENVIRON, env={"RUN_APP_PROFILE": "nosuch"})
    assert done.stderr.endswith("; RUN_APP_PROFILE names it\n")


def test_a_path_with_a_comma_is_refused(run_app: Run, tmp_path: Path) -> None:
    """RUN_APP_PROFILE could not be told from two profiles."""
    folder = tmp_path / "a,b"
    folder.mkdir()
    (folder / "x.env").write_text("X=1\n")
    says = f"run-app: {folder}/x.env: a comma parts two profiles, so a path can hold none; --env-file takes it\n"
    for word, cwd in (("./x.env", folder), ("a,b/x.env", tmp_path), (f"{folder}/x.env", tmp_path)):
        done = run_app("-p", word, "--", "true", cwd=cwd)
        assert (done.returncode, done.stderr) == (2, says)
    show = ("--", "sh", "-c", "echo $X")
    assert run_app("-p", "cpu", "--env-file", "a,b/x.env", *INNER, *show).stdout == "1\n"
