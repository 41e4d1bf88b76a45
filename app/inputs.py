"""From what was typed to the recordings to work on, and where their outputs go."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.audio import MEDIA_SUFFIXES
from app.errors import InputError, UsageError
from app.remote import Location, check_writable, file_name, joined, listing, located, shown


@dataclass(frozen=True)
class Input:
    """One recording."""

    path: Location
    """Absolute, or a URL."""
    stem: Path
    """Where its outputs go, below the output folder, before the dot and the format."""
    size: int | None = None
    """Bytes, of a URL, where its server says."""

    @property
    def name(self) -> str:
        return self.path.name if isinstance(self.path, Path) else file_name(self.path)

    @property
    def shown(self) -> str:
        """For messages."""
        return shown(self.path)

    def outputs(self, folder: Location, formats: Iterable[str]) -> dict[str, Location]:
        names = {form: self.stem.with_name(f"{self.stem.name}.{form}") for form in formats}
        return {
            form: folder / name if isinstance(folder, Path) else joined(folder, str(name))
            for form, name in names.items()
        }


def collect(
    arguments: Iterable[Location], say: Callable[[str], None] = lambda line: None
) -> tuple[list[Input], list[InputError]]:
    """Files as they are named; folders with all recordings below them, whose tree the outputs mirror. A URL is text;
    text that is none is a path.

    Outputs are named after the recording without its ending. Where two would be the same, their names grow until
    they differ: by the ending (a.mp3.txt, a.wav.txt), by the folder (day1/a.mp3.txt), by the whole path. `say` is
    told of a server that is asked again.
    """
    found: dict[Location, tuple[Path, ...]] = {}
    sizes: dict[Location, int | None] = {}
    errors: list[InputError] = []
    for argument in arguments:
        try:
            place = argument if isinstance(argument, Path) else located(argument)
            for path, names in _here(place, errors) if isinstance(place, Path) else _elsewhere(place, say, sizes):
                found.setdefault(path, names)
        except UsageError as error:
            errors.append(InputError(str(error)))
    return [Input(path, stem, sizes.get(path)) for path, stem in _distinct(found).items()], errors


def _elsewhere(
    url: str, say: Callable[[str], None], sizes: dict[Location, int | None]
) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """What the URL names, each with the names that its outputs may have; `sizes` learns theirs. Raises UsageError."""
    for file in listing(url, MEDIA_SUFFIXES, say):
        sizes[file.url] = file.size
        name = Path(file.name)
        # The whole without what would lead out of the output folder.
        whole = Path(*(part for part in shown(file.url).replace("://", "/", 1).split("/") if part != ".."))
        # Two URLs may differ in what a path has no room for: a//b.mp3 and a/b.mp3 are two objects.
        last = whole.with_name(f"{whole.name}-{hashlib.sha256(file.url.encode()).hexdigest()[:8]}")
        yield file.url, (*_names(name, whole.parents[len(name.parts) - 1].name, whole), last)


def _here(argument: Path, errors: list[InputError]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """The same for a path, or for what a pattern matches."""
    for path in _expanded(argument):
        yield from _at(path, errors)


def _at(argument: Path, errors: list[InputError]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
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
            yield path, _names(path.relative_to(top), top.name, path.relative_to("/"))


def _names(name: Path, top: str, whole: Path) -> tuple[Path, ...]:
    """What outputs may be called, the shortest first: by its name below the `top` that was asked for, or `whole`."""
    return name.with_suffix(""), name, Path(top) / name, whole


def _expanded(argument: Path) -> Iterator[Path]:
    """A pattern that the shell left as it is, `talks/**/*.mp3` in quotes, becomes what it matches."""
    if glob.has_magic(str(argument)) and not os.path.lexists(argument):
        matches = sorted(glob.glob(str(argument), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
        if matches:  # `**` matches the folders on the way as well
            yield from (Path(match) for match in matches if "**" not in str(argument) or Path(match).is_file())
            return
    yield argument


def _distinct(names: dict[Location, tuple[Path, ...]]) -> dict[Location, Path]:
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


def check_output_folder(folder: Location) -> None:
    """Prove that files can be made there, before any work is done for it. Leaves no trace: the folder itself is
    made with the first output. Raises UsageError.
    """
    if not isinstance(folder, Path):
        check_writable(folder)
        return
    try:
        place = Path(os.path.abspath(folder))  # noqa: PTH100 - as above
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: can't write there ({error.strerror}); choose another folder with -o") from None
