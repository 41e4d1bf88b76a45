from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.app.verify.proving import Values


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """An environment in which nothing is set that verify proves."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home")), "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose libcublas.so.12 can be opened, and whose libextra.so.1 can be preloaded."""
    found = re.search(r" (/\S*/libm[.-]\S*)$", Path("/proc/self/maps").read_text(), re.M)
    if not found:
        pytest.skip("no libm to copy, which any process may load")
    folder = tmp_path_factory.mktemp("lib")
    for name in ("libcublas.so.12", "libextra.so.1"):
        shutil.copy(found[1], folder / name)
    return folder
