from __future__ import annotations

from collections.abc import Iterator

from app.stages import Report, Span, Work
from app.stages.asr import BEAM_SIZE, Asr, choose_device, describe, missed_tail
from app.transcript import Segment, Word


class FasterWhisper(Asr):
    """faster-whisper's batched pipeline on CTranslate2: no torch in the process, word times from cross-attention."""

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

    def segments(self, work: Work, chunks: list[Span], language: str, report: Report) -> Iterator[Segment]:
        """The text of all chunks, those that broke off and are decoded again after the others of their batch."""
        size = self._options.batch_size
        pending = chunks
        while pending:
            # One call a batch: given all chunks, the pipeline makes the features of the whole file first,
            # and memory would grow with the file.
            batch, pending = pending[:size], pending[size:]
            segments = list(self._decode(work, batch, language))
            yield from segments
            tails = [missed_tail(chunk, work.speech, _last_word_end(chunk, segments)) for chunk in batch]
            pending = [tail for tail in tails if tail] + pending
            report(min((chunk.start for chunk in pending), default=work.duration), work.duration)

    def _decode(self, work: Work, batch: list[Span], language: str) -> Iterator[Segment]:
        segments, _ = self._pipeline.transcribe(
            work.waveform,
            language=language,
            beam_size=BEAM_SIZE,
            batch_size=len(batch),
            word_timestamps=True,
            clip_timestamps=[{"start": chunk.start, "end": chunk.end} for chunk in batch],
        )
        for segment in segments:
            words = (Word(float(w.start), float(w.end), w.word, round(float(w.probability), 3)) for w in segment.words)
            yield Segment(float(segment.start), float(segment.end), segment.text, tuple(words))


def _last_word_end(chunk: Span, segments: list[Segment]) -> float:
    """Where the text of this chunk ends, in seconds; its start where there is none."""
    words = (word for segment in segments for word in segment.words)
    ends = (min(word.end, chunk.end) for word in words if chunk.start <= word.start < chunk.end)
    return max(ends, default=chunk.start)
