"""Which segments are kept: Emilia's filter over a whole corpus. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from app.emilia import reasons
from app.emilia.segments import samples
from app.emilia.settings import ALL_LANGUAGES, SAMPLE_RATE, EmiliaSettings

NOT_COUNTED = frozenset(" ,.!?\"'，。！？“”‘’")
"""Characters of a text that are not spoken (Emilia-Pipe, utils/tool.py)."""


@dataclass(frozen=True)
class Candidate:
    """A segment with all that is known of it."""

    source: str
    """Its recording's identifier."""
    start: int
    """In samples of 24 kHz, as the end."""
    end: int
    speaker: str
    text: str
    language: str
    """ISO 639-1 code."""
    probability: float
    """The recogniser's, of the language."""
    dnsmos: float
    """P.835 OVRL."""

    @property
    def samples(self) -> int:
        return self.end - self.start

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE


def verdicts(candidates: Sequence[Candidate], settings: EmiliaSettings) -> list[str | None]:
    """For each segment the first reason to drop it, or None where it is kept.

    The bounds of the speaking rate come last, from the segments that nothing else drops: a wrong language's must not
    move them.
    """
    found = [by_itself(each, settings) for each in candidates]
    groups: dict[str, list[int]] = defaultdict(list)
    for index, (each, reason) in enumerate(zip(candidates, found, strict=True)):
        if reason is None:
            groups[_group(each, settings.rate_over)].append(index)
    for indices in groups.values():
        rates = [seconds_per_character(candidates[index]) for index in indices]
        slowest, fastest = bounds(rates, settings.iqr_factor)
        for index, rate in zip(indices, rates, strict=True):
            if not slowest <= rate <= fastest:
                found[index] = reasons.SPEAKING_RATE
    return found


def by_itself(candidate: Candidate, settings: EmiliaSettings) -> str | None:
    """What speaks against a segment whatever the others are."""
    if settings.languages != ALL_LANGUAGES and candidate.language not in settings.languages:
        return reasons.LANGUAGE
    if not candidate.probability > settings.language_probability_above:
        return reasons.LANGUAGE_UNCERTAIN
    if characters(candidate.text) < max(settings.characters_min, 1):  # without a character there is no rate
        return reasons.TEXT_SHORT
    if not samples(settings.shortest_s) <= candidate.samples <= samples(settings.longest_s):
        return reasons.DURATION
    if not candidate.dnsmos >= settings.dnsmos_min:
        return reasons.DNSMOS
    return None


def seconds_per_character(candidate: Candidate) -> float:
    return candidate.seconds / characters(candidate.text)


def characters(text: str) -> int:
    """How many, without spaces and common punctuation: as the original counts."""
    return sum(each not in NOT_COUNTED for each in text)


def bounds(values: Sequence[float], factor: float) -> tuple[float, float]:
    """[Q1 - factor IQR, Q3 + factor IQR], Tukey's fences; quartiles interpolated linearly, as numpy's."""
    if len(values) < 2:
        return float("-inf"), float("inf")
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    reach = factor * (third - first)
    # Rounding in the interpolation must not drop one of several equal values.
    slack = 1e-9 * max(abs(first), abs(third))
    return first - reach - slack, third + reach + slack


def _group(candidate: Candidate, over: str) -> str:
    return {"language": candidate.language, "file": candidate.source, "corpus": ""}[over]
