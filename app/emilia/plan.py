"""Which result each recording needs of each step, under which key, and what of it is there. No model, no sound."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.artefacts import stage_key
from app.emilia.filters import Candidate
from app.emilia.ledger import Ledger
from app.emilia.segments import Segment, Segmentation, segment
from app.emilia.settings import SAMPLE_RATE, SETTINGS, EmiliaSettings
from app.emilia.sources import Source
from app.emilia.steps import STEPS, Item
from app.emilia.steps.export import Export

CUT_VERSION = FILTER_VERSION = 1
"""Go up when the same turns would give other segments, or the same segments other verdicts."""
CUT = "overlaps unbroken longest_turn_s shortest_s longest_s merge_below_s merge_gap_s merge_span_s".split()
FILTER = (
    "languages language_probability_above dnsmos_min characters_min iqr_factor rate_over shortest_s longest_s".split()
)
"""The settings that shape what has no model."""

FOLLOWS = {
    "standardise": STEPS[1:],
    "separate": STEPS[2:],
    "diarize": ("asr", "score", "export"),
    "vad": ("asr", "score", "export"),
    "cut": ("asr", "score", "export"),
    "asr": ("export",),
    "score": ("export",),
    "filter": ("export",),
    "export": (),
}
"""What is made from each step's result."""

Shapes = Mapping[str, Any]
"""By step, all that shapes it."""


@dataclass
class Recording:
    """A source under way."""

    source: Source
    content: str
    """Key of its content; empty where it could not be read."""
    size: int
    """Bytes."""
    failed: tuple[str, str] | None = None
    """The step it has failed at, and why: nothing more is done for it."""
    quarantined: bool = False
    """It had failed before this run began."""
    keys: dict[str, str] = field(default_factory=dict)
    """Of the steps that are done or can be done now."""
    verdicts: list[str | None] = field(default_factory=list)
    """For each of its segments, once the corpus is filtered."""
    cut: tuple[tuple[str, str], Segmentation] | None = None
    """What was made of the turns and the speech under these keys."""


def shapes_of_the_pure(settings: EmiliaSettings) -> dict[str, Any]:
    """Of the steps without a model."""
    return {
        "cut": {"version": CUT_VERSION, **{name: getattr(settings, name) for name in CUT}},
        "filter": {"version": FILTER_VERSION, **{name: getattr(settings, name) for name in FILTER}},
    }


def redone(before: Shapes, now: Shapes) -> tuple[list[str], list[str]]:
    """What shapes the steps otherwise than before, `dnsmos_min: 3.0, now 3.2`, and the steps to be done again."""
    differ: dict[str, None] = {}
    steps: set[str] = set()
    before, as_now = (
        json.loads(json.dumps(each)) for each in (before, now)
    )  # tuples are lists once they are read back
    for step in FOLLOWS:
        old, new = before.get(step) or {}, as_now.get(step) or {}
        for name in [*new, *(name for name in old if name not in new)]:
            if old.get(name) != new.get(name):
                # A setting is known by its name; a version or a model is some step's.
                whose = "" if name in SETTINGS else f"{step} "
                differ[f"{whose}{name}: {_short(old.get(name))}, now {_short(new.get(name))}"] = None
                steps |= {step, *FOLLOWS[step]}
    return list(differ), [step for step in STEPS if step in steps and as_now.get(step)]


def _short(value: Any) -> str:
    text = "none" if value in (None, "") else json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else f"{text[:37]}..."


class Plan:
    """Knows the keys; asks the ledger."""

    def __init__(self, ledger: Ledger, shapes: Shapes, settings: EmiliaSettings) -> None:
        self._ledger, self._shapes, self._settings = ledger, shapes, settings
        self._sound = "separate" if shapes.get("separate") else "standardise"
        """The step whose sound the later ones hear."""

    @property
    def steps(self) -> list[str]:
        return [step for step in STEPS if self._shapes.get(step)]

    def item(self, step: str, recording: Recording) -> Item | None:
        """The task for this recording, done or not; None where what comes before is not done."""
        made: Callable[[Recording], tuple[list[str], Any] | None] = {
            "standardise": lambda recording: ([recording.content], None),
            "separate": lambda recording: self._after(recording, "standardise"),
            "diarize": lambda recording: self._after(recording, self._sound),
            "vad": lambda recording: self._after(recording, self._sound),
            "asr": self._for_asr,
            "score": self._for_score,
            "export": self._for_export,
        }[step]
        found = made(recording)
        if found is None or not recording.content:
            return None
        parents, given = found
        key = stage_key(step, self._shapes[step], parents)
        recording.keys[step] = key
        heard = "standardise" if step == "separate" else self._sound
        audio = "" if step == "standardise" else str(self._ledger.audio(recording.keys[heard]))
        seconds = self.duration(recording) / SAMPLE_RATE if audio else 0.0
        return Item(recording.source.id, str(recording.source.path), key, audio, given, seconds, recording.size)

    def is_done(self, step: str, item: Item, out: Path) -> bool:
        """A result whose sound or files somebody has removed is not."""
        if not self._ledger.is_done(item.key):
            return False
        there = True
        if step in ("standardise", "separate"):
            there = self._ledger.audio(item.key).exists()
        elif step == "export":
            result = self._ledger.result(item.key)
            there = result is not None and Export.is_in_place(item, out, result["files"])
        if not there:
            self._ledger.reopen(item.key)
        return there

    def duration(self, recording: Recording) -> int:
        """Samples of the standardised recording; 0 where it is not known."""
        key = recording.keys.get("standardise")
        data = self._ledger.result(key) if key else None
        return data["samples"] if data else 0

    def segmentation(self, recording: Recording) -> Segmentation | None:
        """None where diarization or VAD is not done."""
        keys = recording.keys.get("diarize", ""), recording.keys.get("vad", "")
        if recording.cut and recording.cut[0] == keys:
            return recording.cut[1]
        turns, speech = (self._ledger.result(key) for key in keys)
        if turns is None or speech is None:
            return None
        found = segment(
            [Segment(*turn) for turn in turns["turns"]],
            [(start, end) for start, end in turns["overlaps"]],
            [(start, end) for start, end in speech["speech"]],
            self.duration(recording),
            self._settings,
        )
        recording.cut = keys, found
        return found

    def candidates(self, recording: Recording) -> list[Candidate] | None:
        """Its segments with all that is known of them; None where that is not done."""
        cut = self.segmentation(recording)
        said, scores = (self._ledger.result(recording.keys.get(step, "")) for step in ("asr", "score"))
        if cut is None or said is None or scores is None:
            return None
        return [
            Candidate(
                recording.source.id,
                each.start,
                each.end,
                each.speaker,
                words["text"],
                words["language"],
                words["probability"],
                score,
            )
            for each, words, score in zip(cut.segments, said, scores, strict=True)
        ]

    def kept(self, recording: Recording) -> list[Candidate]:
        """Those that the filter keeps; `verdicts` are set by then."""
        every = self.candidates(recording) or []
        return [each for each, reason in zip(every, recording.verdicts, strict=True) if reason is None]

    def _after(self, recording: Recording, step: str) -> tuple[list[str], Any] | None:
        key = recording.keys.get(step)
        return ([key], None) if key and self._ledger.is_done(key) else None

    def _cut(self, recording: Recording) -> tuple[list[str], list[list[int]]] | None:
        """The sound, and the segments: where a changed setting leaves those as they were, nothing is done again."""
        cut = self.segmentation(recording)
        if cut is None:
            return None
        segments = [[each.start, each.end] for each in cut.segments]
        return [recording.keys[self._sound], json.dumps(segments)], segments

    def _for_asr(self, recording: Recording) -> tuple[list[str], Any] | None:
        if (found := self._cut(recording)) is None:
            return None
        parents, segments = found
        speech = self._ledger.result(recording.keys["vad"])["speech"]
        return [*parents, recording.keys["vad"]], {"segments": segments, "speech": speech}

    def _for_score(self, recording: Recording) -> tuple[list[str], Any] | None:
        return self._cut(recording)

    def _for_export(self, recording: Recording) -> tuple[list[str], Any] | None:
        if self.candidates(recording) is None:
            return None
        names = "start end speaker text language dnsmos".split()
        given = [{name: getattr(each, name) for name in names} for each in self.kept(recording)]
        return [recording.source.id, recording.keys[self._sound], json.dumps(given)], given
