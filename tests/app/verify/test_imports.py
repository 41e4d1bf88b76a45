"""Each library imported in an interpreter of its own: sound, or broken by one that is found before it."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.verify import Check
from app.verify.imports import LIBRARIES, look
from tests.app.verify.looking import plant

needs_app = pytest.mark.skipif(find_spec("whisperx") is None, reason="not installed: pip install 'run-app[app]'")


def imported(package: str, environment: dict[str, str], timeout_s: float = 60) -> Check:
    library = next(library for library in LIBRARIES if library.package == package)
    (check,) = look(library, environment, timeout_s)
    assert check.subject == f"import {package}"
    return check


def test_a_library_that_imports_says_what_it_costs() -> None:
    check = imported("ctranslate2", dict(os.environ))

    assert (check.id, check.status) == ("import", "OK")
    seconds, mib = check.facts["seconds"], check.facts["mib"]
    assert isinstance(seconds, float)
    assert isinstance(mib, int)
    assert 0 < seconds < 30
    assert 10 < mib < 200
    assert f"{seconds:.1f} s, {mib} MiB" in check.found


def test_one_that_aborts_is_named_with_its_line(tmp_path: Path) -> None:
    check = imported("ctranslate2", plant(tmp_path, "ctranslate2", "import os\nos.abort()\n"))

    assert (check.id, check.status) == ("import", "FAIL")
    assert "died of SIGABRT" in check.found
    assert "ctranslate2/__init__.py:2" in check.found
    assert "pip install --force-reinstall --no-deps 'ctranslate2==" in check.todo


def test_one_that_ends_the_process(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "import os\nos._exit(7)\n"))

    assert check.status == "FAIL"
    assert "exit code 7" in check.found


def test_one_that_raises(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "raise RuntimeError('no luck\\ntoday')\n"))

    assert check.status == "FAIL"
    assert "RuntimeError: no luck" in check.found
    assert "\n" not in check.found


def test_one_that_lacks_another_is_mended_by_the_extra(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "import no_such_thing\n"))

    assert check.status == "FAIL"
    assert "No module named 'no_such_thing'" in check.found
    assert check.todo == "pip install 'run-app[app]'"


@pytest.mark.slow
def test_one_that_hangs(tmp_path: Path) -> None:
    environment = plant(tmp_path, "gradio", "import time\ntime.sleep(60)\n")
    begin = time.monotonic()

    check = imported("gradio", environment, timeout_s=1.5)

    assert time.monotonic() - begin < 10
    assert check.status == "FAIL"
    assert "did not end within 2 s" in check.found
    assert "gradio/__init__.py:2" in check.found


@pytest.mark.parametrize(("content", "said"), [(b"nonsense" * 100, "invalid ELF header"), (b"", "file too short")])
def test_a_shared_object_that_is_none(content: bytes, said: str, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so.1"
    broken.write_bytes(content)

    check = imported("gradio", plant(tmp_path, "gradio", f"import ctypes\nctypes.CDLL({str(broken)!r})\n"))

    assert (check.id, check.status) == ("library-damaged", "FAIL")
    assert f"{broken} is no library that this machine can load: {said}" in check.found
    assert str(broken) in check.todo


def test_memory_that_was_refused_is_not_blamed_on_a_model(tmp_path: Path) -> None:
    check = imported("gradio", plant(tmp_path, "gradio", "raise MemoryError\n"))

    assert check.status == "FAIL"
    assert "batch-size" not in check.todo
    assert "end what else takes memory" in check.todo


def test_nothing_is_reported_by_what_is_looked_at(tmp_path: Path) -> None:
    code = "import os\nraise RuntimeError(os.environ['GRADIO_ANALYTICS_ENABLED'])\n"
    environment = plant(tmp_path, "gradio", code)
    environment.pop("GRADIO_ANALYTICS_ENABLED", None)

    assert "RuntimeError: False" in imported("gradio", environment).found
    assert "RuntimeError: mine" in imported("gradio", environment | {"GRADIO_ANALYTICS_ENABLED": "mine"}).found


@needs_app
@pytest.mark.slow
def test_torchcodec_without_ffmpeg_is_no_fault(tmp_path: Path) -> None:
    real = "import ctypes\nload = ctypes.CDLL.__init__\n"
    blind = (
        "def blind(self, name, *rest, **more):\n"
        "    if name and ('libtorchcodec_' in str(name) or 'libavutil' in str(name)):\n"
        "        raise OSError('libavutil.so.59: cannot open shared object file: No such file or directory')\n"
        "    load(self, name, *rest, **more)\n"
        "ctypes.CDLL.__init__ = blind\n"
    )
    (tmp_path / "sitecustomize.py").write_text(real + blind)

    check = imported("torchcodec", os.environ | {"PYTHONPATH": str(tmp_path)})

    assert (check.id, check.status) == ("torchcodec-ffmpeg", "SKIP")
    assert "run-app never needs it" in check.found
