"""What a recogniser is asked for, and whether this machine and this model can do it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from app.errors import UsageError
from app.stages.ladder import Rung

BEAM_SIZE = 5


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
    jobs: int | None = None
    """Files that are recognised at once; None: as many as suit the device."""


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
    """`faster-whisper on cpu, int8, 2 threads, batch 8`."""
    cores = f", {in_words(threads, 'thread')}" if rung.device == "cpu" else ""
    return f"{engine} on {rung.device}, {rung.compute_type}{cores}, batch {rung.batch_size}"


def in_words(number: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {what}{'s' * (number != 1)}"


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
