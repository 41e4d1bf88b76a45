"""What the two recognisers share: their options, their chunks, and the choice of a language."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.audio import SAMPLE_RATE
from app.errors import UsageError
from app.stages import Report, Span, Work
from app.stages.vad import LONGEST_SPAN_S
from app.transcript import Segment, Transcript, split_at_sentences

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


class Asr:
    """A recogniser: what the engines do alike. Each adds `load`, and `segments` for the chunks of one input."""

    name = "asr"

    def __init__(self, options: AsrOptions) -> None:
        self._options = options
        self._pipeline: Any = None
        """Loaded: an object whose `model` is a faster_whisper.WhisperModel, in both engines."""

    def run(self, work: Work, report: Report) -> Work:
        chunks = merge_spans(work.speech)
        if not chunks:
            return _with_transcript(work, (), None, None)
        language, probability = choose_language(self._pipeline.model, work, chunks, self._options.language)
        segments = sorted(self.segments(work, chunks, language, report), key=lambda segment: segment.start)
        return _with_transcript(work, segments, language, probability)

    def segments(self, work: Work, chunks: list[Span], language: str, report: Report) -> Iterable[Segment]:
        """The text of these chunks, in any order."""
        raise NotImplementedError

    def release(self) -> None:
        self._pipeline = None


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


def describe(options: AsrOptions, engine: str, device: str, compute_type: str) -> str:
    threads = f", {options.threads} thread{'s' * (options.threads > 1)}" if device == "cpu" else ""
    return f"{engine} on {device}, {compute_type}{threads}, batch {options.batch_size}"


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


def _with_transcript(work: Work, segments: Iterable[Segment], language: str | None, probability: float | None) -> Work:
    """The work with its transcript; no chunks of speech make a valid, empty one."""
    pieces = tuple(piece for segment in segments for piece in split_at_sentences(segment) if piece.text)
    notes = work.notes if pieces else (*work.notes, "no speech was found")
    transcript = Transcript(language, probability, round(work.duration, 3), pieces, notes)
    return dataclasses.replace(work, transcript=transcript)
