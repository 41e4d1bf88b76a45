"""The command `transcribe`: from recordings to transcripts, with the work itself done in a worker process."""

from __future__ import annotations

import dataclasses
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from app.delivery import Delivery
from app.display import Display
from app.messages import Job
from app.models import DownloadProgress, find_model
from app.models.aligners import find_aligner
from app.models.speakers import find_diarizer
from app.outputs import Outputs
from app.places import need, places, visible_cards
from app.request import Request, check_code, check_device, check_language, check_outputs
from app.runner import MODULE, Front, Runner
from app.runners import Runners
from app.stages import LACKING
from app.store import state_folder
from app.summary import Summary
from app.supervisor import AnyWorker, on_this_machine
from app.surroundings import read_surroundings

SHARE = 4
"""Threads of a worker on Ray without a card: it recognises several files at once by one model."""


def transcribe(request: Request) -> int:
    """Do it; returns the exit code: 0 all done, 1 some files failed. Raises UsageError and WorkError."""
    begin = time.monotonic()
    check_outputs(request)
    if request.address is None:  # else each machine of the cluster is asked
        check_device(request.settings.device)
    outputs = Outputs(state_folder("outputs"))
    summary = Summary()
    with Display() as display:
        to_stdout = len(request.inputs) == 1
        delivery = Delivery(request.output_folder, request.formats, outputs, display, request.subtitles, to_stdout)
        job = prepare(request, delivery)
        with ExitStack() as stack:
            delivery.several = request.engine != "local" or (request.workers or 1) > 1
            several = delivery.several
            runner = _several(request, job, delivery, summary, stack) if several else Runner(job, delivery, summary)
            runner.run(request.inputs)
    if summary:
        display.console.print(summary.table(time.monotonic() - begin))
    if len(request.inputs) > 1:
        partly = runner.written & runner.failed
        done = (
            f"{len(runner.written - runner.failed)} of {_files(len(request.inputs))} done, {len(runner.failed)} failed"
        )
        display.say(f"{done}, {len(partly)} of them written in part" if partly else done)
    return 1 if runner.failed else 0


def prepare(request: Request, front: Front) -> Job:
    """Find, and if need be download, all models: what is not to be had is said now, not after an hour."""

    def report(progress: DownloadProgress) -> None:
        front.step(f"{progress.action} {progress.file}")
        front.advance(progress.done_bytes / 2**20, progress.total_bytes / 2**20, "MiB")

    settings = request.settings
    check_code(request.language)
    # The small ones first: a wrong name costs no download of a large one.
    diarizer, notes = None, []
    if request.diarizer is not None:
        diarizer, why = find_diarizer(request.diarizer, offline=request.offline, report=report)
        if diarizer is None:
            notes.append(f"{LACKING['diarize']}: {why}")
            front.say(notes[0], "yellow")
        else:
            front.say(f"speakers: {diarizer.description}" + (f" ({why})" if why else ""))
    aligner = find_aligner(request.align_model, request.language, offline=request.offline, report=report)
    words = "aligned where there is a model for the language" if aligner else "as the recogniser times them"
    model = find_model(settings.model, offline=request.offline, report=report)
    check_language(request, model)
    front.say(f"model {model.name} ({model.origin}), vad {request.vad}, words {words}, {_files(len(request.inputs))}")
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
        longest_s=request.longest_s,
        artefacts=request.artefacts,
        resident=settings.resident,
        given_up={},
        notes=tuple(notes),
    )


def _several(request: Request, job: Job, delivery: Delivery, summary: Summary, stack: ExitStack) -> Runners:
    """Workers side by side, here or on Ray; said."""
    most = need(Path(job.model), resident=job.resident)
    files = len(request.inputs)
    if request.engine == "local":
        cards = visible_cards() if job.device != "cpu" else []
        found = places(request.workers, job.threads, job.device, most, files, read_surroundings(), cards)
        jobs = [dataclasses.replace(job, threads=found.threads)] * found.number
        names = [f"worker {place + 1}" for place in range(found.number)]
        delivery.say(found.said)
        return Runners(jobs, names, on_this_machine(MODULE, found.environment), delivery, summary, delivery.display)
    from app.cluster.engine import Cluster

    delivery.step("starting Ray" if request.address is None else "joining Ray")
    cluster = stack.enter_context(Cluster(request.address, request.settings, request.given))
    # What is finished goes to one place that all see: so the same command goes on, wherever a file comes to.
    artefacts = state_folder(job.artefacts)
    paths = [job.model, *(each.path for each in (job.aligner.models if job.aligner else ()))]
    paths += [job.diarizer.path] if job.diarizer else []
    paths += [str(each.path) for each in request.inputs if isinstance(each.path, Path)][:1]
    delivery.say(cluster.survey(artefacts, paths, most, request.workers, files, share=SHARE))
    jobs = [
        dataclasses.replace(
            job,
            device=seat.settings.device,
            compute_type=seat.settings.compute_type,
            batch_size=seat.settings.batch_size,
            threads=seat.settings.threads,
            resident=seat.settings.resident,
            artefacts=str(artefacts),
        )
        for seat in cluster.seats
    ]

    def hire(place: int) -> AbstractContextManager[AnyWorker]:
        return cluster.hire(place, MODULE)

    return Runners(jobs, cluster.names, hire, delivery, summary, delivery.display, cluster.machines)


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
