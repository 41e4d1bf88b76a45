"""For which cards a library was compiled: machine code of some compute capabilities, and PTX that the driver compiles
for later ones.
"""

from __future__ import annotations

import importlib.util
import mmap
import re
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Capability = tuple[int, int]

_MAGIC = b"\x50\xed\x55\xba"
"""Begins a bundle of device code: version, size of this header, size of the rest."""
_BUNDLE, _ENTRY, _ARCHITECTURE = "<IHHQ", "<HHIQ", 28
_PTX, _CODE = 1, 2


@dataclass(frozen=True)
class Built:
    """What a library carries. A cubin of sm_90a is for 9.0 alone: `exact`."""

    code: frozenset[Capability]
    ptx: frozenset[Capability]
    exact: frozenset[Capability] = frozenset()

    def runs(self, card: Capability) -> Literal["code", "ptx", ""]:
        """`code`: at once. `ptx`: after the driver has compiled it. Empty: not at all."""
        if card in self.exact or any(major == card[0] and minor <= card[1] for major, minor in self.code):
            return "code"
        return "ptx" if any(one <= card for one in self.ptx) else ""

    def __str__(self) -> str:
        code = ", ".join("{}.{}".format(*one) for one in sorted(self.code | self.exact)) or "no card"
        ptx = ", ".join("{}.{}".format(*one) for one in sorted(self.ptx))
        return f"code for {code}" + (f", PTX of {ptx}" if ptx else ", no PTX")


def from_flags(flags: str) -> Built:
    """From nvcc's names: `sm_86 sm_90a compute_120`."""
    found = re.findall(r"\b(sm|compute)_(\d+)([af]?)", flags)
    code = {_split(number) for kind, number, suffix in found if kind == "sm" and suffix != "a"}
    exact = {_split(number) for kind, number, suffix in found if kind == "sm" and suffix == "a"}
    ptx = {_split(number) for kind, number, suffix in found if kind == "compute" and not suffix}
    return Built(frozenset(code), frozenset(ptx), frozenset(exact))


def _split(number: str | int) -> Capability:
    return divmod(int(number), 10)


def from_library(path: Path) -> Built | None:
    """From the bundles in a shared library, as cuobjdump lists them; None where it carries none. OSError, ValueError
    where it can't be read. It is mapped, not loaded.
    """
    found: set[tuple[int, int]] = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_MAGIC)
        while at >= 0:
            found |= _bundle(content, at)
            at = content.find(_MAGIC, at + 4)
    if not found:
        return None
    code, ptx = ({_split(number) for kind, number in found if kind == one} for one in (_CODE, _PTX))
    return Built(frozenset(code), frozenset(ptx))


def _bundle(content: mmap.mmap, at: int) -> set[tuple[int, int]]:
    """Kind and architecture of each entry; none where the magic number is there by chance."""
    found: set[tuple[int, int]] = set()
    head = struct.calcsize(_BUNDLE)
    if at + head > len(content):
        return found
    _, version, size, rest = struct.unpack_from(_BUNDLE, content, at)
    if version != 1 or size != head:
        return found
    at, end = at + head, min(at + head + rest, len(content))
    while at + _ARCHITECTURE + 4 <= end:
        kind, _, size, rest = struct.unpack_from(_ENTRY, content, at)
        (number,) = struct.unpack_from("<I", content, at + _ARCHITECTURE)
        if kind not in (_PTX, _CODE) or size < _ARCHITECTURE + 4 or not 20 <= number < 1000:
            break
        found.add((kind, number))
        at += size + rest
    return found


@cache
def of_ctranslate2() -> Built | None:
    """What the installed CTranslate2 was compiled for; None where it can't be told. It is not imported."""
    spec = importlib.util.find_spec("ctranslate2")
    if spec is None or not spec.origin:
        return None
    package = Path(spec.origin).parent
    for folder in (package.with_name("ctranslate2.libs"), package):
        for library in sorted(folder.glob("libctranslate2*.so*")):
            try:
                return from_library(library)
            except (OSError, ValueError):
                return None
    return None
