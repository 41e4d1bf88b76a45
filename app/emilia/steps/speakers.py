"""Who speaks when, and where speech is: the stages of transcribe, in this pipeline's times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.audio import decode
from app.emilia.segments import samples
from app.emilia.steps import Item, Light, Share
from app.models.speakers import Diarizer
from app.stages import Span, Turn, Work
from app.stages.diarize import Diarize, Speakers
from app.stages.make import DIARIZE_BATCH
from app.stages.vad import SileroOnnx


class DiarizeStep:
    """Gives {"turns": [[start, end, speaker], ...], "overlaps": [[start, end], ...]} in samples of 24 kHz."""

    name = "diarize"

    def __init__(self, diarizer: Diarizer, device: str, threads: int) -> None:
        self._stage = Diarize(diarizer, device, threads, DIARIZE_BATCH, Speakers())

    def shape(self) -> Mapping[str, object]:
        return self._stage.shape()

    def load(self) -> str:
        return self._stage.load()

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        found = self._stage.diarization(_work(item), lambda done, total: share(done / total if total else 1.0))
        return {
            "turns": [[samples(turn.start), samples(turn.end), turn.speaker] for turn in found.exclusive],
            "overlaps": [[samples(start), samples(end)] for start, end in overlaps(found.every)],
        }

    def step_down(self, error: Exception) -> str | None:
        return self._stage.step_down(error)

    def release(self) -> None:
        self._stage.release()


class VadStep(Light):
    """Gives {"speech": [[start, end], ...]} in samples of 24 kHz."""

    name = "vad"

    def __init__(self) -> None:
        self._stage = SileroOnnx()

    def shape(self) -> Mapping[str, object]:
        return self._stage.shape()

    def load(self) -> str:
        return self._stage.load()

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        done = self._stage.run(_work(item), lambda at, total: share(at / total if total else 1.0))
        return {"speech": [[samples(span.start), samples(span.end)] for span in done.speech]}

    def release(self) -> None:
        self._stage.release()


def overlaps(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Where two voices and more are heard, in seconds, in order."""
    edges = sorted([(turn.start, 1) for turn in turns] + [(turn.end, -1) for turn in turns])
    found: list[tuple[float, float]] = []
    voices, since = 0, 0.0
    for at, change in edges:
        if voices >= 2 and voices + change < 2 and at > since:
            found.append((since, at))
        if voices < 2 <= voices + change:
            since = at
        voices += change
    return found


def _work(item: Item, speech: tuple[Span, ...] = ()) -> Work:
    audio = decode(Path(item.audio))
    return Work(Path(item.audio), audio.waveform, audio.duration, speech=speech)
