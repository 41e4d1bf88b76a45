"""What a visitor may ask for: every value from a list or within bounds, none that could become a path or an address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from app.errors import UsageError
from app.languages import CODES
from app.models import REPOSITORIES
from app.writers import WRITERS

FORMATS = tuple(WRITERS)
DEFAULT_FORMATS = ("txt", "srt", "vtt", "json")
MOST_SPEAKERS = 50
LONGEST_S = 12 * 3600.0
"""Of sound in one recording: 2.8 GB of memory while it is worked on."""
LONGEST_TEXT = 2000
"""Characters of a prompt: Whisper takes about 220 tokens of it."""


@dataclass(frozen=True)
class Options:
    """What to do with a job's recordings."""

    model: str = ""
    """One of app.models.REPOSITORIES; "" is the profile's. No folder: a visitor has no business with the server's."""
    language: str = ""
    """ISO 639-1 code; "" to detect it."""
    translate: bool = False
    """Into English."""
    diarize: bool = False
    """Tell speakers apart; the three numbers and the names imply it."""
    speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    names: tuple[str, ...] = ()
    """Of the speakers, in the order they first speak."""
    prompt: str = ""
    hotwords: str = ""
    formats: tuple[str, ...] = DEFAULT_FORMATS
    """That `/result` and the zip hold."""

    @property
    def wants_speakers(self) -> bool:
        return self.diarize or bool(self.names or self.speakers or self.min_speakers or self.max_speakers)

    @staticmethod
    def again(data: Mapping[str, Any]) -> Options:
        """From what was kept of checked ones. A model that is no longer offered ends its job, not the start."""
        kept: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in data.items()}
        return Options(**kept)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Options:
        """From JSON, or a visitor's form: None, "" and what is left out mean the default. Raises UsageError with a line
        that names the option and what would be right.
        """
        known = {each.name for each in fields(Options)}
        if unknown := sorted(str(name) for name in data if name not in known):
            raise UsageError(f"unknown option {unknown[0][:40]!r}; there are {', '.join(sorted(known))}")
        given = {name: value for name, value in data.items() if value not in (None, "", [], ())}
        checked = {name: _CHECKS[name](name, value) for name, value in given.items()}
        options = Options(**checked)
        least, most = options.min_speakers, options.max_speakers
        if options.speakers and (least or most):
            raise UsageError("speakers says exactly how many; leave out min_speakers and max_speakers")
        if least and most and least > most:
            raise UsageError(f"min_speakers {least} is more than max_speakers {most}")
        return options


def _choice(*choices: str) -> Any:
    def check(name: str, value: Any) -> str:
        if value not in choices:
            raise UsageError(f"{name}: must be one of {', '.join(choices)}")
        return str(value)

    return check


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name}: must be true or false")
    return value


def _number(name: str, value: Any) -> int:
    if type(value) not in (int, float) or value not in range(1, MOST_SPEAKERS + 1):
        raise UsageError(f"{name}: must be a whole number from 1 to {MOST_SPEAKERS}")
    return int(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise UsageError(f"{name}: must be a text of at most {LONGEST_TEXT} characters")
    return writable(name, value.strip())


def writable(name: str, text: str) -> str:
    """Raises UsageError for half a character, which no file and no answer can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name}: holds what is no character") from None
    return text


def speaker_name(name: str, value: Any) -> str:
    """What a person may call a speaker. Raises UsageError."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > 80 or not text.isprintable():
        raise UsageError(f"{name}: a name has 1 to 80 characters")
    if re.fullmatch(r"SPEAKER_\d+", text):
        raise UsageError(f"{name}: SPEAKER_00 and so on are the names of those who have none")
    return text


def _names(name: str, value: Any) -> tuple[str, ...]:
    many = value.split(",") if isinstance(value, str) else value
    if not isinstance(many, list | tuple) or len(many) > MOST_SPEAKERS:
        raise UsageError(f"{name}: must be a list of at most {MOST_SPEAKERS} names")
    names = tuple(speaker_name(name, each) for each in many)
    if len(set(names)) < len(names):
        raise UsageError(f"{name}: one comes twice")
    return names


def _formats(name: str, value: Any) -> tuple[str, ...]:
    many = value.split(",") if isinstance(value, str) else value
    if not isinstance(many, list | tuple):
        raise UsageError(f"{name}: must be a list of {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(_choice(*FORMATS)(name, each) for each in many))


_CHECKS: dict[str, Any] = {
    "model": _choice(*REPOSITORIES),
    "language": _choice(*CODES),
    "translate": _truth,
    "diarize": _truth,
    "speakers": _number,
    "min_speakers": _number,
    "max_speakers": _number,
    "names": _names,
    "prompt": _text,
    "hotwords": _text,
    "formats": _formats,
}
