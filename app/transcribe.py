"""The command `transcribe`: from recordings to transcripts, with the work itself done in a worker process."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.delivery import Delivery
from app.diagnosis import Death
from app.display import Display
from app.errors import UsageError, WorkError
from app.inputs import Input
from app.messages import Broken, Failed, Finished, Job, Loaded, Noted, Progress, Released, Result, Reused, Started
from app.models import DownloadProgress, find_model
from app.models.aligners import find_aligner
from app.models.speakers import find_diarizer
from app.outputs import Outputs
from app.request import Request, check_code, check_device, check_language, check_outputs
from app.stages import LACKING
from app.store import state_folder
from app.summary import Summary
from app.supervisor import Log, Worker

ATTEMPTS = 2
"""A stage that a worker died in is tried once more in a fresh one, where nothing else takes memory."""


@dataclass
class _Run:
    """One call of the command, under way."""

    request: Request
    display: Display
    delivery: Delivery
    job: Job
    """As the next worker gets it, but for its files."""
    summary: Summary = field(default_factory=Summary)
    deaths: Counter[tuple[str, Path | None]] = field(default_factory=Counter)
    """By stage, and file or None for its loading."""
    given_up: dict[Path | None, dict[str, str]] = field(default_factory=dict)
    """By file, or None for all, the stages that are not tried again, and why."""
    written: set[Path] = field(default_factory=set)
    failed: set[Path] = field(default_factory=set)


def transcribe(request: Request) -> int:
    """Do it; returns the exit code: 0 all done, 1 some files failed. Raises UsageError and WorkError."""
    begin = time.monotonic()
    check_outputs(request)
    check_device(request.settings.device)
    outputs = Outputs(state_folder("outputs"))
    with Display() as display:
        to_stdout = len(request.inputs) == 1
        delivery = Delivery(request.output_folder, request.formats, outputs, display, request.subtitles, to_stdout)
        run = _Run(request, display, delivery, _prepare(request, display))
        pending = list(request.inputs)
        while pending:
            pending = _work(run, pending)
    if run.summary:
        run.display.console.print(run.summary.table(time.monotonic() - begin))
    if len(request.inputs) > 1:
        partly = run.written & run.failed
        done = f"{len(run.written - run.failed)} of {_files(len(request.inputs))} done, {len(run.failed)} failed"
        display.say(f"{done}, {len(partly)} of them written in part" if partly else done)
    return 1 if run.failed else 0


def _prepare(request: Request, display: Display) -> Job:
    """Find, and if need be download, all models: what is not to be had is said now, not after an hour."""

    def report(progress: DownloadProgress) -> None:
        display.step(f"{progress.action} {progress.file}")
        display.advance(progress.done_bytes / 2**20, progress.total_bytes / 2**20, "MiB")

    settings = request.settings
    check_code(request.language)
    # The small ones first: a wrong name costs no download of a large one.
    diarizer, notes = None, []
    if request.diarizer is not None:
        diarizer, why = find_diarizer(request.diarizer, offline=request.offline, report=report)
        if diarizer is None:
            notes.append(f"{LACKING['diarize']}: {why}")
            display.say(notes[0], "yellow")
        else:
            display.say(f"speakers: {diarizer.description}" + (f" ({why})" if why else ""))
    aligner = find_aligner(request.align_model, request.language, offline=request.offline, report=report)
    words = "aligned where there is a model for the language" if aligner else "as the recogniser times them"
    model = find_model(settings.model, offline=request.offline, report=report)
    check_language(request, model)
    display.say(f"model {model.name} ({model.origin}), vad {request.vad}, words {words}, {_files(len(request.inputs))}")
    return Job(
        files=(),
        model=str(model.path),
        model_name=model.name,
        asr=request.asr,
        vad=request.vad,
        device=settings.device,
        compute_type=settings.compute_type,
        batch_size=settings.batch_size,
        threads=settings.threads,
        language=request.language,
        task=request.task,
        beam_size=request.beam_size,
        prompt=request.prompt,
        hotwords=request.hotwords,
        aligner=aligner,
        diarizer=diarizer,
        speakers=request.speakers,
        names=request.names,
        jobs=request.jobs,
        resident=settings.resident,
        given_up={},
        notes=tuple(notes),
    )


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _work(run: _Run, pending: list[Input]) -> list[Input]:
    """Give all pending inputs to one worker. Returns those it left undone when it died."""
    display = run.display
    everywhere = run.given_up.get(None, {})
    job = dataclasses.replace(
        run.job,
        files=tuple(str(item.path) for item in pending),
        given_up={
            index: {**everywhere, **run.given_up.get(item.path, {})}
            for index, item in enumerate(pending)
            if everywhere or item.path in run.given_up
        },
    )
    left = dict(enumerate(pending))
    under_way: set[tuple[str, int | None]] = set()
    shown: tuple[str, int | None] = ("", None)  # whose progress the person sees, where several files are under way
    display.step("starting the worker")
    with Log(state_folder("logs")) as log, Worker(job, log) as worker:
        for message in worker.messages():
            run.summary.hear(message)
            match message:
                case Started(stage, file):
                    if stage != "decode" or not under_way:  # else it is decoded beside the work on another
                        worker.memory.phase(stage)
                        display.step(f"{stage}: loading" if file is None else f"{stage}: {pending[file].name}")
                        shown = (stage, file)
                    under_way.add((stage, file))
                case Progress(stage, file, done_s, total_s):
                    if shown not in under_way:
                        shown = (stage, file)
                    if shown == (stage, file):
                        display.step(f"{stage}: {pending[file].name}")  # again, where another file's end took it away
                        display.advance(done_s, total_s, "s")
                case Loaded(stage, what):
                    under_way.discard((stage, None))
                    if what:
                        display.say(f"{stage}: {what}")
                case Finished(stage, file) | Broken(stage, file):
                    under_way.discard((stage, file))
                case Released():
                    worker.memory.phase("")
                case Reused(stages, file):
                    under_way.discard(("decode", file))
                    display.say(f"{pending[file].name}: done before: {', '.join(stages)}")
                case Noted(text, file, bug):
                    if bug:
                        text = _with_remedy(text, worker)
                        run.failed |= {item.path for item in (pending if file is None else [pending[file]])}
                    display.say(text if file is None else f"{pending[file].path}: {text}", "red" if bug else "yellow")
                case Result(file, transcript, False):
                    run.delivery.first(pending[file], transcript)
                case Result(file, transcript):
                    under_way = {each for each in under_way if each[1] != file}
                    if run.delivery.final(item := left.pop(file), transcript):
                        run.written.add(item.path)
                    else:
                        run.failed.add(item.path)
                case Failed(reason, file, bug):
                    if bug:
                        reason = _with_remedy(reason, worker)
                    if file is None:
                        raise WorkError(reason) if bug else UsageError(reason)
                    under_way = {each for each in under_way if each[1] != file}
                    item = left.pop(file)
                    run.failed.add(item.path)
                    display.say(f"{item.path}: {reason}" if bug else reason, "red")
        run.summary.memory(worker.memory)
        death = worker.death()
        if not left:
            if death:
                display.say(f"all was done, but then {death.line}; its log is {log.keep()}", "yellow")
            return []
        death = death or Death("the worker ended", None, "it left files undone", None, memory=False)
        _bury(run, death, under_way, f"its log is {log.keep()}", left)
    return list(left.values())


def _with_remedy(reason: str, worker: Worker) -> str:
    """An error nobody foresaw, with what may help, if that is known, and where its traceback is."""
    remedy = worker.remedy(reason)
    return f"{reason}{f'; remedy: {remedy}' if remedy else ''} (the traceback is in {worker.log.keep()})"


def _bury(run: _Run, death: Death, under_way: set[tuple[str, int | None]], where: str, left: dict[int, Input]) -> None:
    """Say why a worker died, and decide what the next one tries. Raises WorkError where it can't help."""
    if len(under_way) > 1 and not run.job.one_by_one:  # it died of one of them; the next worker will tell of which
        run.job = dataclasses.replace(run.job, one_by_one=True)
        each = sorted(under_way, key=str)
        places = (stage if file is None else f"{left[file].path} ({stage})" for stage, file in each)
        again = _once_more(run, death, [stage for stage, _ in each])
        run.display.say(f"{', '.join(places)}: {death.line}; {again}; one file at a time", "yellow")
        return
    stage, file = next(iter(under_way), ("between two stages", None))
    item = left[file] if file is not None else None
    place = f"{item.path}: {stage}" if item else stage
    attempt = (stage, item.path if item else None)
    run.deaths[attempt] += 1
    if run.deaths[attempt] < ATTEMPTS:
        run.display.say(f"{place}: {death.line}; {_once_more(run, death, [stage])}", "yellow")
        return
    if item is None and stage not in LACKING:
        raise WorkError(f"{place}: {death.line}; {where}")
    run.display.say(f"{place}: {death.line}; {where}", "red")
    if stage in LACKING:
        run.given_up.setdefault(item.path if item else None, {})[stage] = death.line
        run.failed |= {item.path} if item else {other.path for other in left.values()}
        return
    assert item is not None
    run.failed.add(item.path)
    for index in [index for index, other in left.items() if other is item]:
        del left[index]


def _once_more(run: _Run, death: Death, stages: Sequence[str]) -> str:
    """Prepare the next attempt; returns what it does differently, in words."""
    again = "trying once more in a fresh one; what was finished is kept"
    # On a processor no more chunks are in hand than there are threads.
    size = min(run.job.batch_size, run.job.threads) if run.job.device == "cpu" else run.job.batch_size
    if death.memory and "asr" in stages and size > 1:
        run.job = dataclasses.replace(run.job, batch_size=size // 2)
        again += f"; batch size {size} -> {size // 2}"
    return again
