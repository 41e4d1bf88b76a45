"""The child process that takes recordings through one step: `python -P -m app.emilia.worker`, as app.worker is started.

It keeps what it has loaded for the tasks to come: who wants the memory back ends it.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from app import memory
from app.emilia.ledger import Ledger
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings
from app.emilia.steps import Item, Step
from app.errors import InputError, UsageError, WorkError, in_a_line
from app.messages import Failed, Finished, Loaded, Message, Noted, Progress, Started
from app.models.speakers import Diarizer
from app.stages.asr_options import AsrOptions
from app.worker import serve

Tell = Callable[[Message], None]

DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG))
"""Errors that every recording would meet: the run stops, and no recording is blamed."""


@dataclass(frozen=True)
class Models:
    """All that is loaded, found by the front: nothing here has to be looked for elsewhere."""

    recogniser: AsrOptions
    recogniser_shape: dict[str, object]
    diarizer: Diarizer
    scorer: str
    """Path of the DNSMOS model."""


@dataclass(frozen=True)
class StepTask:
    """One step, for these recordings. Other messages name one by its place in here."""

    step: str
    items: tuple[Item, ...]
    out: str
    settings: EmiliaSettings
    models: Models
    device: str
    """`auto`, `cpu` or `cuda`."""
    threads: int


def make_step(name: str, settings: EmiliaSettings, models: Models, device: str, threads: int, out: Path) -> Step:
    """Nothing is loaded yet; the modules of the others are not imported."""
    if name == "standardise":
        from app.emilia.steps.standardise import Standardise

        return Standardise(settings)
    if name == "separate":
        from app.emilia.steps.separate import Separate

        return Separate(settings, device, threads)
    if name == "diarize":
        from app.emilia.steps.speakers import DiarizeStep

        return DiarizeStep(models.diarizer, device, threads)
    if name == "vad":
        from app.emilia.steps.speakers import VadStep

        return VadStep()
    if name == "asr":
        from app.emilia.steps.asr import AsrStep

        return AsrStep(models.recogniser, models.recogniser_shape)
    if name == "score":
        from app.emilia.steps.score import Score

        return Score(Path(models.scorer), threads)
    if name == "tables":
        from app.emilia.steps.tables import Tables

        return Tables(out)
    from app.emilia.steps.export import Export

    return Export(settings, out)


def work(task: StepTask, tell: Tell, kept: dict[str, Step]) -> None:
    """`kept` are the steps that an earlier task left loaded."""
    out = Path(task.out)
    step = kept.get(task.step)
    if step is None:
        step = make_step(task.step, task.settings, task.models, task.device, task.threads, out)
        _load(step, tell)
        kept[task.step] = step
    ledger = Ledger(out)
    for index, item in enumerate(task.items):
        tell(Started(step.name, index))
        begin = time.monotonic()
        try:
            result = _run(step, item, ledger, tell, index)
            ledger.finish(item.key, result)
        except InputError as error:
            tell(Failed(str(error), index))
        except (UsageError, WorkError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK:
                kept_said = "what is finished is kept, the same command goes on"
                raise WorkError(f"{out}: {error.strerror}; {kept_said}") from None
            traceback.print_exc()
            tell(Failed(in_a_line(error), index, bug=True))
        else:
            seconds = item.seconds
            if step.name == "standardise":  # which finds out how long a recording is
                seconds = result["samples"] / SAMPLE_RATE
            tell(Finished(step.name, index, begin, time.monotonic() - begin, seconds))


def _load(step: Step, tell: Tell) -> None:
    tell(Started(step.name, None))
    begin = time.monotonic()
    while True:
        try:
            what = step.load()
            break
        except Exception as error:
            if isinstance(error, UsageError) or not _step_down(step, error, tell):
                raise
    tell(Loaded(step.name, what, time.monotonic() - begin))


def _run(step: Step, item: Item, ledger: Ledger, tell: Tell, index: int) -> Any:
    def share(done: float) -> None:
        tell(Progress(step.name, index, done * item.seconds, item.seconds))

    while True:
        try:
            return step.run(item, ledger.audio(item.key), ledger.part(item.key), share)
        except InputError:
            raise
        except Exception as error:
            if not _step_down(step, error, tell):
                raise
            _load(step, tell)
            tell(Started(step.name, index))


def _step_down(step: Step, error: Exception, tell: Tell) -> bool:
    cheaper = step.step_down(error)
    if cheaper is None:
        return False
    tell(Noted(f"{step.name}: {in_a_line(error)}; going on with {cheaper}", None))
    step.release()
    memory.release()
    return True


def main() -> int:
    kept: dict[str, Step] = {}
    return serve(partial(work, kept=kept))


if __name__ == "__main__":
    raise SystemExit(main())
