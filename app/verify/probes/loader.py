"""What the loader finds here: `loader.py libcublas.so.12 ...` opens each by its plain name, as CTranslate2 does.
Without a name: what is in this process from its start.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

RTLD_DI_SERINFO, RTLD_DI_SERINFOSIZE = 4, 5


class Path1(ctypes.Structure):
    """Dl_serpath: a folder that is searched, and which list it is from."""

    _fields_ = [("name", ctypes.c_char_p), ("flags", ctypes.c_uint)]


class Head(ctypes.Structure):
    """The beginning of Dl_serinfo."""

    _fields_ = [("size", ctypes.c_size_t), ("count", ctypes.c_uint)]


def searched() -> list[str] | None:
    """The folders that dlopen looks through from this program, in their order; None where libc won't tell."""
    libc = ctypes.CDLL(None)
    try:
        dlinfo = libc.dlinfo
    except AttributeError:
        return None
    handle, head = ctypes.c_void_p(libc._handle), Head()
    if dlinfo(handle, RTLD_DI_SERINFOSIZE, ctypes.byref(head)):
        return None
    room = ctypes.create_string_buffer(head.size)
    Head.from_buffer(room).size, Head.from_buffer(room).count = head.size, head.count
    if dlinfo(handle, RTLD_DI_SERINFO, room):
        return None
    rows = (Path1 * head.count).from_buffer(room, ctypes.sizeof(Head))
    return [row.name.decode(errors="surrogateescape") for row in rows]


def mapped() -> list[str]:
    """Files in this process's memory, each once, by name: their places in it are drawn by chance."""
    lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
    files = (line.split(maxsplit=5)[5] for line in lines if line.count("/"))
    return sorted({file for file in files if file.startswith("/")})


def main() -> None:
    """Open them all."""
    opened = {}
    for name in sys.argv[1:]:
        before = set(mapped())
        try:
            ctypes.CDLL(name)
        except OSError as error:
            opened[name] = {"error": str(error)}
        else:
            # The name is often a link: what is mapped is the file behind it.
            files = [file for file in mapped() if Path(file).name.startswith(name)]
            opened[name] = {"file": files[0] if files else next(iter(set(mapped()) - before), "")}
    said = {"opened": opened, "searched": searched()}
    print(json.dumps(said if opened else {**said, "mapped": mapped()}))


if __name__ == "__main__":
    main()
