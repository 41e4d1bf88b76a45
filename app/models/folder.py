"""A Whisper model on disk: what its folder must hold, and what can be told from it without CTranslate2."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.errors import UsageError

WEIGHTS = "model.bin"
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*", WEIGHTS)
"""Patterns of all that faster-whisper opens. preprocessor_config.json is optional (128 mel bands need it)."""

MULTILINGUAL_VOCABULARY_SIZE = 51_865
"""English-only models have 51,864 tokens, multilingual ones 51,865, from large-v3 on 51,866. CTranslate2 draws
the same line (src/models/whisper.cc), older versions by this file, newer ones by the weights."""

_FOREIGN = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "flax_model.msgpack")


class ModelError(UsageError):
    """No usable model under this name: what, where, and what would be right, in one line."""


@dataclass(frozen=True)
class WhisperModelFiles:
    """A complete Whisper model in CTranslate2's layout."""

    name: str
    """What the user asked for."""
    path: Path
    """An absolute folder with model.bin, config.json, tokenizer.json and vocabulary.txt or .json."""
    origin: Literal["folder", "hub cache", "downloaded", "embedded"]
    multilingual: bool
    """False for an English-only model, which can't be asked which language it hears."""


def inspect(
    name: str, path: Path, origin: Literal["folder", "hub cache", "downloaded", "embedded"]
) -> WhisperModelFiles:
    """Look at a folder as far as that is cheap (a listing, 32 bytes of weights, the vocabulary: about 3 ms).

    Raises ModelError where it is not a Whisper model that CTranslate2 can load.
    """
    try:
        names = names_in(path)
        if lacking := missing_from(names):
            raise ModelError(f"{path}: {describe_missing(lacking, names)}")
        _check_header(path / WEIGHTS)
        size = _vocabulary_size(path)
    except OSError as error:
        raise ModelError(f"{error.filename or path}: {error.strerror}") from None
    return WhisperModelFiles(name, path, origin, multilingual=size >= MULTILINGUAL_VOCABULARY_SIZE)


def names_in(path: Path) -> set[str]:
    """The files of a folder; a link whose target is gone is not one."""
    return {entry.name for entry in path.iterdir() if entry.is_file()}


def missing_from(names: Collection[str]) -> list[str]:
    """Which of the files that every model needs are not among these names."""
    # Without tokenizer.json faster-whisper would fetch one from the hub, --offline or not.
    lacking = [name for name in (WEIGHTS, "config.json", "tokenizer.json") if name not in names]
    if not any(name in names for name in VOCABULARIES):
        lacking.append(" or ".join(VOCABULARIES))
    return lacking


def describe_missing(lacking: Collection[str], names: Collection[str]) -> str:
    """Why these names make no model, and what would."""
    files = ", ".join(lacking)
    if WEIGHTS not in lacking:
        return f"incomplete as a CTranslate2 Whisper model, no {files}; copy what is missing from its origin"
    foreign = [name for name in sorted(names) if name in _FOREIGN or name.endswith((".pt", ".gguf"))]
    if not foreign:
        return f"no CTranslate2 Whisper model: no {files}"
    return (
        f"{foreign[0]} is not in CTranslate2's format (no {files}); take a converted model, or convert it: "
        "ct2-transformers-converter --model transformers-folder --output_dir new-folder"
        " --copy_files tokenizer.json preprocessor_config.json"
    )


def _check_header(weights: Path) -> None:
    """CTranslate2 writes a version (uint32), a length (uint16) and the specification's name."""
    with weights.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version "):
        raise ModelError(f"{weights}: a Git LFS pointer, not the weights; fetch them with: git lfs pull")
    specification = head[6 : 6 + struct.unpack_from("<H", head, 4)[0]].rstrip(b"\0") if len(head) >= 6 else b""
    if specification != b"WhisperSpec":
        raise ModelError(f"{weights}: not the weights of a CTranslate2 Whisper model, or damaged")


def _vocabulary_size(path: Path) -> int:
    listing = path / VOCABULARIES[0]
    if not listing.is_file():
        return (path / VOCABULARIES[1]).read_bytes().count(b"\n")
    try:
        return len(json.loads(listing.read_bytes()))
    except (ValueError, TypeError):
        raise ModelError(f"{listing}: not a JSON list of tokens") from None
