"""What malloc does here: `glibc.py arenas 1`, `glibc.py mmap 33554432`, `glibc.py trim 268435456 131072`."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

MOST_THREADS = 516
MMAPPED = 2
"""A bit of the word before a block, where glibc keeps its size: the block has an mmap of its own."""
M_MMAP_MAX = -4
TRIES = 4
STEP = 64 * 2**10


class Mallinfo(ctypes.Structure):
    """What mallinfo2 gives; all but the first are for the last one's place."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


libc = ctypes.CDLL(None)
libc.malloc.restype = libc.open_memstream.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


class UntoldError(Exception):
    """It can't be seen here, and why."""


def arenas(most: int) -> dict[str, object]:
    """How many there are once more threads than `most` have allocated while all of them lived."""
    count = min(max(most, 0), MOST_THREADS - 16) + 16
    together = threading.Barrier(count + 1)
    threading.stack_size(256 * 2**10)

    def allocate() -> None:
        libc.free(libc.malloc(5000))
        together.wait(30)

    for _ in range(count):
        threading.Thread(target=allocate, daemon=True).start()
    together.wait(30)
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    return {"arenas": (text.value or b"").count(b"<heap nr="), "threads": count}


def mmap(threshold: int) -> dict[str, object]:
    """Whether a block just under the threshold, and one just above it, have an mmap of their own."""
    margin = min(1024, threshold // 2)
    return {"below": _is_mmapped(threshold - margin), "above": _is_mmapped(threshold + 1024), "margin": margin}


def _is_mmapped(size: int) -> bool:
    """Whether this size has one as soon as free blocks and the heap's top can't serve it."""
    room = _info().keepcost + (4 * 2**20 if size < STEP else 0)
    return any(_mmapped(_allocate(size)) for _ in range(room // max(size, 32) + 2))


def trim(threshold: int, pad: int) -> dict[str, object]:
    """Whether a free top of the heap stays: one under the threshold, and one above it. Where the first is too small to
    tell, None. `frozen`: the threshold of mmap doesn't grow after a freed block of 1 MiB, as it does by default.
    """
    first = _allocate(2**20)
    was = _mmapped(first)
    libc.free(first)
    frozen = _mmapped(_allocate(2**20)) if was else None
    libc.mallopt(M_MMAP_MAX, 0)  # from here on every block comes from the heap
    below = (threshold if threshold >= 0 else 64 * 2**20) - pad - STEP
    above = max(threshold, pad) + 4 * STEP
    return {
        "below": _stays(below) if below >= 2 * pad else None,
        "above": _stays(above) if threshold >= 0 else None,
        "frozen": frozen,
        "below_size": below + pad,
        "above_size": above + pad,
    }


def _stays(size: int) -> bool:
    """Whether the heap is as large after a block of this size was freed at its top."""
    for _ in range(TRIES):
        block = _allocate(size)
        before = _info().arena
        libc.free(block)
        after = _info()
        if after.arena < before - size // 2:
            return False
        if after.keepcost >= size:
            return True
        # Something of Python's own lies above the block, so nothing could be given back: again.
    raise UntoldError("the heap's top is never free in this interpreter")


def _allocate(size: int) -> int:
    block: int | None = libc.malloc(size)
    if not block:
        raise UntoldError(f"malloc refused a block of {size:,} bytes")
    return block


def _mmapped(block: int) -> bool:
    return bool(ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value & MMAPPED)


def _info() -> Mallinfo:
    libc.mallinfo2.restype = Mallinfo
    info: Mallinfo = libc.mallinfo2()
    return info


def _library() -> str:
    """The file whose malloc this process uses."""
    address = ctypes.cast(libc.malloc, ctypes.c_void_p).value or 0
    for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
        first, _, last = line.split(" ", 1)[0].partition("-")
        if int(first, 16) <= address < int(last, 16):
            return line.split(maxsplit=5)[-1]
    return "?"


def main() -> None:
    """Read what is asked for."""
    library = _library()
    what, *numbers = sys.argv[1:]
    try:
        if not Path(library).name.startswith(("libc.so", "libc-2.")) or not hasattr(libc, "malloc_info"):
            said: dict[str, object] = {"fault": f"malloc is that of {library}, not glibc's", "other": library}
        elif what != "arenas" and not hasattr(libc, "mallinfo2"):
            said = {"fault": "glibc is older than 2.33 and has no mallinfo2"}
        else:
            readers: dict[str, Callable[..., dict[str, object]]] = {"arenas": arenas, "mmap": mmap, "trim": trim}
            said = readers[what](*map(int, numbers))
    except (UntoldError, RuntimeError) as error:  # RuntimeError: no thread can be started, or some never came
        said = {"fault": str(error) or "its threads did not all start within 30 s"}
    print(json.dumps(said), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
