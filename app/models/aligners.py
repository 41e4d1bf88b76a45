"""Which wav2vec2 model places the words of which language. Imports neither torch nor whisperX.

What a name is: `auto`; a folder, or a hub's repository, of a Wav2Vec2ForCTC as transformers saves it, written with a
slash as in `app.models`; or a bundle of torchaudio, e.g. WAV2VEC2_ASR_BASE_960H. `auto` takes for each language the
model that whisperX takes, where it is on this machine, and downloads nothing: they are 0.4 to 4 GB each, and the
recogniser has word times of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.models import existing_folder, hub, is_folder
from app.models.folder import ModelError
from app.models.hub import DownloadProgress

BUNDLES = {
    "WAV2VEC2_ASR_BASE_960H": "wav2vec2_fairseq_base_ls960_asr_ls960.pth",
    "VOXPOPULI_ASR_BASE_10K_FR": "wav2vec2_voxpopuli_base_10k_asr_fr.pt",
    "VOXPOPULI_ASR_BASE_10K_DE": "wav2vec2_voxpopuli_base_10k_asr_de.pt",
    "VOXPOPULI_ASR_BASE_10K_ES": "wav2vec2_voxpopuli_base_10k_asr_es.pt",
    "VOXPOPULI_ASR_BASE_10K_IT": "wav2vec2_voxpopuli_base_10k_asr_it.pt",
}
"""torchaudio's bundles, and the file of each in torch's cache. A test compares them with torchaudio."""

DEFAULTS = {
    "en": "WAV2VEC2_ASR_BASE_960H",
    "fr": "VOXPOPULI_ASR_BASE_10K_FR",
    "de": "VOXPOPULI_ASR_BASE_10K_DE",
    "es": "VOXPOPULI_ASR_BASE_10K_ES",
    "it": "VOXPOPULI_ASR_BASE_10K_IT",
    "ja": "jonatasgrosman/wav2vec2-large-xlsr-53-japanese",
    "zh": "jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn",
    "nl": "jonatasgrosman/wav2vec2-large-xlsr-53-dutch",
    "uk": "Yehor/wav2vec2-xls-r-300m-uk-with-small-lm",
    "pt": "jonatasgrosman/wav2vec2-large-xlsr-53-portuguese",
    "ar": "jonatasgrosman/wav2vec2-large-xlsr-53-arabic",
    "cs": "comodoro/wav2vec2-xls-r-300m-cs-250",
    "ru": "jonatasgrosman/wav2vec2-large-xlsr-53-russian",
    "pl": "jonatasgrosman/wav2vec2-large-xlsr-53-polish",
    "hu": "jonatasgrosman/wav2vec2-large-xlsr-53-hungarian",
    "fi": "jonatasgrosman/wav2vec2-large-xlsr-53-finnish",
    "fa": "jonatasgrosman/wav2vec2-large-xlsr-53-persian",
    "el": "jonatasgrosman/wav2vec2-large-xlsr-53-greek",
    "tr": "mpoyraz/wav2vec2-xls-r-300m-cv7-turkish",
    "da": "saattrupdan/wav2vec2-xls-r-300m-ftspeech",
    "he": "imvladikon/wav2vec2-xls-r-300m-hebrew",
    "vi": "nguyenvulebinh/wav2vec2-base-vi-vlsp2020",
    "ko": "kresnik/wav2vec2-large-xlsr-korean",
    "ur": "kingabzpro/wav2vec2-large-xls-r-300m-Urdu",
    "te": "anuragshas/wav2vec2-large-xlsr-53-telugu",
    "hi": "theainerd/Wav2Vec2-large-xlsr-hindi",
    "ca": "softcatala/wav2vec2-large-xlsr-catala",
    "ml": "gvs/wav2vec2-large-xlsr-malayalam",
    "no": "NbAiLab/nb-wav2vec2-1b-bokmaal-v2",
    "nn": "NbAiLab/nb-wav2vec2-1b-nynorsk",
    "sk": "comodoro/wav2vec2-xls-r-300m-sk-cv8",
    "sl": "anton-l/wav2vec2-large-xlsr-53-slovenian",
    "hr": "classla/wav2vec2-xls-r-parlaspeech-hr",
    "ro": "gigant/romanian-wav2vec2",
    "eu": "stefan-it/wav2vec2-large-xlsr-53-basque",
    "gl": "ifrz/wav2vec2-large-xlsr-galician",
    "ka": "xsway/wav2vec2-large-xlsr-georgian",
    "lv": "jimregan/wav2vec2-large-xlsr-latvian-cv",
    "tl": "Khalsuu/filipino-wav2vec2-l-xls-r-300m-official",
    "sv": "KBLab/wav2vec2-large-voxrex-swedish",
    "id": "cahya/wav2vec2-large-xlsr-indonesian",
}
"""Language: bundle or repository, as whisperX chooses (whisperx/alignment.py). A test compares the two."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""transformers prefers the first."""
SMALL_FILES = ("config.json", "vocab.json")
"""All that is needed beside the weights: the architecture, and which output is which character."""


@dataclass(frozen=True)
class AlignModel:
    """One wav2vec2 model with characters for outputs, on this disk."""

    name: str
    """What it is called: the bundle, the repository, or what the user wrote."""
    kind: Literal["torchaudio", "transformers"]
    path: str
    """Of torchaudio the file of weights, of transformers the folder."""
    language: str | None
    """None: the user named it, so it is for whatever is spoken."""


@dataclass(frozen=True)
class Aligner:
    """The models that a run may align words with."""

    models: tuple[AlignModel, ...]

    def of(self, language: str | None) -> AlignModel | None:
        return next((model for model in self.models if model.language in (None, language)), None)


def find_aligner(
    name: str,
    language: str | None,
    *,
    offline: bool,
    report: Callable[[DownloadProgress], None] | None = None,
) -> Aligner | None:
    """Find what a name means; None where `auto` finds no model at all. The module's docstring says what a name may be.

    `language` narrows `auto` to one. A named repository is downloaded if it has to be, unless `offline` forbids it.
    Raises ModelError with one line.
    """
    if name == "auto":
        languages = DEFAULTS if language is None else [language] if language in DEFAULTS else []
        found = tuple(model for code in languages if (model := _here(DEFAULTS[code], code)))
        return Aligner(found) if found else None
    if is_folder(name):
        return Aligner((_from_folder(name),))
    if "/" in name:
        return Aligner((_from_hub(name, offline, report),))
    if name not in BUNDLES:
        raise ModelError(
            f"unknown alignment model {name!r}; known are auto and {', '.join(BUNDLES)}. "
            "A folder is written with a slash, a hub's repository as owner/name"
        )
    if model := _here(name, None):
        return Aligner((model,))
    raise ModelError(
        f"{name}: there is no {_checkpoint(name)}; torchaudio.pipelines.{name}.get_model() brings it there"
    )


def _here(name: str, language: str | None) -> AlignModel | None:
    """The bundle or repository of this name, if it is on this machine."""
    if name in BUNDLES:
        path = _checkpoint(name)
        return AlignModel(name, "torchaudio", str(path), language) if path.is_file() else None
    folder = _cached(name)
    return AlignModel(name, "transformers", str(folder), language) if folder else None


def _checkpoint(bundle: str) -> Path:
    """Where torch.hub keeps it: TORCH_HOME, else XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))  # noqa: PTH111, PTH118
    return Path(home, "hub", "checkpoints", BUNDLES[bundle])


def _cached(repository: str) -> Path | None:
    folders = (hub.cached_files(repository, (*SMALL_FILES, weights)) for weights in WEIGHTS)
    return next((folder for folder in folders if folder), None)


def _from_hub(name: str, offline: bool, report: Callable[[DownloadProgress], None] | None) -> AlignModel:
    folder = _cached(name)
    if folder is None:
        if offline or hub.is_offline():
            forbidden_by = "--offline" if offline else "HF_HUB_OFFLINE"
            raise ModelError(
                f"{name} is not, or not completely, in the hub's cache, and {forbidden_by} forbids downloading it"
            )
        folder = _download(name, report)
    _check(folder)
    return AlignModel(name, "transformers", str(folder), None)


def _download(repository: str, report: Callable[[DownloadProgress], None] | None) -> Path:
    try:
        return hub.download_files(repository, (*SMALL_FILES, WEIGHTS[0]), report)
    except hub.HubError:
        raise
    except ModelError as error:
        if WEIGHTS[0] not in str(error):
            raise
        return hub.download_files(repository, (*SMALL_FILES, WEIGHTS[1]), report)


def _from_folder(name: str) -> AlignModel:
    path = existing_folder(name, SMALL_FILES[0])
    lacking = [file for file in SMALL_FILES if not (path / file).is_file()]
    if not any((path / file).is_file() for file in WEIGHTS):
        lacking.append(" or ".join(WEIGHTS))
    if lacking:
        raise ModelError(f"{path}: no wav2vec2 model as transformers saves it, no {', '.join(lacking)}")
    _check(path)
    return AlignModel(name, "transformers", str(path), None)


def _check(folder: Path) -> None:
    """That the model's outputs are characters, as far as its small files tell."""
    try:
        config, vocabulary = (json.loads((folder / name).read_bytes()) for name in SMALL_FILES)
        known = "Wav2Vec2ForCTC" in config.get("architectures", ())
        numbered = all(isinstance(place, int) for place in vocabulary.values())
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}") from None
    except (ValueError, AttributeError, TypeError):
        raise ModelError(f"{folder}: config.json or vocab.json is damaged") from None
    if not known:
        raise ModelError(f"{folder}: the model is {config.get('architectures')}, alignment takes a Wav2Vec2ForCTC")
    if not numbered:
        raise ModelError(f"{folder}: vocab.json does not number characters; models of many languages are not taken")
