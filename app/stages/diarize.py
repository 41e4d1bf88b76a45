"""Who speaks when: pyannote.audio's community-1 pipeline, or the weights that packages carry."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import SAMPLE_RATE
from app.models.identity import identity
from app.stages import Report, Turn, Work
from app.stages.ladder import trouble

if TYPE_CHECKING:
    from app.models.speakers import Diarizer

VERSION = 1
"""Of what happens here and in the embedded diarizer to a waveform; a change of the result takes the next number."""
CPU_BATCH = {"pipeline": 1, "embedded": 8}
"""Windows that a processor looks at together, at most: more take longer, and twice the memory (docs/transcribe.md)."""
SEGMENTATION_SHARE = 0.15
"""Of community-1's time; the rest goes to its embeddings."""

_Span = tuple[float, float, Any]
"""Start and end in seconds, and whatever names a voice."""
_Engine = Callable[[Any, Callable[[float], None]], tuple[list[_Span], list[_Span]]]
"""Takes a waveform and what to tell the share that is done; returns all spans, and those of one voice at a time."""


@dataclass(frozen=True)
class Speakers:
    """How many voices the person says there are; None: not said."""

    number: int | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True)
class Diarization:
    """Turns in order of their beginning, voices numbered by their first."""

    every: tuple[Turn, ...]
    """All that was heard: turns of several voices may overlap."""
    exclusive: tuple[Turn, ...]
    """One voice at a time, for a transcript."""


class Diarize:
    """Fills in the turns, none overlapping another: where several speak at once, one of them has the turn."""

    name = "diarize"
    reads: tuple[str, ...] = ("decode",)
    at_once = 1
    _diarize: _Engine | None = None

    def __init__(self, diarizer: Diarizer, device: str, threads: int, batch_size: int, speakers: Speakers) -> None:
        self._diarizer = diarizer
        self._device, self._threads, self._batch_size = device, threads, batch_size
        self._speakers = speakers

    def shape(self) -> Mapping[str, object]:
        return {
            "version": VERSION,
            "kind": self._diarizer.kind,
            "library": version("pyannote.audio"),
            "weights": [identity(Path(file)) for file in self._diarizer.files],
            "speakers": dataclasses.asdict(self._speakers),
        }

    def load(self, works: Sequence[Work] = ()) -> str:
        os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # it would report each use to its makers
        with _quiet():
            import torch

            torch.set_num_threads(self._threads)
            device = "cuda" if self._device != "cpu" and torch.cuda.is_available() else "cpu"
            if device == "cpu":
                self._batch_size = min(self._batch_size, CPU_BATCH[self._diarizer.kind])
            load = self._load_embedded if self._diarizer.kind == "embedded" else self._load_pipeline
            self._diarize = load(torch.device(device))
        return f"{self._diarizer.description} on {device}"

    def take_up(self, other: Any) -> bool:
        if not isinstance(other, Diarize):
            return False
        if (other._diarizer, other._threads) != (self._diarizer, self._threads):
            return False
        self._speakers = other._speakers
        return True

    def run(self, work: Work, report: Report) -> Work:
        turns = self.diarization(work, report).exclusive
        found = len({turn.speaker for turn in turns})
        least = self._speakers.number or self._speakers.least or 0
        notes = work.notes
        if turns and found < least:
            notes += (f"{least} speakers were asked for, {found} could be told apart",)
        return dataclasses.replace(work, turns=turns, notes=notes)

    def diarization(self, work: Work, report: Report) -> Diarization:
        """All that was heard, overlaps included."""
        assert work.waveform is not None
        assert self._diarize is not None
        every: Iterable[_Span] = ()
        exclusive: Iterable[_Span] = ()
        if len(work.waveform):
            with _quiet():
                share: Callable[[float], None] = lambda done: report(done * work.duration, work.duration)  # noqa: E731
                every, exclusive = self._diarize(work.waveform, share)
        report(work.duration, work.duration)
        names: dict[object, str] = {}

        def turns(spans: Iterable[_Span]) -> tuple[Turn, ...]:
            # The last window is filled up with silence, and may find speech to end in there.
            inside = sorted((start, min(end, work.duration), voice) for start, end, voice in spans)
            inside = [span for span in inside if span[0] < span[1]]
            for _, _, voice in inside:
                names.setdefault(voice, f"SPEAKER_{len(names):02d}")
            return tuple(Turn(start, end, names[voice]) for start, end, voice in inside)

        one_at_a_time = turns(exclusive)  # they give the numbers: the others are not seen by people
        return Diarization(turns(every), one_at_a_time)

    def release(self) -> None:
        self._diarize = None

    def step_down(self, error: Exception) -> str | None:
        # pyannote.audio makes a MemoryError of any, a card's too.
        kind = trouble(error.__context__ if isinstance(error, MemoryError) and error.__context__ else error)
        if kind is None:
            return None
        if kind != "type" and self._batch_size > 1 and self._diarize is not None:
            before, self._batch_size = self._batch_size, max(1, self._batch_size // 4)
            return f"batch size {before} -> {self._batch_size}"
        if self._device != "cpu" and kind != "host memory":
            before_device, self._device = self._device, "cpu"
            return f"device {before_device} -> cpu"
        return None

    def pack(self, work: Work) -> Any:
        return [dataclasses.astuple(turn) for turn in work.turns or ()]

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, turns=tuple(Turn(*turn) for turn in data))

    def _load_embedded(self, device: Any) -> _Engine:
        from app.stages.embedded_diarizer import EmbeddedDiarizer

        model = EmbeddedDiarizer(self._diarizer.files, device)
        said = self._speakers
        least, most = said.number or said.least or 1, said.number or said.most

        def diarize(waveform: Any, share: Callable[[float], None]) -> tuple[list[_Span], list[_Span]]:
            return model(waveform, self._batch_size, least, most, share)

        return diarize

    def _load_pipeline(self, device: Any) -> _Engine:
        import torch
        from pyannote.audio import Pipeline

        pipeline = Pipeline.from_pretrained(self._diarizer.path)
        pipeline.segmentation_batch_size = pipeline.embedding_batch_size = self._batch_size
        pipeline.to(device)
        said = self._speakers

        def diarize(waveform: Any, share: Callable[[float], None]) -> tuple[list[_Span], list[_Span]]:
            def hook(step: str, *_: Any, total: int = 0, completed: int = 0, **__: Any) -> None:
                if total:
                    done = min(float(completed / total), 1.0)
                    before, after = (0.0, SEGMENTATION_SHARE) if step == "segmentation" else (SEGMENTATION_SHARE, 1.0)
                    share(before + done * (after - before))

            # torch warns of an array that can't be written to; nothing there writes to it.
            sound = {"waveform": torch.from_numpy(waveform)[None], "sample_rate": SAMPLE_RATE, "uri": "input"}
            heard = pipeline(
                sound, num_speakers=said.number, min_speakers=said.least, max_speakers=said.most, hook=hook
            )
            return _spans(heard.speaker_diarization), _spans(heard.exclusive_speaker_diarization)

        return diarize


def _spans(annotation: Any) -> list[_Span]:
    return [(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It warns of a torchcodec that isn't needed here, and prints where standard output is somebody else's."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
