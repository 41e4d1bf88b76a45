"""Variables that torch is asked about: importing it takes seconds."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from app.verify import Check, Seen
from app.verify.proofs import Asked, Reading, allocator, openmp, read
from app.verify.variables import TORCHES, tasks
from tests.app.verify.proving import Values, named, verified


def by_torch(environment: Values, *names: str) -> dict[str, Check]:
    """What is said of these for processes that are started with `environment`."""
    seen = Seen(environment, {}, names, ("test",))
    return {check.subject.partition("=")[0]: check for task in tasks(seen) for check in task.run()}


@pytest.fixture(scope="module")
def torch_alone(plain: Values) -> Reading:
    """What torch takes where nothing is set."""
    if not importlib.util.find_spec("torch"):
        pytest.skip("torch is not installed")
    return read("pytorch", plain, "2")


@pytest.mark.slow
def test_what_torch_took_at_exec(plain: Values, torch_alone: Reading) -> None:
    string = "expandable_segments:True,max_split_size_mb:512,garbage_collection_threshold:0.8"
    given = {"OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": string}
    checks = verified(plain | given | named(given))
    assert {check.status for check in checks.values()} == {"OK"}, checks
    assert "torch.get_num_threads() 2" in checks["OMP_NUM_THREADS"].found
    torch: Any = checks["PYTORCH_CUDA_ALLOC_CONF"].facts["torch"]
    assert not torch["initialised"]
    assert torch["settings"]["max_split_size"] == 512 << 20
    assert torch["settings"]["expandable_segments"] is True
    # And without: other figures, and no tick.
    assert torch["settings"] != torch_alone.said["settings"]
    assert torch_alone.said["threads"] == 1
    for name, value in given.items():
        asked = Asked(TORCHES[name], name, value, Seen(plain, {}, (name,), ("test",)))
        run = openmp.threads if name == "OMP_NUM_THREADS" else allocator.settings
        assert run(asked, torch_alone).status == "FAIL"


@pytest.mark.slow
def test_what_torch_was_told_too_late(plain: Values) -> None:
    late = {"OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    checks = verified(plain | named(late), late=late)
    assert {(check.id, check.status) for check in checks.values()} == {("set-too-late", "WARN")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "string", ["foo:1", "expandable_segments:true", "'expandable_segments:True'", '"max_split_size_mb:512"']
)
def test_a_string_that_torch_refuses_at_the_first_use_of_a_card(
    string: str, plain: Values, torch_alone: Reading
) -> None:
    """No profile set it: it may come from ~/.bashrc."""
    assert torch_alone.said
    checks = verified(plain | {"PYTORCH_CUDA_ALLOC_CONF": string})
    check = checks["PYTORCH_CUDA_ALLOC_CONF"]
    assert check.status == "FAIL"
    assert "refuses it, at the first use of a card" in check.found


@pytest.mark.slow
def test_the_other_backend_and_the_other_name(plain: Values, torch_alone: Reading) -> None:
    environment = plain | {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}
    check = by_torch(environment, "PYTORCH_CUDA_ALLOC_CONF")["PYTORCH_CUDA_ALLOC_CONF"]
    assert check.status == "OK"
    assert "backend cudaMallocAsync" in check.found
    major, minor = map(int, torch_alone.said["version"].split(".")[:2])
    if (major, minor) < (2, 9):
        environment = plain | {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
        check = by_torch(environment, "PYTORCH_ALLOC_CONF")["PYTORCH_ALLOC_CONF"]
        assert check.status == "FAIL"
        assert "PYTORCH_CUDA_ALLOC_CONF" in check.todo


def test_where_torch_can_not_be_asked_nothing_is_ticked(plain: Values) -> None:
    name = "PYTORCH_CUDA_ALLOC_CONF"
    seen = Seen(plain | {name: "expandable_segments:True"}, {}, (name,), ("test",))
    asked = Asked(TORCHES[name], name, "expandable_segments:True", seen)
    check = allocator.settings(asked, Reading({}, "torch is not installed", False, ""))
    assert check.status == "SKIP"
    assert check.found == "present, effect not observable here: torch is not installed"
