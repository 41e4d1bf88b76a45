"""From a name to the file of a model that tells voices from the rest. Imports neither onnxruntime nor numpy.

What a name is: a path, where it has a slash, begins with ~ or ends in .onnx; else NAME of a file NAME.onnx, looked for

1. in `$XDG_DATA_HOME/run-app/models`, by default ~/.local/share/run-app/models;
2. where other programs keep such models: audio-separator, and Ultimate Vocal Remover, its Windows installation
   included where this is WSL;
3. on the hub, in its cache first, for the names in `ON_THE_HUB`.

HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.emilia.settings import EmiliaSettings
from app.errors import UsageError
from app.models import hub
from app.models.hub import DownloadProgress
from app.store import home_folder

SUFFIX = ".onnx"
UVR_MODELS = Path("models", "MDX_Net_Models")
"""In Ultimate Vocal Remover's folder."""
UVR_IN_WINDOWS = Path("AppData", "Local", "Programs", "Ultimate Vocal Remover") / UVR_MODELS
"""Below a person's folder: where its installer puts it."""
WINDOWS_USERS = Path("/mnt/c/Users")
"""As WSL shows them."""


@dataclass(frozen=True)
class Figures:
    """What a model's file does not say of itself."""

    n_fft: int
    """Samples at 44.1 kHz of the FFT whose spectra it takes."""
    gives: str
    """instrumental or vocals."""
    hop: int = 1024
    """Samples between its frames: of all models of this kind the same."""


KNOWN = {
    "UVR-MDX-NET-Inst_HQ_3": Figures(6144, "instrumental"),
    "UVR-MDX-NET-Inst_HQ_4": Figures(5120, "instrumental"),
    "UVR-MDX-NET-Inst_Main": Figures(5120, "instrumental"),
    "Kim_Inst": Figures(7680, "instrumental"),
    "UVR-MDX-NET-Voc_FT": Figures(7680, "vocals"),
    "Kim_Vocal_1": Figures(7680, "vocals"),
    "Kim_Vocal_2": Figures(7680, "vocals"),
}
"""By the file's name without .onnx. From Ultimate Vocal Remover's own table (TRvlvr/application_data,
mdx_model_data/model_data_new.json), where they stand under an MD5 of each file's end.
"""


@dataclass(frozen=True)
class Source:
    """Where a hub has a model's file. The repositories are private people's: the content counts, not the place."""

    repository: str
    sha256: str
    """Of the file in the release all_public_uvr_models of TRvlvr/model_repo, to which the original's README links."""


ON_THE_HUB = {
    "UVR-MDX-NET-Inst_HQ_3": Source(
        "masszhou/mdxnet", "317554b07fe1ea5279a77f2b1520a41ea4b93432560c4ffd08792c30fddf9adc"
    ),
    "UVR-MDX-NET-Voc_FT": Source("masszhou/mdxnet", "534b2070fcc7df514b13ef660dc8cbb328679c2374d04354a5c42bb14ecce111"),
}


def find_separator(
    name: str, *, offline: bool, report: Callable[[DownloadProgress], None] | None = None
) -> tuple[Path, str]:
    """The file of this name, absolute, and where it was found, in words. The module's docstring says what a name is.

    `offline` forbids every request. Raises UsageError with one line; KeyboardInterrupt passes through, and the next
    call goes on with the download.
    """
    if "/" in name or name.startswith("~") or name.endswith(SUFFIX):
        return _from_path(name)
    file = name + SUFFIX
    looked = list(_folders())
    for folder in looked:
        if os.path.isfile(folder / file) and _may_be_trusted(folder / file):  # noqa: PTH113
            return folder / file, f"{name} in {folder}"
    if source := ON_THE_HUB.get(name):
        return _from_hub(file, source, offline, report)
    raise UsageError(
        f"separation model {name}: no {file} in {_listed(looked)}, and the hub is only asked for "
        f"{' or '.join(ON_THE_HUB)}; put the file into the first of these folders, or give its path"
    )


def figures(settings: EmiliaSettings) -> Figures:
    """Of the model that is set: what the settings say, and for the rest what is known of a file of this name.

    Raises UsageError where neither says it: a wrong guess would leave the music and drop the voices.
    """
    path = Path(settings.separation_model)
    known = KNOWN.get(path.stem)
    n_fft = settings.separation_n_fft or (known and known.n_fft)
    gives = settings.separation_gives if settings.separation_gives != "auto" else known and known.gives
    if not n_fft or not gives:
        lacking = [name for name, value in (("separation_n_fft", n_fft), ("separation_gives", gives)) if not value]
        raise UsageError(
            f"{path}: what such a model takes and gives is not known by this name; set {' and '.join(lacking)} in "
            f"--config (known are {', '.join(KNOWN)})"
        )
    return Figures(n_fft, gives, settings.separation_hop)


def own_folder() -> Path:
    """Where a person puts models for run-app."""
    base = os.environ.get("XDG_DATA_HOME") or ""
    # The XDG specification calls a relative path invalid.
    above = Path(base) if base.startswith("/") else home_folder("XDG_DATA_HOME") / ".local" / "share"
    return above / "run-app" / "models"


def _folders() -> Iterator[Path]:
    # os.path.isfile and isdir, unlike Path's, say no where we may not even look.
    yield own_folder()
    yield Path(os.environ.get("AUDIO_SEPARATOR_MODEL_DIR") or "/tmp/audio-separator-models").absolute()
    with suppress(RuntimeError):  # a user without a home
        yield Path.home() / "ultimatevocalremovergui" / UVR_MODELS
    with suppress(OSError):  # no WSL, or Windows' disk is closed to it
        for person in sorted(WINDOWS_USERS.iterdir()):
            if os.path.isdir(folder := person / UVR_IN_WINDOWS):  # noqa: PTH112
                yield folder


def _may_be_trusted(file: Path) -> bool:
    """Whether nobody else can have put it there: in /tmp anybody can, and what is loaded can do harm."""
    return not file.is_relative_to("/tmp") or file.stat().st_uid in (0, os.getuid())


def _from_path(name: str) -> tuple[Path, str]:
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError:  # ~ of a user who does not exist
        path = Path(name)
    if os.path.isfile(path):  # noqa: PTH113
        return path, str(path)
    problem = f"a folder; give the {SUFFIX} file in it" if path.is_dir() else "no such file"
    known = path.stem in KNOWN and "/" not in name
    advice = f"; without {SUFFIX} it is looked for in more places: {path.stem}" if known else ""
    raise UsageError(f"separation model {path}: {problem}{advice}")


def _from_hub(
    file: str, source: Source, offline: bool, report: Callable[[DownloadProgress], None] | None
) -> tuple[Path, str]:
    where = "hub cache"
    folder = hub.cached_files(source.repository, (file,))
    if folder is None:
        if offline or hub.is_offline():
            raise UsageError(
                f"separation model {file.removesuffix(SUFFIX)}: not in {_listed(list(_folders()))}, nor in the hub's "
                f"cache, and {'--offline' if offline else 'HF_HUB_OFFLINE'} forbids downloading it"
            )
        folder, where = hub.download_files(source.repository, (file,), report), "downloaded"
    path = folder / file
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != source.sha256:
        raise UsageError(
            f"{path}: sha256 {found[:12]}... is not the published {file}'s ({source.sha256[:12]}...): remove it with "
            f"rm {shlex.quote(str(path.resolve()))}, or give another file's path"
        )
    return path, f"{file.removesuffix(SUFFIX)} of {source.repository} ({where})"


def _listed(folders: list[Path]) -> str:
    return " or ".join(map(str, folders))
