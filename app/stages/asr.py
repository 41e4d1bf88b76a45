"""What the two recognisers share: their options, their chunks, and the choice of a language."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from app.audio import SAMPLE_RATE
from app.errors import UsageError
from app.models.identity import identity
from app.stages import Report, Span, Work
from app.stages.asr_chunks import merge_spans, missed, reach
from app.stages.asr_heard import Heard, Piece, keep, resume
from app.stages.asr_options import AsrOptions as AsrOptions  # for who makes the stage
from app.stages.asr_options import check_options, choose_device
from app.stages.edges import to_sound
from app.stages.ladder import Rung, in_words, ladder, trouble
from app.stages.loops import LOOPS_ABOVE, compression_ratio, cut_repeats
from app.transcript import Recognition, Segment, Transcript, Word, from_dict, split_at_sentences

VERSION = 3
"""Goes up when the same speech and the same options would give another text, or other times."""
LANGUAGE_THRESHOLD = 0.5
"""Below this probability another window of speech is asked for its language."""
LANGUAGE_WINDOWS = 4
AGAIN: tuple[Mapping[str, float], ...] = ({}, {"repetition_penalty": 1.2})
"""Ways to decode a chunk again whose text repeats itself, until one text does not: as it is, with Whisper's own
timestamps; then with a penalty on words that were said."""


_Said = tuple[list[Segment], Literal["again", "cut"] | None]
"""The text of a chunk, and what it took where it had repeated itself: it was decoded again, or the repeats are cut."""


class Asr:
    """A recogniser: what the engines do alike. Each adds `load` and `decode`."""

    name = "asr"
    reads: tuple[str, ...] = ("decode", "vad")
    engine: str

    def __init__(self, options: AsrOptions) -> None:
        self._options = options
        self._rung: Rung | None = None
        self._pipeline: Any = None
        """Loaded: an object whose `model` is a faster_whisper.WhisperModel, in both engines."""
        self._pool: Executor | None = None
        """Loaded: threads for as many calls of the model as it takes at once, whichever files they are for."""

    def shape(self) -> dict[str, object]:
        """Neither the batch size nor the threads: what they change is in the last digits.

        Raises UsageError, as `load` does: the device and the type are chosen here.
        """
        rung = self.rung()
        return {
            "version": VERSION,
            "engine": self.engine,
            "libraries": [version(name) for name in (self.engine, "faster-whisper", "ctranslate2")],
            "model": identity(Path(self._options.model)),
            "device": rung.device,
            "compute_type": rung.compute_type,
            "language": self._options.language,
            "task": self._options.task,
            "beam_size": self._options.beam_size,
            "prompt": self._options.prompt,
            "hotwords": self._options.hotwords,
        }

    def rung(self) -> Rung:
        """How the model is run, or will be: `auto` resolved, and what had to be given up."""
        if self._rung is None:
            device, compute_type = choose_device(self._options)
            self._rung = Rung(device, compute_type, self._options.batch_size)
        return self._rung

    @property
    def at_once(self) -> int:
        return 1

    def calls(self) -> tuple[int, int]:
        """Calls of `decode` that one file makes side by side, and the chunks in each."""
        return 1, self.rung().batch_size

    def take_up(self, other: Any) -> bool:
        """A model that had to step down is loaded anew: there may be room again."""
        if type(other) is not type(self) or other.rung() != self.rung() or not self.serves(other._options):
            return False
        try:
            check_options(self._pipeline.model, other._options)
        except UsageError:
            return False
        self._options = other._options
        return True

    def serves(self, options: AsrOptions) -> bool:
        """Whether the loaded model does for these options too."""
        return options == self._options

    def step_down(self, error: Exception) -> str | None:
        import ctranslate2

        before, kind = self.rung(), trouble(error)
        possible = {device: ctranslate2.get_supported_compute_types(device) for device in {"cpu", before.device}}
        # A model that does not even load is not helped by decoding less at once.
        loaded = self._pipeline is not None
        rung = before if loaded else dataclasses.replace(before, batch_size=1)
        if kind is None or (after := ladder(rung, kind, possible)) is None:
            return None
        self._rung = after = after if loaded else dataclasses.replace(after, batch_size=before.batch_size)
        return in_words(before, after)

    def run(self, work: Work, report: Report) -> Work:
        chunks = merge_spans(work.speech)
        if not chunks:
            return self._with_transcript(work, None)
        heard = resume(work, chunks) or self._begin(work, chunks)
        with closing(self._decoded(work, heard)) as decoded:
            for batch, texts in decoded:
                piece = Piece(batch)
                for chunk, (said, looped) in zip(batch, texts, strict=True):
                    piece.segments += said
                    if looped:
                        (piece.again if looped == "again" else piece.cut).append(chunk.start)
                    else:
                        piece.missed += missed(chunk, work.speech, reach(chunk, said))
                heard.add(piece)
                keep(work, heard, piece)
                report(min((chunk.start for chunk in heard.pending), default=work.duration), work.duration)
        return self._with_transcript(work, heard)

    def _decoded(self, work: Work, heard: Heard) -> Generator[tuple[list[Span], list[_Said]]]:
        """Chunks that were pending, with their texts, as they come: some at a time, so that they can be kept.

        Where one call fails, the others are heard to their end first. At its end no call is under way.
        """
        assert self._pool is not None
        at_once, size = self.calls()
        under_way: dict[Future[list[_Said]], list[Span]] = {}
        error: BaseException | None = None
        try:
            while heard.pending:
                begun = [chunk for batch in under_way.values() for chunk in batch]
                waiting = [chunk for chunk in heard.pending if chunk not in begun]
                while waiting and len(under_way) < at_once and not error:
                    batch, waiting = waiting[:size], waiting[size:]
                    under_way[self._pool.submit(self._decode, work, batch, heard.language)] = batch
                for call in wait(under_way, return_when=FIRST_COMPLETED).done:
                    batch = under_way.pop(call)
                    if failed := call.exception():
                        error = failed
                    else:
                        yield batch, call.result()
                if error and not under_way:
                    raise error
        finally:
            for call in under_way:
                call.cancel()
            wait(under_way)

    def load(self, works: Sequence[Work] = ()) -> str:
        raise NotImplementedError

    def decode(self, work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        """The text of each of these chunks, in their order; a word of it begins with the space before it.

        Called from the pool's threads.
        """
        raise NotImplementedError

    def _decode(self, work: Work, batch: list[Span], language: str) -> list[_Said]:
        """The texts that are kept of these chunks."""
        return [
            self._without_loop(work, chunk, said, language)
            if compression_ratio(_text(said)) > LOOPS_ABOVE
            else (said, None)
            for chunk, said in zip(batch, self.decode(work, batch, language), strict=True)
        ]

    def _without_loop(self, work: Work, chunk: Span, said: list[Segment], language: str) -> _Said:
        """What is kept of a chunk whose text repeats itself.

        The chunk is decoded again by itself. Whisper's authors would sample at rising temperatures. CTranslate2 draws
        from generators that live in its threads, so the same file would not give the same text twice; and of speech
        that honestly repeats itself sampling left nothing. Two ways without chance do as well (docs/quality.md).
        """
        cut = [dataclasses.replace(segment, words=tuple(cut_repeats(segment.words))) for segment in said]
        for way in AGAIN[: None if cut != said else 1]:  # a penalty spoils a text whose phrases only come back
            again = self._decode_alone(work, chunk, language, way)
            if again and compression_ratio(_text(again)) <= LOOPS_ABOVE:
                return again, "again"
        return cut, "cut" if cut != said else None

    def _decode_alone(self, work: Work, chunk: Span, language: str, way: Mapping[str, float]) -> list[Segment]:
        segments, _ = self._pipeline.model.transcribe(
            samples(work, chunk),
            language=language,
            task=self._options.task,
            beam_size=self._options.beam_size,
            initial_prompt=self._options.prompt or None,
            hotwords=self._options.hotwords or None,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            word_timestamps=True,
            **way,
        )
        return [to_segment(segment, chunk.start) for segment in segments]

    def release(self) -> None:
        self._pipeline = None
        if self._pool:
            self._pool.shutdown()
        self._pool = None

    def pack(self, work: Work) -> Any:
        assert work.transcript is not None
        return dataclasses.asdict(work.transcript)

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, transcript=from_dict(data))

    def _begin(self, work: Work, chunks: list[Span]) -> Heard:
        language, probability = choose_language(self._pipeline.model, work, chunks, self._options.language)
        return Heard(language, probability, chunks)

    def _with_transcript(self, work: Work, heard: Heard | None) -> Work:
        """The work with its transcript; nothing heard makes a valid, empty one."""
        segments = sorted(heard.segments, key=lambda segment: segment.start) if heard else []
        if segments:
            segments = _to_sound(segments, work)
        pieces = tuple(piece for segment in segments for piece in split_at_sentences(segment) if piece.text)
        notes = [*work.notes, *(heard.notes() if heard else ())]
        if not pieces:
            notes.append("no speech was found")
        transcript = Transcript(
            heard.language if heard else None,
            heard.probability if heard else None,
            round(work.duration, 3),
            pieces,
            asr=self._recognition(heard.batches) if heard else None,
        )
        return dataclasses.replace(work, transcript=transcript, notes=tuple(notes))

    def _recognition(self, batches: int) -> Recognition:
        rung, options = self.rung(), self._options
        model = options.name or options.model
        return Recognition(
            self.engine,
            model,
            options.task,
            rung.device,
            rung.compute_type,
            rung.batch_size,
            batches,
            options.threads,
        )


def to_segment(segment: Any, offset: float = 0.0) -> Segment:
    """faster-whisper's segment with word times as ours, so many seconds later; words keep the space before them."""
    words = (
        Word(float(w.start + offset), float(w.end + offset), w.word, round(float(w.probability), 3))
        for w in segment.words
    )
    return Segment(float(segment.start + offset), float(segment.end + offset), segment.text, tuple(words))


def _to_sound(segments: Sequence[Segment], work: Work) -> list[Segment]:
    """The segments with their words' edges on their sound."""
    assert work.waveform is not None
    moved = iter(to_sound([word for segment in segments for word in segment.words], work.waveform))
    return [
        dataclasses.replace(segment, words=tuple(itertools.islice(moved, len(segment.words)))) for segment in segments
    ]


def _text(segments: Iterable[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def choose_language(model: Any, work: Work, chunks: list[Span], wanted: str | None) -> tuple[str, float]:
    """Language and its probability: 1.0 where it is given or the model knows but one.

    `model` is a faster_whisper.WhisperModel. It is asked about the speech alone: a recording that opens with
    music or a minute of silence would else be decided by those.
    """
    if not model.model.is_multilingual:
        return "en", 1.0
    if wanted is not None:
        return wanted, 1.0
    assert work.waveform is not None
    guesses: list[tuple[str, float]] = []
    for chunk in chunks[:LANGUAGE_WINDOWS]:
        language, probability, _ = model.detect_language(audio=samples(work, chunk))
        guesses.append((language, float(probability)))
        if probability >= LANGUAGE_THRESHOLD:
            break
    return max(guesses, key=lambda guess: guess[1])


def samples(work: Work, chunk: Span) -> Any:
    """The chunk's part of the waveform: a view, not a copy."""
    assert work.waveform is not None
    return work.waveform[int(chunk.start * SAMPLE_RATE) : int(chunk.end * SAMPLE_RATE)]
