from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.emilia import reasons
from app.emilia.filters import Candidate, bounds, verdicts
from app.emilia.segments import samples
from app.emilia.settings import EmiliaSettings

SETTINGS = EmiliaSettings()
GOOD = Candidate("a", 0, samples(5), "SPEAKER_00", "x" * 60, "en", 0.95, 3.4)


def verdict(settings: EmiliaSettings = SETTINGS, **changes: Any) -> str | None:
    return verdicts([dataclasses.replace(GOOD, **changes)], settings)[0]


def test_a_good_segment_is_kept() -> None:
    assert verdict() is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"language": "es"}, reasons.LANGUAGE),
        ({"probability": 0.8}, reasons.LANGUAGE_UNCERTAIN),
        ({"text": " a "}, reasons.TEXT_SHORT),
        ({"text": ""}, reasons.TEXT_SHORT),
        ({"text": "A, ...!"}, reasons.TEXT_SHORT),
        ({"text": "“是。”"}, reasons.TEXT_SHORT),
        ({"end": samples(2.9)}, reasons.DURATION),
        ({"end": samples(30.1)}, reasons.DURATION),
        ({"dnsmos": 2.999}, reasons.DNSMOS),
        ({"dnsmos": float("nan")}, reasons.DNSMOS),
        ({"language": "es", "dnsmos": 1.0}, reasons.LANGUAGE),
    ],
)
def test_each_threshold_drops_with_its_own_reason(changes: dict[str, Any], reason: str) -> None:
    assert verdict(**changes) == reason


def test_the_thresholds_themselves_are_kept() -> None:
    assert verdict(dnsmos=3.0, text="ab", end=samples(3), probability=0.81) is None


def test_all_languages_are_all() -> None:
    assert verdict(dataclasses.replace(SETTINGS, languages=("all",)), language="yi") is None


def spoken(rate: float, language: str = "en", source: str = "a") -> Candidate:
    """So many seconds a character."""
    return dataclasses.replace(GOOD, text="x" * round(5 / rate), language=language, source=source)


def test_a_segment_spoken_far_too_slowly_for_its_text_is_dropped() -> None:
    crowd = [spoken(rate) for rate in (0.06, 0.065, 0.07, 0.075, 0.08)]

    assert verdicts([*crowd, spoken(0.5)], SETTINGS) == [None] * 5 + [reasons.SPEAKING_RATE]


def test_each_language_has_its_own_speaking_rate() -> None:
    crowd = [spoken(rate) for rate in (0.06, 0.062, 0.064, 0.066, 0.068)]
    chinese = [spoken(rate, "zh") for rate in (0.2, 0.21, 0.22, 0.23)]

    assert set(verdicts(crowd + chinese, SETTINGS)) == {None}
    together = verdicts([*crowd * 5, *chinese], dataclasses.replace(SETTINGS, rate_over="corpus"))
    assert together[-4:] == [reasons.SPEAKING_RATE] * 4


def test_the_rate_may_be_judged_within_each_file_as_the_original_does() -> None:
    crowd = [spoken(rate) for rate in (0.06, 0.062, 0.064, 0.066, 0.068)]
    other = [spoken(0.5, source="b")]

    assert verdicts(crowd + other, SETTINGS)[-1] == reasons.SPEAKING_RATE
    assert verdicts(crowd + other, dataclasses.replace(SETTINGS, rate_over="file"))[-1] is None


def test_what_is_dropped_anyway_does_not_move_the_bounds() -> None:
    crowd = [spoken(rate) for rate in (0.06, 0.065, 0.07, 0.075, 0.08)]
    noisy = [dataclasses.replace(spoken(0.5), dnsmos=1.0)] * 20

    assert verdicts([*noisy, *crowd, spoken(0.5)], SETTINGS)[-1] == reasons.SPEAKING_RATE


@given(st.lists(st.floats(0.01, 10), min_size=2))
def test_the_bounds_are_tukeys_with_numpys_quartiles(values: list[float]) -> None:
    first, third = np.percentile(values, [25, 75])

    low, high = bounds(values, 1.5)

    assert low == pytest.approx(first - 1.5 * (third - first), abs=1e-6)
    assert high == pytest.approx(third + 1.5 * (third - first), abs=1e-6)


@given(st.integers(2, 40), st.floats(0.01, 10))
def test_equal_rates_are_all_kept(number: int, value: float) -> None:
    low, high = bounds([value] * number, 0.0)

    assert low <= value <= high
