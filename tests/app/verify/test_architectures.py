"""For which cards CTranslate2 and torch were compiled, and CUDA's cache of what is compiled at first use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.verify import architectures
from app.verify.cards import judge_torch
from launcher.hardware import Card
from tests.app.verify.looking import the
from tests.app.verify.test_cards import judged
from tests.launcher.test_auto_profile import ADA_48, BLACKWELL_96, H200, PASCAL

# As torch 2.8 for CUDA 12.8 has it.
TORCH_2_8 = "sm_70 sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"


@pytest.mark.parametrize(
    ("card", "forbidden", "status", "said"),
    [
        (BLACKWELL_96, "", "OK", "the card is 12.0: compiled from PTX at first use"),
        (BLACKWELL_96, "0", "OK", "the card is 12.0: compiled from PTX at first use"),
        (BLACKWELL_96, "1", "FAIL", "CUDA_DISABLE_PTX_JIT forbids"),
        (H200, "1", "FAIL", "CUDA_DISABLE_PTX_JIT forbids"),
        (ADA_48, "1", "WARN", "which other libraries may suffer from"),
        (ADA_48, "", "OK", "the card is 8.9"),
        ("Tesla K80,11441,3.7", "", "FAIL", "the card is 3.7"),
    ],
)
def test_what_ctranslate2_was_compiled_for(card: str, forbidden: str, status: str, said: str) -> None:
    """Read from the installed library itself: 4.8 carries code for 5.3 to 8.6 and PTX of 8.6."""
    check = the(judged(card, CUDA_DISABLE_PTX_JIT=forbidden), "ctranslate2-architectures")

    assert check.status == status
    assert said in check.found
    assert "8.0, 8.6, PTX of 8.6" in check.found


def test_the_compute_cache_of_a_card_that_code_is_compiled_for(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "code").write_bytes(bytes(3 * 2**20))
    given: dict[str, Any] = {"CUDA_CACHE_PATH": str(kept), "CUDA_CACHE_MAXSIZE": "4294967296"}
    found = judged(BLACKWELL_96, **given)
    assert the(found, "compute-cache").found == f"{kept} can be written, and holds 3 MiB"
    assert the(found, "compute-cache-size").status == "SKIP"

    for changed, id, said in (
        ({"CUDA_CACHE_PATH": "/proc/sys/cache"}, "compute-cache", "can't be written"),
        ({"CUDA_CACHE_DISABLE": "1"}, "compute-cache", "switched off"),
        ({"CUDA_CACHE_MAXSIZE": "1000000"}, "compute-cache-size", "1 MiB: what does not fit"),
        ({"CUDA_CACHE_MAXSIZE": "4GB"}, "compute-cache-size", "is no number"),
        ({"CUDA_CACHE_MAXSIZE": ""}, "compute-cache-size", "not set"),
    ):
        check = the(judged(BLACKWELL_96, **given | changed), id)
        assert check.status == "WARN"
        assert said in check.found

    # On a card that its code is for, nothing is compiled.
    ids = {check.id for check in judged(ADA_48)}
    assert "ctranslate2-architectures" in ids
    assert ids.isdisjoint({"compute-cache", "compute-cache-size"})


@pytest.mark.parametrize(
    ("flags", "card", "environment", "status", "said"),
    [
        (TORCH_2_8, BLACKWELL_96, {}, "OK", "the card is 12.0"),
        (TORCH_2_8, H200, {}, "OK", "the card is 9.0"),
        (TORCH_2_8, ADA_48, {}, "OK", "the card is 8.9"),
        (TORCH_2_8, PASCAL, {}, "FAIL", "no PTX; the card is 6.1"),
        ("sm_80 sm_86 sm_90", BLACKWELL_96, {}, "FAIL", "no PTX; the card is 12.0"),
        ("sm_80 sm_90 compute_90", BLACKWELL_96, {}, "OK", "compiled from PTX at first use"),
        ("sm_80 sm_90 compute_90", BLACKWELL_96, {"CUDA_DISABLE_PTX_JIT": "1"}, "FAIL", "which CUDA_DISABLE_PTX_JIT"),
        ("sm_80 compute_120", H200, {}, "FAIL", "the card is 9.0"),
        ("sm_86", "NVIDIA A100,81920,8.0", {}, "FAIL", "the card is 8.0"),
        ("sm_80 sm_90a", H200, {}, "OK", "the card is 9.0"),
        ("sm_80 sm_100a", "NVIDIA B300,270000,10.3", {}, "FAIL", "the card is 10.3"),
        ("", ADA_48, {}, "FAIL", "built without CUDA"),
    ],
)
def test_torch_s_architectures(flags: str, card: str, environment: dict[str, str], status: str, said: str) -> None:
    check = judge_torch("2.8.0", flags, Card(f"0,{card},GPU-0"), environment)

    assert check.status == status
    assert said in check.found
    assert bool(check.todo) == (status == "FAIL")


def test_a_library_without_code_for_any_card(tmp_path: Path) -> None:
    """A magic number by chance is none."""
    file = tmp_path / "library.so"
    file.write_bytes(b"\x7fELF" + b"\x50\xed\x55\xba" * 40)
    assert architectures.from_library(file) is None
