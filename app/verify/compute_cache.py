"""CUDA's compute cache: code that the driver compiled from PTX, kept for the next start."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from app.surroundings import in_words
from app.verify import Check, Seen, Status, architectures, disks
from app.verify.needs import GIB

MOST = 4 * GIB
"""The driver takes no larger CUDA_CACHE_MAXSIZE."""
LITTLE = GIB


def checks(seen: Seen, capability: architectures.Capability) -> list[Check]:
    """For the card that the app would take: whether CTranslate2's code is compiled for it, and kept."""
    environment = seen.environment
    built = architectures.of_ctranslate2()
    way = built.runs(capability) if built and capability != (0, 0) else ""
    found = []
    if built:
        found.append(_code(built, way, capability, environment))
    compiled = way == "ptx"
    if compiled or _on(environment, "CUDA_CACHE_DISABLE"):
        found.append(_kept(environment, compiled))
    if compiled and not _on(environment, "CUDA_CACHE_DISABLE"):
        found.append(_size(environment))
    return found


def _on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "0") not in ("", "0")


def _code(
    built: architectures.Built, way: str, capability: architectures.Capability, environment: Mapping[str, str]
) -> Check:
    id, subject = "ctranslate2-architectures", "ctranslate2"
    said = f"carries {built}; the card is " + "{}.{}".format(*capability)
    if capability == (0, 0):
        return Check(id, subject, "SKIP", f"carries {built}; the card's compute capability is not told")
    if not way:
        return Check(id, subject, "FAIL", said, "run-app --set RUN_APP_DEVICE=cpu")
    if not _on(environment, "CUDA_DISABLE_PTX_JIT"):
        return Check(id, subject, "OK", said + (": compiled from PTX at first use" if way == "ptx" else ""))
    if way == "ptx":
        said += ": CUDA_DISABLE_PTX_JIT forbids to compile the PTX, and nothing else runs on it"
        return Check(id, subject, "FAIL", said, "run-app --unset CUDA_DISABLE_PTX_JIT")
    said += "; CUDA_DISABLE_PTX_JIT is set, which other libraries may suffer from"
    return Check(id, subject, "WARN", said, "run-app --unset CUDA_DISABLE_PTX_JIT")


def folder_of(environment: Mapping[str, str]) -> Path:
    """Where the driver keeps it."""
    return Path(environment.get("CUDA_CACHE_PATH") or Path("~/.nv/ComputeCache").expanduser())


def _kept(environment: Mapping[str, str], compiled: bool) -> Check:
    id, folder = "compute-cache", folder_of(environment)
    if _on(environment, "CUDA_CACHE_DISABLE"):
        said = "switched off (CUDA_CACHE_DISABLE)"
        said += ": CTranslate2 is compiled for this card at every start" if compiled else ""
        status: Status = "WARN" if compiled else "OK"
        return Check(id, "compute cache", status, said, "run-app --unset CUDA_CACHE_DISABLE" if compiled else "")
    if reason := disks.refused(disks.nearest(folder)):
        said = f"{folder} can't be written ({reason}): CTranslate2 is compiled for this card at every start"
        return Check(id, "compute cache", "WARN", said, "run-app --set CUDA_CACHE_PATH=/a/folder/of/yours")
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if os.access(folder, os.R_OK) else 0
    said = f"{folder} can be written, and holds {in_words(held)}"
    return Check(id, "compute cache", "OK", said, "", {"folder": str(folder), "held": held})


def _size(environment: Mapping[str, str]) -> Check:
    id, value = "compute-cache-size", environment.get("CUDA_CACHE_MAXSIZE", "")
    subject, todo = f"CUDA_CACHE_MAXSIZE={value}", f"run-app --set CUDA_CACHE_MAXSIZE={MOST}"
    if not value:
        said = "not set: the driver's own is 256 MiB to 1 GiB by its version, and what does not fit is compiled anew"
        return Check(id, "CUDA_CACHE_MAXSIZE", "WARN", said, todo)
    if not re.fullmatch("[0-9]{1,18}", value):
        return Check(id, subject, "WARN", "is no number of bytes", todo)
    if int(value) < LITTLE:
        return Check(id, subject, "WARN", f"{in_words(int(value))}: what does not fit is compiled anew", todo)
    return Check(id, subject, "SKIP", "present, effect not observable here: the driver tells no limit of its cache")
