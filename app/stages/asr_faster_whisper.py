from __future__ import annotations

from app.audio import SAMPLE_RATE
from app.stages import Span, Work
from app.stages.asr import Asr, to_segment
from app.stages.asr_options import check_options, describe
from app.transcript import Segment


class FasterWhisper(Asr):
    """faster-whisper's batched pipeline on CTranslate2: no torch in the process, word times from cross-attention.

    On a card a batch of chunks is decoded in one call. On a processor each chunk is a call of its own, and as many
    calls as there are threads go on side by side: threads that share one call wait for each other at every token.
    On two cores that takes 0.6 of the time, and of the memory, of one call with two threads (docs/transcribe.md).
    """

    engine = "faster-whisper"

    @property
    def at_once(self) -> int:
        return self._options.jobs or (self.workers() if self.rung().device == "cpu" else 1)

    def workers(self) -> int:
        jobs, rung = self._options.jobs or 1, self.rung()
        return jobs if rung.device != "cpu" else min(self._options.threads, max(jobs, rung.batch_size))

    def calls(self) -> tuple[int, int]:
        rung = self.rung()
        return (self.workers(), 1) if rung.device == "cpu" else (1, rung.batch_size)

    def load(self) -> str:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        rung, workers = self.rung(), self.workers()
        threads = max(1, self._options.threads // workers)
        model = WhisperModel(
            self._options.model,
            device=rung.device,
            compute_type=rung.compute_type,
            cpu_threads=threads,
            num_workers=workers,  # they share the weights
            local_files_only=True,
        )
        check_options(model, self._options)
        self._pipeline = BatchedInferencePipeline(model)
        return describe("faster-whisper", rung, threads, workers)

    def decode(self, work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        from faster_whisper import BatchedInferencePipeline

        prompt = self._options.prompt
        # One of its own for each call: it notes in itself where it is.
        segments, _ = BatchedInferencePipeline(self._pipeline.model).transcribe(
            work.waveform,
            language=language,
            task=self._options.task,
            beam_size=self._options.beam_size,
            # Its other path puts this space there by itself: a word begins with one.
            initial_prompt=f" {prompt.strip()}" if prompt else None,
            hotwords=self._options.hotwords or None,
            batch_size=len(batch),
            word_timestamps=True,
            clip_timestamps=[{"start": chunk.start, "end": chunk.end} for chunk in batch],
        )
        said: list[list[Segment]] = [[] for _ in batch]
        # A segment tells its chunk by `seek`: the first sample, in hundredths of a second.
        place = {int(int(chunk.start * SAMPLE_RATE) / SAMPLE_RATE * 100): n for n, chunk in enumerate(batch)}
        for segment in segments:
            said[place[segment.seek]].append(to_segment(segment))
        return said
