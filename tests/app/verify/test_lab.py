"""verify on machines with a fault, really planted: it is named. The whole table is printed by scripts/lab."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from ctypes.util import find_library
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.app.verify import faults
from tests.app.verify.faults import GIB, MIB, Fault, Lab, PlantingError, Report, in_words

pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def lab(environment: dict[str, str]) -> Lab:
    return Lab(Path(sys.executable), environment)


def named(report: Report, fault: Fault) -> Mapping[str, Any]:
    """The line that names it, in a report that fails."""
    line = report.naming(fault)
    assert line, "\n".join([f"not named: {fault.name}", *map(in_words, report.having("FAIL", "WARN"))])
    assert report.code == 1
    return line


def test_a_torchcodec_that_does_not_fit_and_the_pin_that_mends_it(lab: Lab, tmp_path: Path) -> None:
    if not version("torch").startswith("2.8.") or not find_library("avutil"):
        pytest.skip("it takes torch 2.8 and FFmpeg's shared libraries")
    where = ("--python", str(lab.python), "--upgrade", "--target", str(tmp_path))
    try:
        faults.install(UV, where, faults.MISFIT)
    except PlantingError as error:
        pytest.skip(str(error))
    fault = faults.misfit({"PYTHONPATH": str(tmp_path)})
    assert lab.last_words(fault).startswith("SIGABRT: terminate called after throwing an instance of 'std::bad_alloc'")

    line = named(lab.verify(fault), fault)

    assert faults.pin(line) == "torchcodec==0.7.*"
    faults.install(UV, where, faults.pin(line))
    mended = lab.verify(fault)
    assert [in_words(check) for check in mended.having("FAIL")] == []
    assert mended.code == 0


@pytest.mark.parametrize("gib", [3, 4, 4.25])
def test_too_little_address_space(gib: float, lab: Lab) -> None:
    fault = faults.address_space(int(gib * GIB))

    assert named(lab.verify(fault), fault)["status"] == "FAIL"


def test_a_small_control_group(lab: Lab) -> None:
    try:
        with faults.control_group(400 * MIB) as fault:
            assert named(lab.verify(fault), fault)["status"] == "FAIL"
    except PlantingError as error:
        pytest.skip(str(error))


def test_a_foreign_library_and_literal_quotes_and_an_empty_model(lab: Lab, tmp_path: Path) -> None:
    several = (
        faults.foreign_library(tmp_path / "foreign"),
        faults.literal_quotes(),
        faults.empty_model(tmp_path / "model"),
    )

    report = lab.verify(faults.together(*several))

    for fault in several:
        named(report, fault)


def test_a_sound_machine(lab: Lab) -> None:
    report = lab.verify()

    assert [in_words(check) for check in report.having("FAIL")] == []
    assert report.code == 0
    assert report.having("OK")
