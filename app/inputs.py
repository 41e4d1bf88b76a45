"""From what was typed to the recordings to work on, and where their outputs go."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.audio import MEDIA_SUFFIXES
from app.errors import InputError, UsageError


@dataclass(frozen=True)
class Input:
    """One recording."""

    path: Path
    """Absolute."""
    stem: Path
    """Where its outputs go, below the output folder, before the dot and the format."""

    @property
    def name(self) -> str:
        return self.path.name

    def outputs(self, folder: Path, formats: Iterable[str]) -> dict[str, Path]:
        return {form: folder / self.stem.with_name(f"{self.stem.name}.{form}") for form in formats}


def collect(arguments: Iterable[Path]) -> tuple[list[Input], list[InputError]]:
    """Files as they are named; folders with all recordings below them, whose tree the outputs mirror.

    Two recordings of the same place and stem keep their endings in the outputs' names: a.mp3.txt, a.wav.txt.
    """
    found: dict[Path, Path] = {}
    errors: list[InputError] = []
    for argument in arguments:
        path = Path(os.path.abspath(argument))  # noqa: PTH100 - resolve() would replace links by what they name
        if path.is_dir():
            recordings = _recordings_in(path)
            if not recordings:
                errors.append(
                    InputError(f"{argument}: no recordings in this folder (by their endings, as .wav or .mp4)")
                )
            for recording in recordings:
                found.setdefault(recording, recording.relative_to(path))
        elif path.exists():
            found.setdefault(path, Path(path.name))
        else:
            errors.append(InputError(f"{argument}: no such file or folder"))
    stems = Counter(name.with_suffix("") for name in found.values())
    return [
        Input(path, name if stems[name.with_suffix("")] > 1 else name.with_suffix("")) for path, name in found.items()
    ], errors


def _recordings_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )


def sample() -> Path:
    """The two-speaker telephone talk, 30 s, that pyannote.audio's wheel carries.

    By its path: importing pyannote.audio costs 25 CPU seconds and decodes the sample on the way.
    """
    parent = importlib.util.find_spec("pyannote")
    for folder in (parent and parent.submodule_search_locations) or ():
        path = Path(folder, "audio", "sample", "sample.wav")
        if path.is_file():
            return path
    raise UsageError("--sample is a recording in the pyannote.audio package: pip install 'run-app[app]'")


def check_output_folder(folder: Path) -> None:
    """Prove that files can be made there, before any work is done for it. Leaves no trace: the folder itself is
    made with the first output.
    """
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - as above
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: can't write there ({error.strerror}); choose another folder with -o") from None
