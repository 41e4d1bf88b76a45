"""What is tried next when memory or a compute type fails, rung by rung; and what such a failure looks like."""

from __future__ import annotations

import itertools

import pytest

from app.stages.ladder import Rung, Trouble, in_words, ladder, trouble

CPU = {"int8", "int8_float32", "int16", "float32"}
NEW_CARD = {"float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"}
OLD_CARD = {"float32", "int8", "int8_float32"}


def climb(rung: Rung, *failures: Trouble, card: set[str] = NEW_CARD) -> list[str]:
    """Each rung after the first as `device type batch`, the last failure repeated to the bottom."""
    seen: list[str] = []
    possible = {"cpu": CPU, "cuda": card}
    for what in itertools.chain(failures, itertools.repeat(failures[-1])):
        after = ladder(rung, what, possible)
        if after is None:
            return seen
        seen.append(f"{after.device} {after.compute_type} {after.batch_size}")
        rung = after
    return seen


@pytest.mark.parametrize(
    ("rung", "failures", "card", "expected"),
    [
        (
            Rung("cuda", "float16", 8),
            ["card memory"],
            NEW_CARD,
            ["cuda float16 4", "cuda float16 2", "cuda float16 1", "cuda int8_float16 1", "cpu int8 1"],
        ),
        (
            Rung("cuda", "float32", 3),
            ["card memory"],
            NEW_CARD,
            ["cuda float32 1", "cuda float16 1", "cuda int8_float16 1", "cpu int8 1"],
        ),
        (Rung("cuda", "float32", 1), ["card memory"], OLD_CARD, ["cuda int8_float32 1", "cpu int8 1"]),
        (Rung("cuda", "int8", 1), ["card memory"], NEW_CARD, ["cuda int8_float16 1", "cpu int8 1"]),
        (Rung("cuda", "int8_float16", 2), ["card memory"], NEW_CARD, ["cuda int8_float16 1", "cpu int8 1"]),
        (Rung("cpu", "float32", 4), ["host memory"], NEW_CARD, ["cpu float32 2", "cpu float32 1", "cpu int8 1"]),
        (Rung("cpu", "int8", 1), ["host memory"], NEW_CARD, []),
        # The processor has no more host memory than the host.
        (Rung("cuda", "float16", 1), ["host memory"], NEW_CARD, ["cuda int8_float16 1"]),
        # A type that the card can't do is left at once, with the batch as it was.
        (
            Rung("cuda", "int8_float16", 8),
            ["type"],
            NEW_CARD,
            ["cuda float16 8", "cuda float32 8", "cpu int8 8", "cpu float32 8"],
        ),
        (Rung("cuda", "int8", 8), ["type"], OLD_CARD, ["cuda float32 8", "cpu int8 8", "cpu float32 8"]),
        # Neither is tried again what was too big, nor what could not be done.
        (
            Rung("cuda", "float16", 1),
            ["card memory", "type"],
            NEW_CARD,
            ["cuda int8_float16 1", "cuda float32 1", "cpu int8 1", "cpu float32 1"],
        ),
        (
            Rung("cuda", "int8_float16", 2),
            ["type", "card memory"],
            NEW_CARD,
            ["cuda float16 2", "cuda float16 1", "cuda int8_float32 1", "cpu int8 1"],
        ),
    ],
)
def test_ladder(rung: Rung, failures: list[Trouble], card: set[str], expected: list[str]) -> None:
    assert climb(rung, *failures, card=card) == expected


def test_every_ladder_has_an_end() -> None:
    kinds: list[Trouble] = ["card memory", "host memory", "type"]
    for device, types, card in (("cuda", NEW_CARD, NEW_CARD), ("cuda", OLD_CARD, OLD_CARD), ("cpu", CPU, NEW_CARD)):
        for compute_type, failures in itertools.product(sorted(types), itertools.product(kinds, repeat=4)):
            seen = climb(Rung(device, compute_type, 5), *failures, card=card)
            assert len(seen) == len(set(seen)) < 12


class OutOfMemoryError(RuntimeError):
    """As torch's: told by its name, for torch is not imported."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA failed with error out of memory"), "card memory"),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), "card memory"),
        (OutOfMemoryError("Tried to allocate 20.00 MiB."), "card memory"),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED"), "type"),
        (MemoryError(), "host memory"),
        (RuntimeError("std::bad_alloc"), "host memory"),
        (RuntimeError("mkl_malloc: failed to allocate memory"), "host memory"),
        (RuntimeError("CUDA failed with error an illegal memory access was encountered"), None),
        (RuntimeError("Library libcublas.so.12 is not found"), None),
        (ValueError("no"), None),
    ],
)
def test_errors_are_told_by_their_words(error: Exception, expected: str | None) -> None:
    assert trouble(error) == expected


def test_words() -> None:
    assert in_words(Rung("cuda", "float16", 8), Rung("cuda", "float16", 4)) == "batch size 8 -> 4"
    after = in_words(Rung("cuda", "int8_float16", 1), Rung("cpu", "int8", 1))
    assert after == "device cuda -> cpu, compute type int8_float16 -> int8"
