"""What came in, what is kept, and why the rest is not: in samples, so that the sums are exact. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.emilia import reasons
from app.emilia.filters import Candidate
from app.emilia.segments import Segmentation
from app.emilia.settings import SAMPLE_RATE


@dataclass(frozen=True)
class Fate:
    """What became of one recording."""

    id: str
    path: str
    samples: int
    """Of the standardised recording; 0 where it could not be decoded."""
    failed: tuple[str, str] | None
    """Step and reason."""
    cut: Segmentation | None
    candidates: Sequence[Candidate]
    verdicts: Sequence[str | None]
    """For each candidate; encoding included."""
    notes: Sequence[str] = ()

    @property
    def kept(self) -> list[Candidate]:
        return [each for each, reason in zip(self.candidates, self.verdicts, strict=True) if reason is None]


def dropped(fate: Fate) -> Counter[str]:
    """Samples by reason; together with the kept ones they are the recording."""
    if fate.failed or fate.cut is None:
        return Counter({reasons.FILE_FAILED: fate.samples})
    found: Counter[str] = Counter()
    for stretch in fate.cut.dropped:
        found[stretch.reason] += stretch.samples
    for each, reason in zip(fate.candidates, fate.verdicts, strict=True):
        if reason is not None:
            found[reason] += each.samples
    found[reasons.NO_SPEECH] = fate.samples - found.total() - sum(each.samples for each in fate.kept)
    return found


def statistics(fates: Sequence[Fate]) -> dict[str, Any]:
    """The content of stats.json."""
    by_reason: Counter[str] = Counter()
    segments: Counter[str] = Counter()
    languages: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for fate in fates:
        by_reason.update(dropped(fate))  # += would hide a negative one
        if fate.failed:
            continue
        segments.update(reason or "kept" for reason in fate.verdicts)
        for each in fate.kept:
            languages[each.language].update(segments=1, samples=each.samples)
    total, kept = sum(fate.samples for fate in fates), sum(each.samples for fate in fates for each in fate.kept)
    lost = {reason: by_reason[reason] for reason in reasons.WORDS if by_reason[reason]}
    assert kept + sum(lost.values()) == total, "a sample is counted twice, or not at all"
    return {
        "files": {
            "input": len(fates),
            "with_segments": sum(1 for fate in fates if fate.kept),
            "without_segments": sum(1 for fate in fates if not fate.kept and not fate.failed),
            "failed": sum(1 for fate in fates if fate.failed),
        },
        "sample_rate": SAMPLE_RATE,
        "samples": {"input": total, "kept": kept, "dropped": lost},
        "seconds": {
            "input": round(total / SAMPLE_RATE, 3),
            "kept": round(kept / SAMPLE_RATE, 3),
            "dropped": {reason: round(samples / SAMPLE_RATE, 3) for reason, samples in lost.items()},
        },
        "segments": {name: segments[name] for name in ("kept", *reasons.WORDS) if segments[name]},
        "languages": {
            code: {"segments": counts["segments"], "seconds": round(counts["samples"] / SAMPLE_RATE, 3)}
            for code, counts in sorted(languages.items())
        },
        "failed": [
            {"path": fate.path, "step": fate.failed[0], "reason": fate.failed[1]} for fate in fates if fate.failed
        ],
        "no_segments": {fate.path: _foremost(fate) for fate in fates if not fate.failed and not fate.kept},
        "notes": {fate.path: list(fate.notes) for fate in fates if fate.notes},
    }


def _foremost(fate: Fate) -> str:
    """The reason that took most of a recording without a segment."""
    found = dropped(fate)
    return max(found, key=lambda reason: found[reason]) if found.total() else reasons.NO_SPEECH
