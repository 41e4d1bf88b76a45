"""Each proof three times in real processes: with the variable at exec, without it, and set too late from Python."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.verify import Check
from app.verify.proofs import read
from app.verify.variables import PROOFS, TORCHES
from tests.app.verify.proving import TOKEN, Values, named, need, proof, verified

ENV = Path(__file__).resolve().parents[3] / "env"
# What a machine without a card can show; the paths come with the fixture below.
VALUES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    # Two, because glibc splits them in the very memory that /proc/self/environ shows.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=3:glibc.malloc.tcache_max=99",
    "LD_LIBRARY_PATH": "",
    "LD_PRELOAD": "",
    "GOMP_SPINCOUNT": "100000",
    "PYANNOTE_METRICS_ENABLED": "0",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": "/nowhere/hub",
    "HF_TOKEN": TOKEN,
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RUN_APP_DEVICE": "cpu",
    "RUN_APP_MODEL": "tiny.en",
    "RUN_APP_COMPUTE_TYPE": "int8",
    "RUN_APP_BATCH_SIZE": "7",
    "RUN_APP_RESIDENT": "True",
}
AT_EXEC = ("MALLOC_", "GLIBC_", "LD_", "PYTHON")
"""Who reads these will never see what comes later."""

each = pytest.mark.parametrize("name", VALUES)


@pytest.fixture(scope="module")
def values(libraries: Path) -> Values:
    return VALUES | {"LD_LIBRARY_PATH": str(libraries), "LD_PRELOAD": str(libraries / "libextra.so.1")}


@pytest.fixture(scope="module")
def with_all(plain: Values, values: Values) -> dict[str, Check]:
    """What is said of each where all are there at exec."""
    return verified(plain | values | named(values))


@pytest.fixture(scope="module")
def with_all_late(plain: Values, values: Values) -> dict[str, Check]:
    """What is said of each where Python set them, after the start, and the profile meant to."""
    return verified(plain | named(values), late=values)


@each
def test_one_that_was_there_at_exec_is_effective(name: str, with_all: dict[str, Check]) -> None:
    need(name)
    check = with_all[name]
    assert check.status == "OK", check
    assert "; without it " in check.found
    assert check.facts["with"] != check.facts["without"]


@each
def test_the_same_proof_without_it_shows_no_effect(
    name: str, plain: Values, values: Values, with_all: dict[str, Check]
) -> None:
    """The proof is asked as if the variable were there, and the processes it looks at are started without it."""
    need(name)
    check = proof(name, values[name], plain)
    assert check.status in ("FAIL", "SKIP"), check
    if check.status == "SKIP":
        assert check.found.startswith("present, effect not observable here: ")
    assert check.facts["with"] == check.facts["without"]
    assert check.facts["with"] != with_all[name].facts["with"]


@each
def test_one_that_is_set_after_the_start_is_not_effective(name: str, with_all_late: dict[str, Check]) -> None:
    check = with_all_late[name]
    assert check.id == "set-too-late"
    assert check.status == ("FAIL" if name.startswith(AT_EXEC) else "WARN")
    assert "set after the start, at which there was none" in check.found
    assert "run-app --set" in check.todo


def test_one_that_the_profile_set_and_that_was_lost_before_exec_fails(plain: Values) -> None:
    check = verified(plain | named({"MALLOC_ARENA_MAX": "1"}))["MALLOC_ARENA_MAX"]
    assert (check.status, check.id) == ("FAIL", "lost-at-exec")


def test_one_that_is_changed_after_the_start_counts_as_late(plain: Values) -> None:
    at_exec = {"MALLOC_ARENA_MAX": "4", "OMP_WAIT_POLICY": "PASSIVE"}
    checks = verified(plain | at_exec | named(at_exec), late={"MALLOC_ARENA_MAX": "1", "OMP_WAIT_POLICY": "ACTIVE"})
    assert checks["MALLOC_ARENA_MAX"].status == "FAIL"
    assert "at which it was 4" in checks["MALLOC_ARENA_MAX"].found
    assert checks["OMP_WAIT_POLICY"].status == "WARN"


def test_late_ones_are_found_that_no_profile_named(plain: Values) -> None:
    """As the document's setup_cuda_env.py sets them."""
    checks = verified(plain, late={"MALLOC_ARENA_MAX": "4", "MALLOC_TRIM_THRESHOLD_": "100000"})
    assert {name: checks[name].status for name in ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_")} == {
        "MALLOC_ARENA_MAX": "FAIL",
        "MALLOC_TRIM_THRESHOLD_": "FAIL",
    }
    assert checks["profile"].status == "SKIP"


@pytest.mark.parametrize("value", ["glibc.malloc.tcache_count=3:glibc.none=1:glibc.malloc.tcache_max=99", "x::", ""])
def test_glibcs_own_variable_is_read_in_one_piece(value: str, plain: Values) -> None:
    """Its parts are split in the very memory that /proc/self/environ shows."""
    tell = "import json; from app.commands.verify import read; seen = read(); print(json.dumps([*map(dict, %s)]))"
    words = [sys.executable, "-P", "-c", tell % "(seen.environment, seen.late)"]
    environment = plain | {"GLIBC_TUNABLES": value, "LAST": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [environment, {}]


# What the shipped profiles hold.


def test_every_name_of_every_shipped_profile_has_a_proof_or_a_reason() -> None:
    names = {name for file in ENV.glob("*.env") for name in re.findall(r"^(\w+)=", file.read_text(), re.M)}
    assert len(names) > 15
    assert names <= {*PROOFS, *TORCHES}


def test_what_cannot_be_seen_is_never_ticked(plain: Values) -> None:
    never = {"CUDA_CACHE_MAXSIZE": "4294967296", "CT2_CUDA_ALLOCATOR": "cub_caching", "RUN_APP_SPLIT_MB": "512"}
    without_card = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0", "CUDA_MODULE_LOADING": "LAZY"}
    if read("driver", plain).said.get("cards"):
        without_card = {}
    given = never | without_card | {"NOBODY_KNOWS_IT": "1"}
    checks = verified(plain | given | named(given))
    assert checks.keys() == given.keys()
    for check in checks.values():
        assert check.status == "SKIP"
        assert check.found.startswith("present, effect not observable here: ")


def test_a_value_that_is_the_default_anyhow_is_not_ticked(plain: Values) -> None:
    heaps = 8 * len(os.sched_getaffinity(0))
    given = {"RUN_APP_BATCH_SIZE": "8", "TOKENIZERS_PARALLELISM": "true", "MALLOC_ARENA_MAX": str(heaps)}
    if heaps > 500 or not importlib.util.find_spec("tokenizers"):
        pytest.skip("too many cores, or no tokenizers")
    for check in verified(plain | given | named(given)).values():
        assert check.status == "SKIP", check
        assert "and so it " in check.found
