"""Real deaths under real limits, and what is said of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.diagnosis import Death, installed_versions
from tests.app.sounds import tiny_en

# A front as ours: it stands under the limits itself, sees its worker die, and says why.
FRONT = """
import dataclasses, json, subprocess, sys, tempfile, time
import psutil
from app.diagnosis import explain
from app.surroundings import read_surroundings

before = read_surroundings()
words = [sys.executable, "-X", "faulthandler", "-c", sys.argv[1], *sys.argv[2:]]
with tempfile.TemporaryFile("w+") as log:
    worker = subprocess.Popen(words, stdout=log, stderr=log)
    seen, rss = psutil.Process(worker.pid), 0
    while worker.poll() is None:
        rss = seen.memory_info().rss or rss
        time.sleep(0.01)
    log.seek(0)
    death = explain(worker.returncode, log.read(), rss, before, read_surroundings())
print(json.dumps(dataclasses.asdict(death)))
"""
# Under a cgroup's limit the kernel may choose any of the group: let it be the worker.
EAT = """
open("/proc/self/oom_score_adj", "w").write("1000")
held = []
while True:
    held.append(bytearray(b"x" * 4_000_000))
"""
TRANSCRIBE = """
import sys
from faster_whisper import WhisperModel
WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=2)
"""


def death_of(script: str, *arguments: str, after: str = ":") -> Death:
    """Let a worker run `script` under a front which a shell starts after that command."""
    front = [sys.executable, "-P", "-c", FRONT, script, *arguments]
    done = subprocess.run(
        ["bash", "-c", f"{after} && exec {shlex.join(front)}"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return Death(**json.loads(done.stdout))


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of our own, below the one we are in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        top = Path("/sys/fs/cgroup", "memory" if controllers == "memory" else "", path.lstrip("/"))
        folder = top / f"run-app-test-{os.getpid()}"
        if controllers not in ("", "memory"):
            continue
        try:
            folder.mkdir()
        except OSError:
            continue
        if any((folder / name).exists() for name in ("memory.max", "memory.limit_in_bytes")):
            yield folder
            # Who is killed leaves the group a moment later.
            subprocess.run(["timeout", "5", "bash", "-c", f"until rmdir {folder}; do sleep .05; done"], check=True)
            return
        folder.rmdir()
    pytest.skip("no control group with a memory limit can be made here")


@pytest.mark.parametrize("limit", ["-v 3145728", "-v 4194304", "-S -v 4300800"])
def test_torch_under_a_limit_of_the_address_space(limit: str) -> None:
    """A library that can't be mapped, std::bad_alloc in C++, OpenBLAS's own exit: by these limits or near them."""
    death = death_of("import torch", after=f"ulimit {limit}")

    size = int(limit.split()[-1]) / 2**20
    assert f": the address space is limited to {round(size, 2):g} GiB (ulimit -v)" in death.cause
    assert death.remedy is not None
    assert death.remedy.startswith("ulimit -v unlimited")
    # A soft limit alone can be lifted by anybody.
    assert ("where it is set" in death.remedy) == ("-S" not in limit)
    assert death.memory
    if "SIGABRT" in death.what:
        assert death.cause.startswith("std::bad_alloc: ")
        assert death.cause.endswith(", and importing torch alone needs about 4.3 GiB")
        assert death.where is not None
        assert death.where.startswith("torch/__init__.py:")
        assert death.where.endswith(" in <module>")


def test_torch_under_a_limit_of_the_data_segment() -> None:
    death = death_of("import torch", after="ulimit -d 600000")

    assert death.cause.endswith(": the data segment is limited to 586 MiB (ulimit -d)")
    assert death.memory


# C++'s own operator new: it throws where nobody catches, as in any library.
NEW = "import ctypes\ndef ask():\n    ctypes.CDLL('libstdc++.so.6')._Znwm(ctypes.c_size_t(1 << 45))\nask()"


def test_memory_refused_in_cplusplus() -> None:
    limited = death_of(NEW, after="ulimit -v 2097152 -d 1048576")
    free = death_of(NEW)

    assert limited.what.startswith("the worker died of SIGABRT at ")
    assert limited.where == "<string>:3 in ask"
    assert limited.cause == (
        "std::bad_alloc: the address space is limited to 2 GiB (ulimit -v) "
        "and the data segment is limited to 1 GiB (ulimit -d)"
    )
    assert str(limited.remedy).startswith("ulimit -v unlimited -d unlimited")
    assert free.cause.startswith("std::bad_alloc, though nothing is limited: ")
    assert limited.memory
    assert free.memory


@pytest.mark.parametrize(
    ("kib", "symptom"),
    [
        (200_000, "Memory allocation still failed"),  # numpy's OpenBLAS ends the process
        (310_000, "failed to map segment from shared object"),  # CTranslate2's library
        (614_400, "mkl_malloc: failed to allocate memory"),  # its weights
    ],
)
def test_ctranslate2_under_a_limit_of_the_address_space(kib: int, symptom: str) -> None:
    death = death_of(TRANSCRIBE, str(tiny_en()), after=f"ulimit -v {kib}")

    assert death.cause == f"{symptom}: the address space is limited to {kib / 1024:.0f} MiB (ulimit -v)"
    assert death.memory


def test_a_cgroup_whose_memory_runs_out(group: Path) -> None:
    limit = next(path for name in ("memory.max", "memory.limit_in_bytes") if (path := group / name).exists())
    limit.write_text(str(128 * 2**20))

    death = death_of(EAT, after=f"echo $$ > {group}/cgroup.procs")

    assert death.what.startswith("the worker died of SIGKILL at ")
    assert 50 < int(death.what.split()[-2]) <= 128
    assert death.cause == "the kernel's out-of-memory killer ended it (the cgroup's limit is 128 MiB)"
    assert death.remedy is not None
    assert "docker run --memory" in death.remedy
    assert death.memory


def test_a_kill_by_hand_is_not_the_kernels(group: Path) -> None:
    death = death_of("import os; os.kill(os.getpid(), 9)", after=f"echo $$ > {group}/cgroup.procs")

    assert death.what.startswith("the worker died of SIGKILL at ")
    assert death.cause == "killed by SIGKILL from outside, no out-of-memory kill was counted"
    assert not death.memory


def test_a_stage_that_calls_abort() -> None:
    stage = "import os\ndef run():\n    print('free(): invalid pointer', flush=True)\n    os.abort()\nrun()"

    death = death_of(stage)

    assert death.what.startswith("the worker died of SIGABRT at ")
    assert death.where == "<string>:4 in run"
    assert death.cause == "a library called abort(); the last line it left: free(): invalid pointer"
    assert not death.memory


def test_an_abort_without_a_word() -> None:
    assert death_of("import os; os.abort()").cause == "a library called abort()"


def test_a_library_that_touches_what_is_not_there() -> None:
    death = death_of("import ctypes\ndef look():\n    ctypes.string_at(0)\nlook()")

    # ctypes' own line would say nothing of who called it.
    assert death.where == "<string>:3 in look"
    assert death.cause == "a library touched memory that isn't there"


def test_a_mapped_file_that_shrinks(tmp_path: Path) -> None:
    script = "import mmap, os, sys\nfile = open(sys.argv[1], 'w+b')\nfile.truncate(65536)\n"
    script += "view = mmap.mmap(file.fileno(), 0)\nfile.truncate(0)\nview[40000]"

    death = death_of(script, str(tmp_path / "mapped"))

    assert death.what.startswith("the worker died of SIGBUS")
    assert death.where == "<string>:6 in <module>"
    assert "a file shrank" in death.cause


def test_a_signal_from_outside_is_not_blamed_on_what_was_printed_before() -> None:
    death = death_of("import os; print('MemoryError', flush=True); os.kill(os.getpid(), 15)")

    assert death.cause == "ended from outside"
    assert not death.memory


def test_an_exit_code_comes_with_the_last_line() -> None:
    death = death_of("import no_such_module")

    assert death.line == "the worker ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.7.0", "0.9.1", "0.10.0"])
def test_a_torchcodec_beside_torch_2_8(version: str, tmp_path: Path) -> None:
    if installed_versions()["torch"].rpartition(".")[0] != "2.8":
        pytest.skip("these pairs are of torch 2.8")
    uv = Path(sys.executable).with_name("uv")
    wheel = f"torchcodec=={version}"
    subprocess.run([uv, "pip", "install", "--target", tmp_path, "--no-deps", wheel], check=True, capture_output=True)

    death = death_of("import torchcodec", after=f"export PYTHONPATH={shlex.quote(str(tmp_path))}")

    if version == "0.7.0":
        assert death.what == "the worker ended with exit code 0"
        return
    assert death.remedy == "pip install 'torchcodec==0.7.*'"
    assert (
        f"torchcodec {version} beside torch 2.8.0, which do not fit: torch 2.8 takes torchcodec 0.6-0.7" in death.line
    )
    if version == "0.9.1":
        assert death.cause.startswith("std::bad_alloc in import of ")
        assert death.where == "torch/_ops.py:1478 in load_library"
