from __future__ import annotations

from typing import Any

from app.stages import Report, Span, Work
from app.stages.asr import BEAM_SIZE, Asr, choose_device, describe
from app.transcript import Segment


class WhisperX(Asr):
    """whisperX's own batched pipeline over the same chunks: torch for the features, no word times before alignment."""

    def load(self) -> str:
        import torch
        from whisperx.asr import load_model
        from whisperx.vads import Vad

        class Chunks(Vad):  # type: ignore[misc]
            """Hands our VAD stage's chunks to whisperX, in the place of a VAD model of its own."""

            def __init__(self) -> None:
                super().__init__(0.5)
                self.chunks: list[Span] = []

            @staticmethod
            def preprocess_audio(audio: Any) -> Any:
                return audio

            def __call__(self, audio: Any, **_: Any) -> Any:
                return [{"start": c.start, "end": c.end, "segments": []} for c in self.chunks]

            @staticmethod
            def merge_chunks(segments: Any, *_: Any, **__: Any) -> Any:
                return segments

        torch.set_num_threads(self._options.threads)
        device, compute_type = choose_device(self._options)
        self._chunks = Chunks()
        self._pipeline = load_model(
            self._options.model,
            device,
            compute_type=compute_type,
            asr_options={"beam_size": BEAM_SIZE},
            vad_model=self._chunks,
            threads=self._options.threads,
            local_files_only=True,
        )
        return describe(self._options, "whisperX", device, compute_type)

    def segments(self, work: Work, chunks: list[Span], language: str, report: Report) -> list[Segment]:
        self._chunks.chunks = chunks
        result = self._pipeline.transcribe(
            work.waveform,
            batch_size=self._options.batch_size,
            language=language,
            progress_callback=lambda percent: report(percent / 100 * work.duration, work.duration),
        )
        return [Segment(s["start"], s["end"], s["text"]) for s in result["segments"]]
