"""What is said in each segment, and in which language: Whisper, each segment by itself.

The language is detected over a segment's first 30 s, which is all of it: the same file gives the same answer twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from app.audio import decode
from app.emilia.settings import SAMPLE_RATE
from app.emilia.steps import Item, Share
from app.stages import Span, Work
from app.stages.asr import AsrOptions, choose_language
from app.stages.asr_chunks import missed, reach
from app.stages.asr_faster_whisper import FasterWhisper
from app.stages.asr_heard import Heard, Piece
from app.transcript import Segment

VERSION = 1
"""Of what happens here; the stage has one of its own."""
EDGE_S = 0.01
"""A chunk that is decoded again begins and ends within its segment, but for rounding."""


class Clips(FasterWhisper):
    """The recogniser, for segments that are given."""

    def texts(self, work: Work, segments: list[Span], share: Share) -> list[dict[str, Any]]:
        """For each segment its text, language and the language's probability."""
        found: list[dict[str, Any]] = []
        for span in segments:
            language, probability = choose_language(self._pipeline.model, work, [span], None)
            found.append({"text": "", "language": language, "probability": round(probability, 4)})
        done = 0
        for language in sorted({each["language"] for each in found}):
            chosen = [n for n, each in enumerate(found) if each["language"] == language]
            said: dict[int, list[Segment]] = {n: [] for n in chosen}
            heard = Heard(language, 1.0, [segments[n] for n in chosen])
            with closing(self._decoded(work, heard)) as decoded:
                for batch, texts in decoded:
                    piece = Piece(batch)
                    for chunk, (text, looped) in zip(batch, texts, strict=True):
                        owner = next(n for n in chosen if _inside(chunk, segments[n]))
                        said[owner] += text
                        if not looped:
                            piece.missed += missed(chunk, work.speech, reach(chunk, text))
                    heard.add(piece)
                    share((done + len(chosen) - len(heard.pending)) / len(found))
            done += len(chosen)
            for n in chosen:
                ordered = sorted(said[n], key=lambda each: each.start)
                found[n]["text"] = " ".join("".join(each.text for each in ordered).split())
        return found


class AsrStep:
    """Gives [{"text", "language", "probability"}, ...], one for each of `given`'s segments."""

    name = "asr"

    def __init__(self, options: AsrOptions, model: Mapping[str, object]) -> None:
        """`model` identifies it: what the front has found out without loading anything."""
        self._stage, self._model = Clips(options), model

    def shape(self) -> Mapping[str, object]:
        return {"version": VERSION, **self._model}

    def load(self) -> str:
        return self._stage.load()

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        """`given` is {"segments": [[start, end], ...], "speech": [[start, end], ...]} in samples of 24 kHz."""
        segments, speech = (_spans(item.given[name]) for name in ("segments", "speech"))
        if not segments:
            return []
        audio = decode(Path(item.audio))
        work = Work(Path(item.audio), audio.waveform, audio.duration, speech=tuple(speech))
        return self._stage.texts(work, segments, share)

    def step_down(self, error: Exception) -> str | None:
        return self._stage.step_down(error)

    def release(self) -> None:
        self._stage.release()


def _spans(stretches: list[list[int]]) -> list[Span]:
    return [Span(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in stretches]


def _inside(chunk: Span, segment: Span) -> bool:
    return segment.start - EDGE_S <= chunk.start and chunk.end <= segment.end + EDGE_S
