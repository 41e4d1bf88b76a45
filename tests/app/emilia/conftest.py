from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """What these tests find of the extra's packages, the program they start finds too."""
    return environment | carriers()


def carriers() -> dict[str, str]:
    spec = importlib.util.find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package speechmos, which carries the DNSMOS model, is not installed: the extra emilia")
    return {"PYTHONPATH": os.pathsep.join([str(Path(next(iter(spec.submodule_search_locations))).parent)])}
