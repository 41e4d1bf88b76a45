"""What `transcribe` was asked for, and whether it can be done, as far as that is known before any work begins."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import UsageError
from app.inputs import Input, check_output_folder
from app.languages import CODES
from app.models import WhisperModelFiles
from app.remote import Location, shown, spelt
from app.settings import Settings
from app.stages.diarize import Speakers
from app.subtitles import SubtitleStyle
from launcher import hardware


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, checked."""

    inputs: Sequence[Input]
    output_folder: Location
    formats: tuple[str, ...]
    settings: Settings
    asr: str
    vad: str
    language: str | None
    offline: bool
    task: str = "transcribe"
    beam_size: int = 5
    prompt: str | None = None
    hotwords: str | None = None
    align_model: str = "auto"
    diarizer: str | None = None
    """None: speakers are not asked for."""
    speakers: Speakers = field(default_factory=Speakers)
    names: tuple[str, ...] = ()
    subtitles: SubtitleStyle = field(default_factory=SubtitleStyle)
    jobs: int | None = None
    longest_s: float = math.inf
    """Of sound in one file."""
    artefacts: str = "artefacts"
    """The state folder of what its stages finish."""
    engine: str = "local"
    """Or `ray`."""
    address: str | None = None
    """Of a Ray that is there; None: one of our own."""
    workers: int | None = None
    """Side by side; None: one here, as many as its machines bear on Ray."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The settings that the command line said itself, not the profile: they hold on every machine."""


def check_outputs(request: Request) -> None:
    check_output_folder(request.output_folder)
    sources = {_spelt(item.path) for item in request.inputs}
    for item in request.inputs:
        for place in item.outputs(request.output_folder, request.formats).values():
            if _spelt(place) in sources:
                raise UsageError(f"{shown(place)}: this output would replace an input; choose another folder with -o")
            if isinstance(place, Path) and place.is_dir():
                raise UsageError(f"{place}: this output is a folder already; choose another folder with -o")


def _spelt(place: Location) -> str:
    """The same for what is the same file."""
    return os.path.realpath(place) if isinstance(place, Path) else spelt(place)


def check_device(device: str) -> None:
    """Say that there is no card before gigabytes of a model are fetched for it."""
    if device != "cuda":
        return
    found, why = hardware.cards()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        found, why = hardware.visible(found, chosen), f"CUDA_VISIBLE_DEVICES={chosen}"
    if not found:
        raise UsageError(
            f"device cuda is asked for, but no CUDA card is visible ({why}); "
            "use --profile cpu, or --device cpu with a compute type and a model that fit"
        )


def check_code(language: str | None) -> None:
    if language is not None and language not in CODES:
        raise UsageError(f"unknown language {language!r}; give a code as {', '.join(CODES)}")


def check_language(request: Request, model: WhisperModelFiles) -> None:
    language = request.language
    if model.multilingual:
        return
    if language not in (None, "en"):
        raise UsageError(f"this model knows English only: --language {language} needs a multilingual one, as `base`")
    if request.task == "translate":
        raise UsageError("this model knows English only: --translate needs a multilingual one, as `base`")
