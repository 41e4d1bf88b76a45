from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.stages import Report, Span, Work
from app.stages.asr import (
    BEAM_SIZE,
    AsrOptions,
    choose_device,
    choose_language,
    describe,
    merge_spans,
    with_transcript,
)
from app.transcript import Segment, Word


class FasterWhisper:
    """faster-whisper's batched pipeline on CTranslate2: no torch in the process, word times from cross-attention."""

    name = "asr"
    _pipeline: Any = None

    def __init__(self, options: AsrOptions) -> None:
        self._options = options

    def load(self) -> str:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        device, compute_type = choose_device(self._options)
        self._pipeline = BatchedInferencePipeline(
            WhisperModel(
                self._options.model,
                device=device,
                compute_type=compute_type,
                cpu_threads=self._options.threads,
                local_files_only=True,
            )
        )
        return describe(self._options, "faster-whisper", device, compute_type)

    def run(self, work: Work, report: Report) -> Work:
        chunks = merge_spans(work.speech)
        if not chunks:
            return with_transcript(work, (), None, None)
        language, probability = choose_language(self._pipeline.model, work, chunks, self._options.language)
        return with_transcript(work, self._segments(work, chunks, language, report), language, probability)

    def _segments(self, work: Work, chunks: list[Span], language: str, report: Report) -> Iterator[Segment]:
        # One call a batch: given all chunks, the pipeline makes the features of the whole file first,
        # and memory would grow with the file.
        size = self._options.batch_size
        for first in range(0, len(chunks), size):
            batch = chunks[first : first + size]
            segments, _ = self._pipeline.transcribe(
                work.waveform,
                language=language,
                beam_size=BEAM_SIZE,
                batch_size=size,
                word_timestamps=True,
                clip_timestamps=[{"start": chunk.start, "end": chunk.end} for chunk in batch],
            )
            for segment in segments:
                yield Segment(
                    start=float(segment.start),
                    end=float(segment.end),
                    text=segment.text,
                    words=tuple(
                        Word(float(w.start), float(w.end), w.word, round(float(w.probability), 3))
                        for w in segment.words
                    ),
                )
            report(batch[-1].end, work.duration)

    def release(self) -> None:
        self._pipeline = None
