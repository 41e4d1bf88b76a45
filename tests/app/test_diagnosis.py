"""What is said of deaths and errors by the words they left. Real ones are in test_deaths.py."""

from __future__ import annotations

import dataclasses

import pytest

from app.diagnosis import explain, explain_error, installed_versions, misfit
from app.surroundings import Limit, Surroundings

GIB = 2**30


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
