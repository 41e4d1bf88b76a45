from __future__ import annotations

from app.audio import SAMPLE_RATE
from app.stages import Span, Work
from app.stages.asr import Asr, to_segment
from app.stages.asr_options import check_options, describe
from app.transcript import Segment


class FasterWhisper(Asr):
    """faster-whisper's batched pipeline on CTranslate2: no torch in the process, word times from cross-attention."""

    engine = "faster-whisper"

    def load(self) -> str:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        rung = self.rung()
        model = WhisperModel(
            self._options.model,
            device=rung.device,
            compute_type=rung.compute_type,
            # Workers share the model's weights; each brings its own threads, and works for one caller at a time.
            cpu_threads=self._options.threads_each,
            num_workers=self._options.jobs,
            local_files_only=True,
        )
        check_options(model, self._options)
        self._pipeline = BatchedInferencePipeline(model)
        return describe("faster-whisper", rung, self._options)

    def decode(self, work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        from faster_whisper import BatchedInferencePipeline

        prompt = self._options.prompt
        # One of its own for each call: it notes where it is in itself, and several files may be under way.
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
