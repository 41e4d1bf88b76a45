"""Who speaks when, with pyannote.audio: its community-1 pipeline, or the same steps on weights that packages carry."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import SAMPLE_RATE
from app.models.identity import identity
from app.stages import Report, Turn, Work

if TYPE_CHECKING:
    from app.models.speakers import Diarizer

VERSION = 1
"""Of what this file does to a waveform; a change of the result takes the next number."""
EMBEDDED: Mapping[str, Any] = {
    "clustering": {"method": "centroid", "threshold": 0.70457, "min_cluster_size": 12},
    "segmentation": {"min_duration_off": 0.0},
}
SEGMENTATION_STEP = 0.1
"""Of the segmentation's window of 10 s: how far the next one begins after it."""
SEGMENTATION_SHARE = 0.15
"""Of the time, the rest goes to the embeddings."""


@dataclass(frozen=True)
class Speakers:
    """How many voices the person says there are; None: not said."""

    number: int | None = None
    least: int | None = None
    most: int | None = None


class Diarize:
    """Fills in the turns, none overlapping another: where two speak at once, the louder voice has the turn."""

    name = "diarize"
    reads = ("decode",)
    _pipeline: Any = None

    def __init__(self, diarizer: Diarizer, device: str, threads: int, batch_size: int, speakers: Speakers) -> None:
        self._diarizer = diarizer
        self._device, self._threads, self._batch_size = device, threads, batch_size
        self._speakers = speakers

    def shape(self) -> Mapping[str, object]:
        return {
            "version": VERSION,
            "kind": self._diarizer.kind,
            "weights": [identity(Path(file)) for file in self._diarizer.files],
            "parameters": EMBEDDED if self._diarizer.kind == "embedded" else None,
            "step": SEGMENTATION_STEP if self._diarizer.kind == "embedded" else None,
            "speakers": dataclasses.asdict(self._speakers),
        }

    def load(self) -> str:
        os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # it would report each use to its makers
        with _quiet():
            import torch

            torch.set_num_threads(self._threads)
            device = "cuda" if self._device != "cpu" and torch.cuda.is_available() else "cpu"
            make = _embedded if self._diarizer.kind == "embedded" else _from_folder
            pipeline = make(self._diarizer)
            pipeline.segmentation_batch_size = self._batch_size
            pipeline.embedding_batch_size = self._batch_size
            self._pipeline = pipeline.to(torch.device(device))
        return f"{self._diarizer.description} on {device}"

    def run(self, work: Work, report: Report) -> Work:
        assert work.waveform is not None
        turns: tuple[Turn, ...] = ()
        if len(work.waveform):
            turns = self._turns(work, report)
        report(work.duration, work.duration)
        found = len({turn.speaker for turn in turns})
        least = self._speakers.number or self._speakers.least or 0
        notes = work.notes
        if turns and found < least:
            notes += (f"{least} speakers were asked for, {found} could be told apart",)
        return dataclasses.replace(work, turns=turns, notes=notes)

    def _turns(self, work: Work, report: Report) -> tuple[Turn, ...]:
        import torch

        def hook(step: str, *_: Any, total: int = 0, completed: int = 0, **__: Any) -> None:
            if total:
                share = min(float(completed / total), 1.0)
                before, of_all = (0.0, SEGMENTATION_SHARE) if step == "segmentation" else (SEGMENTATION_SHARE, 1.0)
                report((before + share * (of_all - before)) * work.duration, work.duration)

        with _quiet():
            # A waveform that may not be written to: torch warns, and nothing here writes to it.
            waveform = torch.from_numpy(work.waveform)[None]
            output = self._pipeline(
                {"waveform": waveform, "sample_rate": SAMPLE_RATE, "uri": work.path.name},
                num_speakers=self._speakers.number,
                min_speakers=self._speakers.least,
                max_speakers=self._speakers.most,
                hook=hook,
            )
        tracks = sorted(
            (segment.start, min(segment.end, work.duration), str(label))
            for segment, _, label in output.exclusive_speaker_diarization.itertracks(yield_label=True)
            if segment.start < work.duration  # the last window is filled up with silence
        )
        names: dict[str, str] = {}
        for _, _, label in tracks:
            names.setdefault(label, f"SPEAKER_{len(names):02d}")
        return tuple(Turn(start, end, names[label]) for start, end, label in tracks)

    def release(self) -> None:
        self._pipeline = None

    def step_down(self, error: Exception) -> str | None:
        if self._batch_size > 1:
            before, self._batch_size = self._batch_size, max(1, self._batch_size // 4)
            return f"batch size {before} -> {self._batch_size}"
        if self._device != "cpu":
            before_device, self._device = self._device, "cpu"
            return f"device {before_device} -> cpu"
        return None

    def pack(self, work: Work) -> Any:
        return [dataclasses.astuple(turn) for turn in work.turns or ()]

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, turns=tuple(Turn(*turn) for turn in data))


def _from_folder(diarizer: Diarizer) -> Any:
    from pyannote.audio import Pipeline

    return Pipeline.from_pretrained(diarizer.path)


def _embedded(diarizer: Diarizer) -> Any:
    from pyannote.audio import Model
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.pipelines import SpeakerDiarization

    from app.stages.campplus import load_campplus

    segmentation, code, embedding = diarizer.files
    pipeline = SpeakerDiarization(
        segmentation=Model.from_pretrained(segmentation),
        segmentation_step=SEGMENTATION_STEP,
        embedding=load_campplus(Path(code), Path(embedding)),
        embedding_exclude_overlap=True,
        clustering="AgglomerativeClustering",
        plda=object.__new__(PLDA),  # only VBx clustering looks at it, but one is demanded
    )
    return pipeline.instantiate(dict(EMBEDDED))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It warns of a torchcodec that isn't needed here, and prints where standard output is somebody else's."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
