"""The dataset's rows, under the names of Emilia's release. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from app.emilia.settings import SAMPLE_RATE
from app.emilia.stats import Fate

FIELDS = ("id", "wav", "text", "duration", "speaker", "language", "dnsmos")
"""Of a row in the tars and in Parquet."""


def rows(fates: Sequence[Fate], files: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """All segments that were judged, in order: of the kept ones a row of the release, of the others why not.

    `files` are, for each recording, the names of its kept segments. An identifier is EN_B00002_S00001_W000029: the
    language, the recording's number, its speaker's, and the speaker's segment's: EN_B00002_S00001 is the speaker.
    """
    for number, (fate, names) in enumerate(zip(fates, files, strict=True)):
        said: Counter[str] = Counter()
        left = iter(names)
        for each, reason in zip(fate.candidates, fate.verdicts, strict=True):
            place = {
                "source": fate.path,
                "start": round(each.start / SAMPLE_RATE, 3),
                "end": round(each.end / SAMPLE_RATE, 3),
            }
            row: dict[str, Any] = {
                "text": each.text,
                "duration": round(each.seconds, 3),
                "speaker": _speaker(each.language, number, each.speaker),
                "language": each.language,
                "dnsmos": each.dnsmos,
            }
            if reason is None:
                identifier = f"{row['speaker']}_W{said[row['speaker']]:06d}"
                said[row["speaker"]] += 1
                row = {"id": identifier, "wav": f"{fate.id}/{next(left)}", **row}
            yield {**row, **place, "language_probability": each.probability, "dropped": reason}


def _speaker(language: str, recording: int, speaker: str) -> str:
    """`SPEAKER_01` of the recording is its S00001."""
    digits = re.sub(r"\D", "", speaker)
    return f"{language.upper()}_B{recording:05d}_S{int(digits or 0):05d}"
