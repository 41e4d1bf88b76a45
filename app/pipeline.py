"""The order of the stages, and how many files a loaded model serves."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from app import memory
from app.errors import InputError, UsageError, WorkError, in_a_line
from app.messages import Failed, Finished, Job, Loaded, Message, Progress, Result, Started
from app.stages import Report, Stage, Work
from app.stages.asr import AsrOptions
from app.stages.decode import Decode
from app.stages.vad import make_vad

GROUP_S = 3600.0
"""Audio that is held in memory at once, 230 MB an hour, so that each model loads once for all of it."""

Tell = Callable[[Message], None]


def make_stages(job: Job) -> list[Stage]:
    """All stages in order, nothing loaded yet."""
    options = AsrOptions(job.model, job.device, job.compute_type, job.batch_size, job.threads, job.language)
    asr: Stage
    if job.asr == "whisperx":
        from app.stages.asr_whisperx import WhisperX

        asr = WhisperX(options)
    else:
        from app.stages.asr_faster_whisper import FasterWhisper

        asr = FasterWhisper(options)
    return [Decode(), make_vad(job.vad, asr=job.asr, device=job.device, threads=job.threads), asr]


def run(job: Job, tell: Tell) -> None:
    """Take every file of the job through all stages; say how it goes through `tell`.

    Models are loaded one after another, each for a whole group of files, and released before the next;
    a resident job loads each once and keeps it. UsageError passes through: no file can be done then.
    """
    decode, *models = make_stages(job)
    pending = list(enumerate(Path(file) for file in job.files))
    loaded: set[str] = set()
    for group in _groups(pending, decode, tell):
        for stage in models:
            if stage.name not in loaded:
                _load(stage, tell)
                loaded.add(stage.name)
            for index, work in list(group.items()):
                if (done := _step(stage, index, work, tell)) is None:
                    del group[index]
                else:
                    group[index] = done
                    if stage is models[-1] and done.transcript is not None:
                        tell(Result(index, done.transcript))
                        del group[index]
            if not job.resident:
                stage.release()
                loaded.discard(stage.name)
            memory.release()


def _groups(pending: list[tuple[int, Path]], decode: Stage, tell: Tell) -> Iterator[dict[int, Work]]:
    """Decode as many files as fit into one group; `pending` shrinks as it goes."""
    while pending:
        group: dict[int, Work] = {}
        while pending and sum(work.duration for work in group.values()) < GROUP_S:
            index, path = pending.pop(0)
            if (work := _step(decode, index, Work(path), tell)) is not None:
                group[index] = work
        if group:
            yield group


def _load(stage: Stage, tell: Tell) -> None:
    tell(Started(stage.name, None))
    begin = time.perf_counter()
    try:
        what = stage.load()
    except UsageError:
        raise
    except Exception as error:
        raise WorkError(f"{stage.name} can't load its model: {in_a_line(error)}") from error
    tell(Loaded(stage.name, what, time.perf_counter() - begin))


def _step(stage: Stage, index: int, work: Work, tell: Tell) -> Work | None:
    """One stage for one file; None, and said, where this file can't be done."""
    tell(Started(stage.name, index))
    begin = time.perf_counter()
    report: Report = lambda done_s, total_s: tell(Progress(done_s, total_s))  # noqa: E731
    try:
        done = stage.run(work, report)
    except InputError as error:
        tell(Failed(str(error), index))
        return None
    except UsageError:
        raise
    except Exception as error:
        traceback.print_exc()
        tell(Failed(f"{stage.name} failed: {in_a_line(error)}", index, bug=True))
        return None
    tell(Finished(stage.name, index, time.perf_counter() - begin, done.duration))
    return done
