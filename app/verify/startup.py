"""`verify --startup`: the app's models, loaded one after another as the app does, and what each takes of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.errors import UsageError, in_a_line
from app.messages import Failed, Job, Loaded, Noted, Released, Started
from app.models import REPOSITORIES, ModelError, WhisperModelFiles, embedded, find_model, hub, is_folder
from app.models.aligners import Aligner, find_aligner
from app.models.speakers import EXTRA, LIBRARY, Diarizer, find_diarizer
from app.settings import Settings, read_settings
from app.store import state_folder
from app.supervisor import Log, Worker
from app.verify import Check, Seen
from app.verify.loading import START, Row, StartUp
from launcher import hardware

if TYPE_CHECKING:
    from app.diagnosis import Death

MODULE = "app.verify.probes.startup"
LONGEST_S = 300.0
"""A stage that is silent for longer hangs: under some limits on address space a library tries for ever."""
FITTING = "take a smaller model, or the profile that fits this card"
STAND_IN = "base"
"""Embedded: taken where the profile's model is not on this machine."""


def measure(seen: Seen, report: Callable[[str], None] = lambda name: None) -> StartUp:
    """Load them all, each in its turn; `report` hears which. What is not on this machine is said, never downloaded."""
    found = StartUp()
    try:
        _measure(seen, found, report)
    except UsageError as error:
        problem, _, todo = str(error).partition("; ")
        found.checks.append(Check("startup", "models", "FAIL", problem, todo or "mend that line of the profile"))
    except Exception as error:
        what = f"verify itself failed at it: {in_a_line(error)}"
        found.checks.append(Check("startup", "models", "FAIL", what, "report it, with this line"))
    return found


def _measure(seen: Seen, found: StartUp, report: Callable[[str], None]) -> None:
    if missing := [name for name in ("faster_whisper", "av", "numpy") if not find_spec(name)]:
        what = f"{', '.join(missing)} not installed: nothing to load"
        found.checks.append(Check("startup", "models", "SKIP", what, "pip install 'run-app[asr]'"))
        return
    settings = read_settings(seen.environment)
    profile = f" --profile {','.join(seen.profiles)}" if seen.profiles else ""
    found.kept = settings.resident
    if why := _no_card(settings, seen):
        what = f"device cuda is asked for, and there is no card ({why}): nothing was loaded"
        found.checks.append(Check("startup", "models", "SKIP", what, "run-app --profile cpu verify --startup"))
        return
    model, check = _model(settings, f"run-app{profile} transcribe --sample")
    found.checks += [check] if check else []
    if model:
        aligner, diarizer, checks = _others()
        found.checks += checks
        _watch(_job(settings, model, aligner, diarizer), found, report)


def _no_card(settings: Settings, seen: Seen) -> str:
    """Why the profile's device can't be had; "" where it can."""
    if settings.device != "cuda":
        return ""
    cards, why = hardware.cards()
    chosen = seen.environment.get("CUDA_VISIBLE_DEVICES")
    if cards and chosen is not None:
        cards, why = hardware.visible(cards, chosen), f"CUDA_VISIBLE_DEVICES={chosen}"
    return "" if cards else why


def _model(settings: Settings, download: str) -> tuple[WhisperModelFiles | None, Check | None]:
    """The profile's model, or an embedded one for it where it is not here. One that is damaged has no stand-in."""
    name = settings.model
    try:
        return find_model(name, offline=True), None
    except ModelError as error:
        reason = str(error)
    if _is_here(name):
        return None, Check("startup-model", f"model {name}", "FAIL", reason, "name another: RUN_APP_MODEL or --model")
    found = f"{name} is not on this machine"
    try:
        model = find_model(STAND_IN, offline=True)
    except ModelError:
        found += ", and no embedded model is installed: nothing was loaded"
        return None, Check("startup-model", f"model {name}", "SKIP", found, f"{embedded.EXTRA}, or {download}")
    found += f": {STAND_IN} ({model.origin}) in its place, which takes less"
    return model, Check("startup-model", f"model {name}", "SKIP", found, f"{download} downloads it")


def _is_here(name: str) -> bool:
    """Whether what was wrong with it is not that it is elsewhere."""
    repository = name if "/" in name else REPOSITORIES.get(name)
    try:
        return is_folder(name) or repository is None or bool(hub.cached(repository) or embedded.locate(name))
    except ModelError:
        return True


def _others() -> tuple[Aligner | None, Diarizer | None, list[Check]]:
    checks = []
    aligner = find_aligner("auto", None, offline=True) if find_spec("torch") and find_spec("whisperx") else None
    if aligner is None:
        found = "none on this machine: the words keep the recogniser's own times"
        todo = "transcribe --align-model OWNER/NAME downloads one, for the language you need"
        checks.append(Check("startup-aligner", "alignment model", "SKIP", found, todo))
    diarizer, why = find_diarizer("auto", offline=True)
    if diarizer is None:
        found = "none on this machine: they would allow telling speakers apart"
        checks.append(Check("startup-speakers", "speaker models", "SKIP", found, LIBRARY if LIBRARY in why else EXTRA))
    return aligner, diarizer, checks


def _job(settings: Settings, model: WhisperModelFiles, aligner: Aligner | None, diarizer: Diarizer | None) -> Job:
    return Job(
        files=(),
        model=str(model.path),
        model_name=model.name,
        asr="faster-whisper",
        vad="silero",
        device=settings.device,
        compute_type=settings.compute_type,
        batch_size=settings.batch_size,
        threads=settings.threads,
        language=None,
        resident=settings.resident,
        aligner=aligner,
        diarizer=diarizer,
    )


def _watch(job: Job, found: StartUp, report: Callable[[str], None]) -> None:
    """Start the worker, and note what it says and takes, to whatever end it comes."""
    rows = {START: Row(START, "Python and the app")}
    stage = START
    failures: list[Check] = []
    begin = time.monotonic()
    with Log(state_folder("logs")) as log, Worker(log, MODULE) as worker:
        worker.give(job)
        curve = worker.memory.curve = []
        worker.memory.phase(START)
        watchdog = _Watchdog(worker)
        for message in worker.messages():
            watchdog.reset()
            match message:
                case Started(stage):
                    report(f"the start-up of {stage}")
                    rows[stage] = Row(stage)
                    worker.memory.phase(stage)
                    found.marks.append((time.monotonic() - begin, stage))
                case Loaded(name, what, seconds):
                    row = rows[name]
                    row.what, row.load_s = what, (row.load_s or 0.0) + seconds
                case Released():
                    worker.memory.phase("")
                    found.marks.append((time.monotonic() - begin, ""))
                case Noted(text, _, bug):
                    todo = worker.remedy(text) or (f"its traceback is in {log.keep()}" if bug else FITTING)
                    failures.append(Check("startup", stage, "FAIL" if bug else "WARN", text, todo))
                case Failed(reason, _, bug):
                    problem, _, todo = (reason, "", "") if bug else reason.partition("; ")
                    todo = todo or worker.remedy(reason) or f"its traceback is in {log.keep()}"
                    failures.append(Check("startup", stage, "FAIL", problem, todo))
        watchdog.stop()
        if death := worker.death():
            failures.append(_death(stage, death, watchdog.barked, str(log.keep())))
    found.curve = [(at - begin, rss, vram) for at, rss, vram in curve]
    for row in rows.values():
        row.resident, row.on_cards = worker.memory.resident.get(row.stage), worker.memory.on_cards.get(row.stage)
    # decode has no model.
    found.rows = [row for row in rows.values() if row.what or row.load_s is None]
    found.checks += failures or [_sound(found)]


def _death(stage: str, death: Death, hung: bool, log: str) -> Check:
    place = f", at {death.where}" if death.where else ""
    what = f"nothing was heard of it for {LONGEST_S:.0f} s{place}" if hung else f"{death.what}{place}: {death.cause}"
    return Check("startup", stage, "FAIL", what, death.remedy or f"its log is {log}", {"log": log})


def _sound(found: StartUp) -> Check:
    loaded = [row for row in found.rows if row.load_s is not None]
    names = ", ".join(row.stage for row in loaded)
    way = "all kept" if found.kept else "one at a time"
    seconds = sum(row.load_s or 0.0 for row in loaded)
    return Check("startup", "models", "OK", f"{names} loaded, {way}, in {seconds:.1f} s")


class _Watchdog:
    """Ends a worker that says nothing for too long, so that its log tells where it was."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.barked = False
        self.reset()

    def reset(self) -> None:
        self.stop()
        self._timer = threading.Timer(LONGEST_S, self._bark)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        if hasattr(self, "_timer"):
            self._timer.cancel()

    def _bark(self) -> None:
        self.barked = True
        self._worker.abort()
