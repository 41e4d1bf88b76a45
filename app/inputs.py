"""From what was typed to the recordings to work on, and where their outputs go."""

from __future__ import annotations

import glob
import importlib.util
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
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

    Outputs are named after the recording without its ending. Where two would be the same, their names grow until
    they differ: by the ending (a.mp3.txt, a.wav.txt), by the folder (day1/a.mp3.txt), by the whole path.
    """
    found: dict[Path, tuple[Path, ...]] = {}
    errors: list[InputError] = []
    for argument in _expanded(arguments):
        try:
            top = Path(os.path.abspath(argument))  # noqa: PTH100 - resolve() would replace links by what they name
            mode = top.stat().st_mode
            if stat.S_ISDIR(mode):
                recordings = list(_recordings_in(top, errors))
                if not recordings:
                    errors.append(InputError(f"{argument}: no recordings in this folder (by their endings)"))
            elif stat.S_ISREG(mode):
                recordings, top = [top], top.parent
            else:
                raise InputError(f"{argument}: not a regular file; save what it gives to a file first")
        except FileNotFoundError:
            errors.append(InputError(f"{argument}: no such file or folder"))
        except OSError as error:
            errors.append(InputError(f"{argument}: {error.strerror}"))
        except InputError as error:
            errors.append(error)
        else:
            for path in recordings:
                name = path.relative_to(top)
                whole = path.relative_to("/")
                found.setdefault(path, (name.with_suffix(""), name, Path(top.name) / name, whole))
    return [Input(path, stem) for path, stem in _distinct(found).items()], errors


def _expanded(arguments: Iterable[Path]) -> Iterator[Path]:
    """A pattern that the shell left as it is, `talks/**/*.mp3` in quotes, becomes what it matches."""
    for argument in arguments:
        if glob.has_magic(str(argument)) and not os.path.lexists(argument):
            matches = sorted(glob.glob(str(argument), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
            if matches:  # `**` matches the folders on the way as well
                yield from (Path(match) for match in matches if "**" not in str(argument) or Path(match).is_file())
                continue
        yield argument


def _distinct(names: dict[Path, tuple[Path, ...]]) -> dict[Path, Path]:
    """For each path the first of its names that no other path has; the last ones are distinct by themselves."""
    level = dict.fromkeys(names, 0)
    while True:
        chosen = {path: names[path][at] for path, at in level.items()}
        count = Counter(chosen.values())
        shared = [path for path, name in chosen.items() if count[name] > 1]
        if not shared:
            return chosen
        for path in shared:
            level[path] = min(level[path] + 1, len(names[path]) - 1)


def _recordings_in(folder: Path, errors: list[InputError]) -> Iterator[Path]:
    """Below the folder, in order, linked folders once; hidden files and folders are left out."""

    def unreadable(error: OSError) -> None:
        errors.append(InputError(f"{error.filename}: {error.strerror}"))

    seen: set[str] = set()
    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in MEDIA_SUFFIXES and not name.startswith("."):
                yield path


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
    try:
        place = Path(os.path.abspath(folder))  # noqa: PTH100 - as above
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: can't write there ({error.strerror}); choose another folder with -o") from None
