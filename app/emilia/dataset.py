"""What tells of the whole dataset: stats.json, segments.jsonl, and the tables that are made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.artefacts import stage_key
from app.display import Display
from app.emilia import reasons
from app.emilia.crew import Crew
from app.emilia.ledger import Ledger
from app.emilia.plan import Plan, Recording
from app.emilia.release import rows
from app.emilia.stats import Fate, statistics
from app.emilia.steps import Item
from app.emilia.steps.tables import Tables
from app.store import write_atomically


class Dataset:
    """Of recordings that have been through all steps, or have failed."""

    def __init__(self, out: Path, plan: Plan, ledger: Ledger, recordings: Sequence[Recording]) -> None:
        self._out, self._plan, self._ledger, self._recordings = out, plan, ledger, recordings

    def publish(self, crew: Crew, display: Display, audio_format: str) -> bool:
        """Write what is not there yet, and say what is kept. Returns whether it is all there."""
        fates = [self._fate(recording) for recording in self._recordings]
        content = statistics(fates)
        stats = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        files = [self._files(recording) for recording in self._recordings]
        segments = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(fates, files))
        key = stage_key("tables", Tables(self._out).shape(), [stats, segments, audio_format])
        if not Tables.are_in_place(key, self._out):
            self._ledger.forget_tries(key)  # no recording's fault: what was in the way may be gone
            self._ledger.reopen(key)
            write_atomically(self._out / "stats.json", stats)
            write_atomically(self._out / "segments.jsonl", segments)
            crew.take("tables", [Item("tables", str(self._out), key)])
        _tell(content, display)
        return Tables.are_in_place(key, self._out)

    def _files(self, recording: Recording) -> list[str]:
        """Names of its kept segments, below OUT/ID."""
        exported = self._ledger.result(recording.keys.get("export", ""))
        return [] if recording.failed or not exported else [name for name in exported["files"] if name]

    def _fate(self, recording: Recording) -> Fate:
        plan, ledger = self._plan, self._ledger
        standard = ledger.result(recording.keys.get("standardise", "")) or {"samples": 0, "notes": []}
        candidates = plan.candidates(recording) if not recording.failed else None
        exported = ledger.result(recording.keys.get("export", ""))
        failed = recording.failed
        if not failed and (candidates is None or exported is None):
            failed = ("export", "not done yet")
        final = list(recording.verdicts)
        if exported and not failed:
            kept = [index for index, reason in enumerate(final) if reason is None]
            for index, name in zip(kept, exported["files"], strict=True):
                if name is None:
                    final[index] = reasons.ENCODE_FAILED
        return Fate(
            recording.source.id,
            recording.source.name,
            standard["samples"],
            failed,
            None if failed else plan.segmentation(recording),
            [] if failed else candidates or [],
            [] if failed else final,
            standard["notes"],
        )


def _tell(content: dict[str, Any], display: Display) -> None:
    seconds, files, segments = content["seconds"], content["files"], content["segments"].get("kept", 0)
    display.say(
        f"kept {seconds['kept']:,.1f} of {seconds['input']:,.1f} s in {segments} segments; "
        f"{files['failed']} of {files['input']} recordings failed"
    )
    for reason, lost in seconds["dropped"].items():
        display.say(f"  {lost:>12,.1f} s: {reasons.WORDS[reason]}")
