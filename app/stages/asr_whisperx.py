from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.stages import Span, Work
from app.stages.asr import Asr
from app.stages.asr_options import check_options, describe
from app.transcript import Segment, Word


class WhisperX(Asr):
    """whisperX's own batched pipeline over the same chunks: torch for the features."""

    engine = "whisperx"

    def load(self, works: Sequence[Work] = ()) -> str:
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
        rung, prompt = self.rung(), self._options.prompt
        self._chunks = Chunks()
        self._pipeline = load_model(
            self._options.model,
            rung.device,
            compute_type=rung.compute_type,
            asr_options={
                "beam_size": self._options.beam_size,
                "initial_prompt": prompt or None,
                "hotwords": self._options.hotwords or None,
            },
            vad_model=self._chunks,
            threads=self._options.threads,
            local_files_only=True,
        )
        model = self._pipeline.model
        check_options(model, self._options)
        encode = model.encode

        def remember(features: Any) -> Any:
            """Keep what the encoder says, which whisperX drops: the words' times are read from it."""
            self._encoded = encode(features)
            return self._encoded

        model.encode = remember
        self._pool = ThreadPoolExecutor(1, "asr-chunk")
        return describe("whisperX", rung, self._options.threads)

    def decode(self, work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        self._chunks.chunks = batch
        self._pipeline.call_count = 0  # transformers warns after ten calls that one could batch: these are the batches
        result = self._pipeline.transcribe(
            work.waveform, batch_size=len(batch), language=language, task=self._options.task
        )
        return self._with_words([piece["text"] for piece in result["segments"]], batch, language)

    def _with_words(self, texts: list[str], batch: list[Span], language: str) -> list[list[Segment]]:
        """These texts with times for their words, as faster-whisper reads them from the cross-attention."""
        from faster_whisper.tokenizer import Tokenizer

        model = self._pipeline.model
        tokenizer = Tokenizer(
            model.hf_tokenizer, model.model.is_multilingual, task=self._options.task, language=language
        )
        rate = model.frames_per_second
        chunks = [
            [{"seek": chunk.start * rate, "start": chunk.start, "end": chunk.end, "tokens": tokenizer.encode(text)}]
            for chunk, text in zip(batch, texts, strict=True)
        ]
        frames = [int((chunk.end - chunk.start) * rate) for chunk in batch]
        options = self._pipeline.options
        model.add_word_timestamps(
            chunks, tokenizer, self._encoded, frames, options.prepend_punctuations, options.append_punctuations, 0.0
        )
        said = []
        for (timed,), text in zip(chunks, texts, strict=True):
            words = (
                Word(float(w["start"]), float(w["end"]), w["word"], round(float(w["probability"]), 3))
                for w in timed["words"]
            )
            said.append([Segment(float(timed["start"]), float(timed["end"]), text, tuple(words))])
        return said
