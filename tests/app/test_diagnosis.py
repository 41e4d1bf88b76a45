"""Real deaths under real limits, and what is said of them."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.diagnosis import Death, explain, explain_error, installed_versions, misfit
from app.surroundings import Limit, Surroundings, read_surroundings
from tests.app.sounds import tiny_en

GIB = 2**30

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


def surroundings(**given: object) -> Surroundings:
    """A machine of 16 GiB without limits, but for what is given."""
    plain = Surroundings(
        limits=(),
        group_limit=None,
        group_kills=0,
        machine_kills=0,
        total=16 * GIB,
        available=9 * GIB,
        swap=4 * GIB,
        strict=False,
        shm_free=8 * GIB,
        wsl=False,
    )
    return dataclasses.replace(plain, **given)  # type: ignore[arg-type]


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


# What torchcodec 0.9.1 beside torch 2.8.0 left behind.
MISFIT = """\
terminate called after throwing an instance of 'std::bad_alloc'
  what():  std::bad_alloc
Fatal Python error: Aborted

Current thread 0x00007fcf8affcb80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 376 in __init__
  File "/venv/lib/python3.11/site-packages/torch/_ops.py", line 1478 in load_library
  File "/venv/lib/python3.11/site-packages/torchcodec/_core/ops.py", line 57 in load_torchcodec_shared_libraries
  File "/venv/lib/python3.11/site-packages/torchcodec/_core/ops.py", line 104 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "<string>", line 1 in <module>

Extension modules: numpy._core._multiarray_umath, torch._C (total: 21)
"""
PAIR = {"torch": "2.8.0+cu128", "torchcodec": "0.9.1"}


def test_a_misfit_is_named_even_under_a_limit() -> None:
    around = surroundings(limits=(Limit("address space", "-v", 64 * GIB, False),))

    death = explain(-6, MISFIT, 486 * 2**20, around, around, versions=PAIR)

    assert death.line == (
        "the worker died of SIGABRT at 486 MiB, at torch/_ops.py:1478 in load_library: std::bad_alloc in import of "
        "torchcodec 0.9.1 beside torch 2.8.0+cu128, which do not fit: torch 2.8 takes torchcodec 0.6-0.7; "
        "remedy: pip install 'torchcodec==0.7.*'"
    )
    assert not death.memory  # less at a time would not help


def test_a_pair_that_fits_is_not_blamed() -> None:
    plain = surroundings()

    death = explain(-6, MISFIT, 0, plain, plain, versions={"torch": "2.8.0", "torchcodec": "0.7.0"})

    limited = surroundings(limits=(Limit("address space", "-v", 64 * GIB, False),))
    assert explain(-6, MISFIT, 0, limited, limited, versions={}).cause == (
        "std::bad_alloc: the address space is limited to 64 GiB (ulimit -v)"  # enough for torch
    )
    assert "torchcodec" not in death.cause
    assert "(20 GiB with swap)" in death.cause
    assert death.memory


def test_a_misfit_that_python_could_catch() -> None:
    log = "RuntimeError: Could not load libtorchcodec. Likely causes:\n" + "FFmpeg version 4:\n" * 20
    log += "OSError: libavutil.so.56: cannot open shared object file\n[end of libtorchcodec loading traceback].\n"

    death = explain(1, log, 0, surroundings(), surroundings(), versions={"torch": "2.8.0", "torchcodec": "0.10.0"})

    assert death.cause.startswith("failed import of torchcodec 0.10.0 beside torch 2.8.0, which do not fit: ")
    assert death.remedy == "pip install 'torchcodec==0.7.*'"


def test_what_a_library_threw() -> None:
    log = "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no such device\n"

    death = explain(-6, log, 0, surroundings(), surroundings())

    assert death.cause == "a library called abort(); the last line it left: std::runtime_error: no such device"


@pytest.mark.parametrize(
    ("torch", "codec", "remedy"),
    [
        ("2.8.0", "0.6.1", None),
        ("2.8.0", "0.5", "pip install 'torchcodec==0.7.*'"),
        ("2.9.1", "0.7.0", "pip install 'torchcodec==0.9.*'"),
        ("2.9.1", "0.9.1+cu126", None),
        ("2.10.0", "0.9.1", "pip install 'torchcodec==0.10.*'"),
        ("2.13.0", "0.10.0", "pip install 'torchcodec>=0.11'"),
        ("2.13.0", "0.13.0", None),
        ("2.5.0", "0.9.1", None),  # older than what is known
        ("", "0.9.1", None),
        ("2.8.0", "", None),
    ],
)
def test_which_pairs_fit(torch: str, codec: str, remedy: str | None) -> None:
    found = misfit({name: version for name, version in (("torch", torch), ("torchcodec", codec)) if version})

    assert (found and found.remedy) == remedy


def test_this_install_is_a_pair_that_fits() -> None:
    assert set(installed_versions()) == {"torch", "torchcodec"}
    assert misfit(installed_versions()) is None


@pytest.mark.parametrize(
    ("before", "group_kills", "machine_kills", "cause", "memory"),
    [
        (
            {"wsl": True, "swap": 0},
            1,
            1,
            "the kernel's out-of-memory killer ended it (WSL has 16 GiB of memory, 0 MiB of swap)",
            True,
        ),
        (
            {},
            1,
            1,
            "the kernel's out-of-memory killer ended it (9 GiB of 16 GiB were free before, swap 4 GiB)",
            True,
        ),
        # Docker writes a limit above what there is; it bounds nothing.
        ({"group_limit": 64 * GIB}, 1, 1, "the kernel's out-of-memory killer ended it (9 GiB of", True),
        ({}, 0, 1, "killed by SIGKILL from outside, no out-of-memory kill was counted", False),
        ({"group_kills": None}, None, 1, "the kernel's out-of-memory killer ended it (9 ", True),
        ({"group_kills": None}, None, 0, "killed by SIGKILL from outside", False),
        (
            {"group_kills": None, "machine_kills": None},
            None,
            None,
            "most often that is the kernel, out of memory",
            True,
        ),
    ],
)
def test_who_sent_sigkill(
    before: dict[str, object], group_kills: int | None, machine_kills: int | None, cause: str, memory: bool
) -> None:
    first = surroundings(**before)
    then = dataclasses.replace(first, group_kills=group_kills, machine_kills=machine_kills)

    death = explain(-9, "MemoryError", 900 * 2**20, first, then)

    assert death.what == "the worker died of SIGKILL at 900 MiB"
    assert death.cause.startswith(cause)
    assert death.memory == memory
    assert ("wsl --shutdown" in str(death.remedy)) == first.wsl


def test_a_full_shared_memory_and_a_missing_instruction() -> None:
    plain = surroundings()
    log = "Fatal Python error: Illegal instruction\n\nThread 0x00007f0000000001 (most recent call first):\n"
    log += '  File "/usr/lib/python3.11/threading.py", line 324 in wait\n\n'
    log += "Thread 0x00007f0000000002 (most recent call first):\n"
    log += '  File "/venv/lib/python3.11/site-packages/faster_whisper/transcribe.py", line 1400 in encode\n\n'
    log += "Thread 0x00007f0000000003 (most recent call first):\n"
    log += '  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 300 in wait\n'
    log += '  File "/home/ann/run-app/app/stages/asr.py", line 145 in _decoded\n'

    full = explain(-7, "", 0, plain, dataclasses.replace(plain, shm_free=4096))
    unknown = explain(-4, log, 0, plain, plain)

    assert (full.cause, full.remedy) == ("/dev/shm is full", "make room in /dev/shm (docker run --shm-size)")
    assert unknown.where == "faster_whisper/transcribe.py:1400 in encode"
    assert unknown.remedy == "run-app --set CT2_FORCE_CPU_ISA=GENERIC"
    assert explain(-35, "", 0, plain, plain).what == "the worker died of signal 35 at 0 MiB"


LIMITED = surroundings(limits=(Limit("address space", "-v", 5 * GIB, False),))


@pytest.mark.parametrize(
    ("reason", "around", "remedy"),
    [
        ("ImportError: libcublasLt.so.12: failed to map segment from shared object", LIMITED, "ulimit -v unlimited"),
        ("MemoryError", LIMITED, "ulimit -v unlimited"),
        ("RuntimeError: std::bad_alloc", LIMITED, "ulimit -v unlimited"),
        ("RuntimeError: mkl_malloc: failed to allocate memory", LIMITED, "ulimit -v unlimited"),
        ("libgomp: Thread creation failed: Resource temporarily unavailable", LIMITED, "ulimit -v unlimited"),
        ("libgomp: Thread creation failed: Resource temporarily unavailable", surroundings(), "fewer --threads"),
        ("MemoryError: batch_size (32) is probably too large.", LIMITED, "ulimit -v unlimited"),
        ("MemoryError: batch_size (32) is probably too large.", surroundings(), "a smaller --batch-size"),
        ("_ArrayMemoryError: Unable to allocate 9.16 MiB for an array", surroundings(strict=True), "sysctl vm.over"),
        ("ImportError: x.so: failed to map segment from shared object", surroundings(), "install it anew"),
        ("OSError: [Errno 28] No space left on device: 'a.srt'", LIMITED, "make room: df -h"),
        # A card's memory is no matter of limits.
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB", LIMITED, "a smaller --batch-size"),
        ("RuntimeError: CUDA failed with error out of memory", LIMITED, "a smaller --batch-size"),
        ("RuntimeError: cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED", LIMITED, "--compute-type float16"),
        ("OSError: /x/torchcodec/libtorchcodec_core5.so: undefined symbol: _ZNK3c10", LIMITED, "pip install 'torchco"),
        ("RuntimeError: Could not load libtorchcodec. Likely causes:", LIMITED, "pip install 'torchcodec==0.7.*'"),
        ("RuntimeError: Library libcublas.so.12 is not found or cannot be loaded", LIMITED, "pip install 'run-app[asr"),
        ("ValueError: invalid language", LIMITED, None),
    ],
)
def test_an_error_has_a_remedy(reason: str, around: Surroundings, remedy: str | None) -> None:
    told = explain_error(reason, around, versions=PAIR)

    assert told == remedy if told is None or remedy is None else told.startswith(remedy)


def test_a_torchcodec_that_fits_lacks_ffmpeg() -> None:
    told = explain_error("RuntimeError: Could not load libtorchcodec. Likely causes:", surroundings(), versions={})

    assert told == "install FFmpeg's shared libraries (apt install ffmpeg)"


def test_surroundings_of_this_machine() -> None:
    here = read_surroundings()

    assert here.total == psutil.virtual_memory().total
    assert 0 < here.available <= here.total
    assert here.group_limit is None or here.group_limit < 2**62  # version 1 has a number for none


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_cgroup_of_version_2_and_what_is_above_it(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/user.slice/run.scope/leaf\n",
        "proc/vmstat": "nr_free_pages 1\noom_kill 7\n",
        "proc/sys/vm/overcommit_memory": "2\n",
        "sys/fs/cgroup/memory.max": "4294967296\n",
        "sys/fs/cgroup/user.slice/memory.max": "2147483648\n",
        "sys/fs/cgroup/user.slice/memory.events": "low 0\noom 9\noom_kill 9\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.events": "low 0\noom 3\noom_kill 5\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/memory.events.local": "low 0\noom 2\noom_kill 2\noom_group_kill 0\n",
        "sys/fs/cgroup/user.slice/run.scope/leaf/cgroup.procs": "",
    }

    read = read_surroundings(tree(tmp_path, files))

    # The tightest above counts as a limit; the kills are those of the nearest that counts, not of our neighbours.
    assert (read.group_limit, read.group_kills, read.machine_kills, read.strict) == (2 * GIB, 2, 7, True)


def test_a_container_that_is_told_its_hosts_path(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu:/docker/ab\n3:memory:/docker/ab\n0::/../../other\n",
        "sys/other/memory.max": "4096\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
        "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
    }

    read = read_surroundings(tree(tmp_path, files))

    assert (read.group_limit, read.group_kills) == (GIB, 5)


def test_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    read = read_surroundings(tmp_path)

    assert (read.group_limit, read.group_kills, read.machine_kills, read.shm_free) == (None, None, None, None)
    assert not read.strict
