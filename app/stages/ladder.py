"""What to try next, after a card ran out of memory or met a type that it can't do. Knows no library: its errors are
told by their names and words, so that no stage imports torch or CTranslate2 to look at one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Trouble = Literal["card memory", "host memory", "type"]

_TROUBLES: tuple[tuple[str, Trouble], ...] = (
    # What CTranslate2, cuBLAS, torch, ONNX Runtime and oneMKL write; more telling words first.
    ("cublas_status_not_supported", "type"),
    ("cublas_status_arch_mismatch", "type"),
    ("cublas_status_alloc_failed", "card memory"),
    ("cudnn_status_alloc_failed", "card memory"),
    ("out of memory", "card memory"),
    ("std::bad_alloc", "host memory"),
    ("bad allocation", "host memory"),
    ("failed to allocate memory", "host memory"),
    ("can't allocate memory", "host memory"),
    ("cannot allocate memory", "host memory"),
)

_SIZE = {
    "float32": 4,
    "int16": 3,
    "float16": 2,
    "bfloat16": 2,
    "int8": 1,
    "int8_float32": 1,
    "int8_bfloat16": 0,
    "int8_float16": 0,
}
"""Compute types by the memory they take; the halves of `int8_*` are what the rest beside the weights is computed in."""

_SMALLER = {"cuda": ("float16", "int8_float16", "int8_float32"), "cpu": ("int8",)}
"""Types to go down to, the most exact first."""
_OTHER = {"cuda": ("float16", "float32", "int8_float16"), "cpu": ("int8", "float32")}
"""Types to turn to from one that the device can't do, the most widely supported first."""


@dataclass(frozen=True)
class Rung:
    """How a model is run."""

    device: str
    """`cpu` or `cuda`."""
    compute_type: str
    batch_size: int
    failed: frozenset[tuple[str, str]] = frozenset()
    """Devices and types that are no use here: none is tried twice, so the ladder has an end."""


def trouble(error: BaseException) -> Trouble | None:
    """What a smaller model, or another type, could cure; None for any other error."""
    if isinstance(error, MemoryError):
        return "host memory"
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):  # torch's
        return "card memory"
    words = str(error).lower()
    return next((kind for sign, kind in _TROUBLES if sign in words), None)


def ladder(rung: Rung, what: Trouble, possible: Mapping[str, Collection[str]]) -> Rung | None:
    """The next cheaper way: half the batch, a smaller type, the processor; None at the bottom.

    `possible` holds the compute types of each device. A type that the card can't do is left at once, the batch
    as it is. The processor helps a card, but not a host that has no memory left.
    """
    if what != "type" and rung.batch_size > 1:
        return dataclasses.replace(rung, batch_size=rung.batch_size // 2)
    failed = rung.failed | {(rung.device, rung.compute_type)}
    for compute_type in (_OTHER if what == "type" else _SMALLER)[rung.device]:
        smaller = what == "type" or _SIZE[compute_type] < _SIZE.get(rung.compute_type, 4)
        if smaller and compute_type in possible[rung.device] and (rung.device, compute_type) not in failed:
            return dataclasses.replace(rung, compute_type=compute_type, failed=failed)
    if rung.device == "cuda" and what != "host memory":
        compute_type = "int8" if "int8" in possible["cpu"] else "float32"
        return dataclasses.replace(rung, device="cpu", compute_type=compute_type, failed=failed)
    return None


def in_words(before: Rung, after: Rung) -> str:
    """`batch size 8 -> 4`; of several differences, all."""
    pairs = (
        ("device", before.device, after.device),
        ("compute type", before.compute_type, after.compute_type),
        ("batch size", before.batch_size, after.batch_size),
    )
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)
