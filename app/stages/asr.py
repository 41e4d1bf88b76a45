"""What the two recognisers share: their options, their chunks, and the choice of a language."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.audio import SAMPLE_RATE
from app.errors import UsageError
from app.models.identity import identity
from app.stages import Report, Span, Work
from app.stages.ladder import Rung, in_words, ladder, trouble
from app.stages.vad import LONGEST_SPAN_S
from app.transcript import Recognition, Segment, Transcript, Word, from_dict, split_at_sentences

VERSION = 2
"""Goes up when the same speech and the same options would give another text, or other times."""
BEAM_SIZE = 5
LANGUAGE_THRESHOLD = 0.5
"""Below this probability another window of speech is asked for its language."""
LANGUAGE_WINDOWS = 4
LEAST_HEARD_S = 1.0
"""A second look at a chunk moves on by at least this much, so that it ends."""
MISSED_S = 1.5
"""Less speech than this after the last word is its own tail, and the padding of VAD."""


@dataclass(frozen=True)
class AsrOptions:
    model: str
    """Folder of a Whisper model in CTranslate2's layout."""
    device: str
    """`auto`, `cpu` or `cuda`."""
    compute_type: str
    """`auto` or one of CTranslate2's."""
    batch_size: int
    threads: int
    language: str | None
    """ISO 639-1 code; None: detect."""
    task: str = "transcribe"
    """`transcribe`, or `translate` to English."""
    beam_size: int = BEAM_SIZE
    prompt: str | None = None
    """Text the recogniser is told came before each chunk: names, spelling, style."""
    hotwords: str | None = None
    """Words it is to expect."""
    name: str = ""
    """What the user called the model; empty: its folder."""


@dataclass
class _Heard:
    """What is known of one input while its chunks are decoded; all of it goes through a checkpoint."""

    language: str
    probability: float
    pending: list[Span]
    segments: list[Segment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    batches: int = 0


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

    def shape(self) -> dict[str, object]:
        """Neither the batch size nor the threads: what they change is in the last digits.

        Raises UsageError, as `load` does: the device and the type are chosen here.
        """
        rung = self.rung()
        return {
            "version": VERSION,
            "engine": self.engine,
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

    def step_down(self, error: Exception) -> str | None:
        import ctranslate2

        before, kind = self.rung(), trouble(error)
        possible = {device: ctranslate2.get_supported_compute_types(device) for device in {"cpu", before.device}}
        if kind is None or (after := ladder(before, kind, possible)) is None:
            return None
        self._rung = after
        return in_words(before, after)

    def run(self, work: Work, report: Report) -> Work:
        chunks = merge_spans(work.speech)
        if not chunks:
            return self._with_transcript(work, None)
        heard = _resume(work) or self._begin(work, chunks)
        while heard.pending:
            # Memory grows with what is decoded at once, and what is decoded can be kept: so a batch at a time.
            size = self.rung().batch_size
            batch, heard.pending = heard.pending[:size], heard.pending[size:]
            segments, tails = [], []
            for chunk, said in zip(batch, self.decode(work, batch, heard.language), strict=True):
                segments += said
                tails.append(missed_tail(chunk, work.speech, _last_word_end(chunk, said)))
            heard.pending = [tail for tail in tails if tail] + heard.pending
            heard.segments += segments
            heard.batches += 1
            _keep(work, heard, segments)
            report(min((chunk.start for chunk in heard.pending), default=work.duration), work.duration)
        return self._with_transcript(work, heard)

    def decode(self, work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        """The text of each of these chunks, in their order; a word of it begins with the space before it."""
        raise NotImplementedError

    def release(self) -> None:
        self._pipeline = None

    def pack(self, work: Work) -> Any:
        assert work.transcript is not None
        return dataclasses.asdict(work.transcript)

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, transcript=from_dict(data))

    def _begin(self, work: Work, chunks: list[Span]) -> _Heard:
        language, probability = choose_language(self._pipeline.model, work, chunks, self._options.language)
        return _Heard(language, probability, chunks)

    def _with_transcript(self, work: Work, heard: _Heard | None) -> Work:
        """The work with its transcript; nothing heard makes a valid, empty one."""
        segments = sorted(heard.segments, key=lambda segment: segment.start) if heard else []
        pieces = tuple(piece for segment in segments for piece in split_at_sentences(segment) if piece.text)
        notes = [*work.notes, *(heard.notes if heard else ())]
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
            self.engine, model, rung.device, rung.compute_type, rung.batch_size, batches, options.threads
        )


def _keep(work: Work, heard: _Heard, segments: list[Segment]) -> None:
    """One line of the checkpoint: the segments are this batch's, the rest is all of it."""
    if work.checkpoint:
        line = {
            "language": heard.language,
            "probability": heard.probability,
            "pending": [[chunk.start, chunk.end] for chunk in heard.pending],
            "notes": heard.notes,
            "segments": [dataclasses.asdict(segment) for segment in segments],
        }
        work.checkpoint.add(line)


def _resume(work: Work) -> _Heard | None:
    """What an interrupted run had heard; None where there was none."""
    lines = work.checkpoint.lines() if work.checkpoint else []
    if not lines:
        return None
    last = lines[-1]
    segments = [
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for line in lines
        for segment in line["segments"]
    ]
    pending = [Span(start, end) for start, end in last["pending"]]
    return _Heard(last["language"], last["probability"], pending, segments, list(last["notes"]), len(lines))


def _last_word_end(chunk: Span, segments: Iterable[Segment]) -> float:
    """Where the text of this chunk ends, in seconds; its start where there is none."""
    ends = (min(word.end, chunk.end) for segment in segments for word in segment.words if word.start < chunk.end)
    return max(ends, default=chunk.start)


def merge_spans(spans: Iterable[Span], longest_s: float = LONGEST_SPAN_S) -> list[Span]:
    """Join neighbouring speech, silences between included, into chunks that fill Whisper's 30 s window.

    Silences stay in: cutting them out saves little, since every chunk is padded to 30 s, and costs true times.
    """
    chunks: list[Span] = []
    for span in spans:
        if chunks and span.end - chunks[-1].start <= longest_s:
            chunks[-1] = Span(chunks[-1].start, span.end)
        else:
            chunks.append(span)
    return chunks


def missed_tail(chunk: Span, speech: Iterable[Span], heard_until: float) -> Span | None:
    """The end of a chunk, where the recogniser fell silent while somebody still spoke; None where it heard it all.

    Without timestamps Whisper now and then ends its text in the middle of a chunk, mostly at a pause. Decoding the
    rest by itself takes the word error of the joined prompts from 4.5 to 3.1 % (English) and from 11.3 to 9.5 %
    (Spanish); docs/quality.md. A chunk with next to no text is not asked again: it would say the same, for ever.
    """
    rest = [
        Span(max(span.start, heard_until), span.end)
        for span in speech
        if chunk.start <= span.start and span.end <= chunk.end and span.end > heard_until
    ]
    missed_s = sum(span.end - span.start for span in rest)
    if heard_until < chunk.start + LEAST_HEARD_S or missed_s < MISSED_S:
        return None
    return Span(rest[0].start, chunk.end)


def choose_device(options: AsrOptions) -> tuple[str, str]:
    """Device and compute type, `auto` resolved by what CTranslate2 finds. Raises UsageError if there is no such."""
    import ctranslate2

    cards = ctranslate2.get_cuda_device_count()
    device = options.device if options.device != "auto" else "cuda" if cards else "cpu"
    if device == "cuda" and not cards:
        raise UsageError(
            "device cuda is asked for, but CTranslate2 sees no CUDA card; "
            "use --profile cpu, or --device cpu with a model that fits"
        )
    if device == "cuda":
        try:
            ctypes.CDLL("libcublas.so.12")  # CTranslate2 opens it at the first matrix, an hour too late
        except OSError:
            raise UsageError(
                "a card needs libcublas.so.12, which the loader does not find: pip install 'run-app[asr-cuda]', "
                "and start under a profile that puts it on LD_LIBRARY_PATH, as gpu does"
            ) from None
    possible = ctranslate2.get_supported_compute_types(device)
    compute_type = options.compute_type
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" and "float16" in possible else "int8"
    if compute_type not in possible:
        raise UsageError(
            f"compute type {compute_type} is not possible on this {device}; it can do {', '.join(sorted(possible))}"
        )
    return device, compute_type


def describe(engine: str, rung: Rung, threads: int) -> str:
    cores = f", {threads} thread{'s' * (threads > 1)}" if rung.device == "cpu" else ""
    return f"{engine} on {rung.device}, {rung.compute_type}{cores}, batch {rung.batch_size}"


def check_options(model: Any, options: AsrOptions) -> None:
    """Raises UsageError where this model can't do what the options ask. `model` is a faster_whisper.WhisperModel."""
    name, language = options.name or options.model, options.language
    if not model.model.is_multilingual and (options.task == "translate" or language not in (None, "en")):
        asked = "translate" if options.task == "translate" else f"hear the language {language!r}"
        raise UsageError(f"{name} knows English alone and can't {asked}; take a multilingual model, e.g. base")
    if language and model.model.is_multilingual and model.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
        raise UsageError(f"{name} does not know the language {language!r}")
    # More than half the decoder's window, and Whisper drops the beginning without a word.
    most = model.max_length // 2 - 1
    tokens = sum(
        len(model.hf_tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids)
        for text in (options.prompt, options.hotwords)
        if text
    )
    if tokens > most:
        raise UsageError(f"prompt and hotwords are {tokens} tokens long; {name} takes {most}, about {most // 2} words")


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
