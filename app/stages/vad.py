"""Where somebody speaks. Three models, two names: `silero` runs on ONNX beside faster-whisper and on torch beside
whisperX, so that neither engine drags in the other's libraries; `pyannote` is the segmentation whisperX carries.
None of them asks the network.
"""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from app.audio import SAMPLE_RATE
from app.stages import Report, Span, Stage, Work
from app.stages.ladder import trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION = 1
"""Goes up when the same samples would give other spans."""
ONSET = 0.5
"""A frame of higher probability begins speech (whisperX's default)."""
OFFSET = 0.363
"""A frame of lower probability ends it (whisperX's default, for pyannote)."""
LONGEST_SPAN_S = 30.0
"""Whisper's window: longer speech is cut at its least speech-like moment."""
MIN_SILENCE_MS = 160
"""A shorter silence does not end a span (as in faster-whisper's batched pipeline)."""
SPEECH_PAD_MS = 250
"""Kept before and after each span. A chunk that begins on the first sound, or ends on the last, makes Whisper drop
words; docs/quality.md has the figures this value was chosen by."""


BLOCK_S = 600.0
"""Audio that is looked at in one go: these models make copies, 3.5 times the waveform for silero on ONNX."""
BLOCK = int(BLOCK_S * SAMPLE_RATE)


class _Vad:
    name = "vad"
    reads: tuple[str, ...] = ("decode",)
    at_once = 1
    variant: str
    carrier: str
    """The package that carries the weights: its version stands for them."""
    _model: Any = None

    def shape(self) -> dict[str, object]:
        return {
            "version": VERSION,
            "model": f"{self.variant} of {self.carrier} {version(self.carrier)}",
            "onset": ONSET,
            "longest_span_s": LONGEST_SPAN_S,
            "block_s": BLOCK_S,
            **self.thresholds(),
        }

    def thresholds(self) -> dict[str, object]:
        """What shapes the spans beside the onset."""
        return {"min_silence_ms": MIN_SILENCE_MS, "speech_pad_ms": SPEECH_PAD_MS}

    def take_up(self, other: Any) -> bool:
        return type(other) is type(self) and all(
            getattr(other, name) == value for name, value in vars(self).items() if name != "_model"
        )

    def release(self) -> None:
        self._model = None

    def step_down(self, error: Exception) -> str | None:
        return None

    def pack(self, work: Work) -> Any:
        return [[span.start, span.end] for span in work.speech]

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, speech=tuple(Span(start, end) for start, end in data))

    def run(self, work: Work, report: Report) -> Work:
        assert work.waveform is not None
        spans: list[Span] = []
        for first in range(0, len(work.waveform), BLOCK):
            offset = first / SAMPLE_RATE
            found = self.speech(work.waveform[first : first + BLOCK])
            spans += [Span(offset + start, offset + end) for start, end in found if end > start]
            report(min(offset + BLOCK_S, work.duration), work.duration)
        return dataclasses.replace(work, speech=tuple(spans))

    def speech(self, waveform: Any) -> Iterable[tuple[float, float]]:
        """Start and end of each stretch of speech in seconds, in order."""
        raise NotImplementedError


class SileroOnnx(_Vad):
    """Silero v6 as faster-whisper carries it: ONNX, one thread, no torch."""

    variant, carrier = "silero v6, ONNX", "faster-whisper"

    def load(self, works: Sequence[Work] = ()) -> str:
        from faster_whisper import vad

        self._model = vad
        vad.get_vad_model()
        return "silero (ONNX, from faster-whisper)"

    def speech(self, waveform: Any) -> Iterable[tuple[float, float]]:
        options = self._model.VadOptions(
            threshold=ONSET,
            max_speech_duration_s=LONGEST_SPAN_S,
            min_silence_duration_ms=MIN_SILENCE_MS,
            speech_pad_ms=SPEECH_PAD_MS,
        )
        for span in self._model.get_speech_timestamps(waveform, options):
            yield span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE

    def release(self) -> None:
        if self._model:
            self._model.get_vad_model.cache_clear()
        super().release()


class SileroTorch(_Vad):
    """Silero from its own package, never through torch.hub."""

    variant, carrier = "silero, torch", "silero-vad"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def load(self, works: Sequence[Work] = ()) -> str:
        import silero_vad
        import torch

        # Importing silero_vad sets torch to one thread for the whole process, and the later stages pay for it.
        torch.set_num_threads(self._threads)
        self._model = silero_vad.load_silero_vad()
        return "silero (torch, from silero-vad)"

    def speech(self, waveform: Any) -> Iterable[tuple[float, float]]:
        import silero_vad
        import torch

        for span in silero_vad.get_speech_timestamps(
            torch.from_numpy(waveform),
            self._model,
            threshold=ONSET,
            max_speech_duration_s=LONGEST_SPAN_S,
            min_silence_duration_ms=MIN_SILENCE_MS,
            speech_pad_ms=SPEECH_PAD_MS,
        ):
            yield span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE


class Pyannote(_Vad):
    """The segmentation model in whisperX's wheel, binarised and cut as whisperX does it."""

    variant, carrier = "pyannote segmentation", "whisperx"

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads

    def thresholds(self) -> dict[str, object]:
        return {"offset": OFFSET}

    def step_down(self, error: Exception) -> str | None:
        if self._device == "cpu" or trouble(error) != "card memory":
            return None
        self._device = "cpu"
        return "device cuda -> cpu"

    def load(self, works: Sequence[Work] = ()) -> str:
        import torch
        from whisperx.vads import Pyannote as WhisperXPyannote

        torch.set_num_threads(self._threads)
        device = "cuda" if self._device != "cpu" and torch.cuda.is_available() else "cpu"
        self._model = WhisperXPyannote(torch.device(device), vad_onset=ONSET, vad_offset=OFFSET)
        return f"pyannote segmentation on {device} (from whisperx)"

    def speech(self, waveform: Any) -> Iterable[tuple[float, float]]:
        scores = self._model({"waveform": self._model.preprocess_audio(waveform), "sample_rate": SAMPLE_RATE})
        for chunk in self._model.merge_chunks(scores, LONGEST_SPAN_S, onset=ONSET, offset=OFFSET):
            yield from chunk["segments"]


def make_vad(name: str, *, asr: str, device: str, threads: int) -> Stage:
    """The VAD of this name that fits beside this engine."""
    if name == "pyannote":
        return Pyannote(device, threads)
    return SileroTorch(threads) if asr == "whisperx" else SileroOnnx()
