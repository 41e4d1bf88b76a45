"""What a profile says to the app, with the command's own flags before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from app.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")
COMPUTE_TYPES = (
    "auto int8 int8_float32 int8_float16 int8_bfloat16 int16 float16 bfloat16 float32".split()
)  # fmt: skip
MOST_THREADS = 8
"""Without a word from the user, a machine's other cores are left to others; --threads takes more."""

BEAM_SIZE = 5
"""Whisper's own default for how many ways are followed at once."""

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How the models run on this machine. A profile sets each by RUN_APP_ and its name in capitals,
    but the threads by OMP_NUM_THREADS, which the libraries read as well.
    """

    model: str = "base"
    device: str = "auto"
    compute_type: str = "auto"
    batch_size: int = 8
    threads: int = 1
    resident: bool = False


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The profile's settings. Raises UsageError that names the variable and what would be right."""

    def get(name: str, parse: Callable[[str], T], default: T) -> T:
        variable = f"RUN_APP_{name.upper()}"
        value = environment.get(variable, "")
        if not value:
            return default
        try:
            return parse(value)
        except ValueError as error:
            raise UsageError(f"{variable}={value}: {error}") from None

    return Settings(
        model=get("model", str, Settings.model),
        device=get("device", one_of(DEVICES), Settings.device),
        compute_type=get("compute_type", one_of(COMPUTE_TYPES), Settings.compute_type),
        batch_size=get("batch_size", positive, Settings.batch_size),
        threads=default_threads(environment),
        resident=get("resident", true_or_false, Settings.resident),
    )


def default_threads(environment: Mapping[str, str]) -> int:
    """OMP_NUM_THREADS where it is set, else the cores this process may use."""
    try:
        return positive(environment.get("OMP_NUM_THREADS", "").partition(",")[0])
    except ValueError:
        return min(len(os.sched_getaffinity(0)), MOST_THREADS)


def at_least(least: int) -> Callable[[str], int]:
    """A parser that takes integers from this one on; ValueError says so."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ValueError(f"must be an integer of at least {least}")
        return int(text)

    return parse


def positive(text: str) -> int:
    """An integer of at least 1; ValueError says so."""
    return at_least(1)(text)


def one_of(choices: tuple[str, ...] | list[str]) -> Callable[[str], str]:
    """A parser that takes one of these words; ValueError lists them."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def true_or_false(text: str) -> bool:
    """True or False, with a capital."""
    if text not in ("True", "False"):
        raise ValueError("must be True or False")
    return text == "True"
