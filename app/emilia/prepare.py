"""All models of a run, found before the first recording is touched: what is not to be had is said now."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version

from app.display import Display
from app.emilia.request import EmiliaRequest
from app.emilia.separators import figures, find_separator
from app.emilia.steps.score import find_model as find_scorer
from app.emilia.worker import Models
from app.errors import UsageError
from app.models import find_model
from app.models.identity import identity
from app.models.speakers import find_diarizer
from app.stages.asr import VERSION as ASR_VERSION
from app.stages.asr_options import AsrOptions


def with_separator(request: EmiliaRequest, display: Display) -> EmiliaRequest:
    """The same with the separation model's file in the place of its name."""
    name = request.emilia.separation_model
    if not name:
        display.say("separate: no separation_model is set, the step is skipped: music stays under the voices")
        return request
    path, where = find_separator(name, offline=request.offline)
    settings = dataclasses.replace(request.emilia, separation_model=str(path))
    known = figures(settings)
    display.say(f"separation model {where}: gives the {known.gives}, by an FFT of {known.n_fft}")
    return dataclasses.replace(request, emilia=settings)


def find_models(request: EmiliaRequest, display: Display) -> Models:
    scorer = find_scorer()
    diarizer, why = find_diarizer(request.diarizer, offline=request.offline)
    if diarizer is None:
        raise UsageError(f"emilia has to tell speakers apart, and can't: {why}")
    display.say(f"speakers: {diarizer.description}" + (f" ({why})" if why else ""))
    model = find_model(request.app.model, offline=request.offline)
    display.say(f"model {model.name} ({model.origin})")
    if not model.multilingual:
        display.say(f"{model.name} knows English alone: whatever is spoken counts as English", "yellow")
    each = request.app
    options = AsrOptions(
        model=str(model.path),
        device=each.device,
        compute_type=each.compute_type,
        batch_size=each.batch_size,
        threads=each.threads,
        language=None,
        prompt=request.emilia.prompt or None,
        name=model.name,
        jobs=1,
    )
    shape = {
        "stage": ASR_VERSION,
        "libraries": [version(name) for name in ("faster-whisper", "ctranslate2")],
        "model": identity(model.path),
        "compute_type": each.compute_type,
        "beam_size": options.beam_size,
        "prompt": request.emilia.prompt,
    }
    return Models(options, shape, diarizer, str(scorer))
