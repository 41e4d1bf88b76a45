"""From the name of a Whisper model to its files. Imports neither torch nor CTranslate2 nor faster-whisper.

What a name is, in this order:

1. A folder: `/a/b`, `./a`, `../a`, `~/a`, `a/`, `a/b/c`; and `a/b` where such a folder exists.
2. A hub's repository: any other `a/b`.
3. Without a slash a name never depends on the current folder. It is an embedded model (`tiny.en`, `base`)
   where a package that carries it is installed; else one of `REPOSITORIES`, the names faster-whisper knows.

Of a repository, the snapshot in the hub's cache is taken if it is complete; else it is downloaded, unless
that is forbidden. HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from app.models import embedded, hub
from app.models.folder import ModelError, WhisperModelFiles, inspect
from app.models.hub import DownloadProgress

__all__ = ["REPOSITORIES", "DownloadProgress", "ModelError", "WhisperModelFiles", "find_model"]

REPOSITORIES = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "tiny": "Systran/faster-whisper-tiny",
    "base.en": "Systran/faster-whisper-base.en",
    "base": "Systran/faster-whisper-base",
    "small.en": "Systran/faster-whisper-small.en",
    "small": "Systran/faster-whisper-small",
    "medium.en": "Systran/faster-whisper-medium.en",
    "medium": "Systran/faster-whisper-medium",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""Short name: repository of the CTranslate2 conversion. A test compares it with faster-whisper's table."""


def find_model(
    name: str, *, offline: bool, report: Callable[[DownloadProgress], None] | None = None
) -> WhisperModelFiles:
    """Find a model, and download it if it has to be. The module's docstring says what a name may be.

    `offline` forbids every request. `report` is called in this thread, about once a MiB. Raises ModelError
    with one line; KeyboardInterrupt passes through, and the next call goes on where the download was.
    """
    if is_folder(name):
        return inspect(name, existing_folder(name), "folder")
    if path := embedded.locate(name):
        return inspect(name, path, "embedded")
    repository = name if "/" in name else REPOSITORIES.get(name)
    if repository is None:
        raise ModelError(_unknown(name))
    if path := hub.cached(repository):
        return inspect(name, path, "hub cache")
    if offline or hub.is_offline():
        raise ModelError(_not_here(name, repository, "--offline" if offline else "HF_HUB_OFFLINE"))
    return inspect(name, hub.download(repository, report), "downloaded")


def is_folder(name: str) -> bool:
    looks_like_one = name.startswith(("/", "./", "../", "~")) or name.endswith("/") or name.count("/") > 1
    return looks_like_one or name in (".", "..") or ("/" in name and Path(name).is_dir())


def existing_folder(name: str, holds: str = "model.bin") -> Path:
    """The folder of this name, absolute. Raises ModelError."""
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError:  # ~ of a user who does not exist
        path = Path(name)
    if path.is_dir():
        return path
    problem = f"a file, but a model is a folder with {holds} in it" if path.exists() else "no such folder"
    raise ModelError(f"{path}: {problem}")


def _unknown(name: str) -> str:
    if name and Path(name).is_dir():
        return f"unknown model {name!r}; for the folder of that name here write ./{name}"
    near = difflib.get_close_matches(name.lower(), REPOSITORIES, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(REPOSITORIES))};"
    return f"unknown model {name!r}; {guess} A folder is written with a slash, a hub's repository as owner/name"


def _not_here(name: str, repository: str, forbidden_by: str) -> str:
    advice = f"; a package brings it: {embedded.EXTRA}" if name in embedded.NAMES else ""
    no_folder = f", and there is no folder {name}" if "/" in name else ""
    return (
        f"{name}: {repository} is not, or not completely, in the hub's cache{no_folder}, "
        f"and {forbidden_by} forbids downloading it{advice}"
    )
