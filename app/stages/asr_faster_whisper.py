from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.audio import SAMPLE_RATE
from app.stages import Span, Work
from app.stages.asr import Asr, to_segment
from app.stages.asr_chunks import merge_spans
from app.stages.asr_options import AsrOptions, check_options, describe, in_words
from app.stages.ladder import Rung
from app.transcript import Segment


class FasterWhisper(Asr):
    """faster-whisper's batched pipeline on CTranslate2: no torch in the process, word times from cross-attention.

    On a card a batch of chunks is decoded in one call. On a processor each chunk is a call of its own, and the calls
    go on side by side in workers that share the weights and share out the threads: threads that share one call wait
    for each other at every token (docs/transcribe.md).
    """

    engine = "faster-whisper"

    def __init__(self, options: AsrOptions) -> None:
        super().__init__(options)
        self._workers = 1

    def rung(self) -> Rung:
        """As above; on a processor no more is together than there are threads."""
        rung = super().rung()
        if rung.device != "cpu":
            return rung
        return dataclasses.replace(rung, batch_size=min(rung.batch_size, self._options.threads))

    @property
    def at_once(self) -> int:
        rung = self.rung()
        return self._options.jobs or (rung.batch_size if rung.device == "cpu" else 1)

    def calls(self) -> tuple[int, int]:
        rung = self.rung()
        return (self._workers, 1) if rung.device == "cpu" else (1, rung.batch_size)

    def load(self, works: Sequence[Work] = ()) -> str:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        rung, threads = self.rung(), self._options.threads
        self._workers = self.at_once
        if rung.device == "cpu":
            chunks = sum(len(merge_spans(work.speech)) for work in works)
            wanted = min(rung.batch_size, chunks or rung.batch_size)
            self._workers = threads // math.ceil(threads / wanted)  # so that no thread is left over, if that can be
            threads //= self._workers
        model = WhisperModel(
            self._options.model,
            device=rung.device,
            compute_type=rung.compute_type,
            cpu_threads=threads,
            num_workers=self._workers,
            local_files_only=True,
        )
        check_options(model, self._options)
        self._pipeline = BatchedInferencePipeline(model)
        self._pool = ThreadPoolExecutor(self._workers, "asr-chunk")
        if rung.device == "cpu":
            workers = f"{in_words(self._workers, 'worker')} of {in_words(threads, 'thread')}"
            return f"faster-whisper on cpu, {rung.compute_type}, {workers}"
        return describe("faster-whisper", rung, threads)

    def serves(self, options: AsrOptions) -> bool:
        """These are told with every call."""
        told = ("language", "task", "beam_size", "prompt", "hotwords")
        return dataclasses.replace(options, **{name: getattr(self._options, name) for name in told}) == self._options

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
