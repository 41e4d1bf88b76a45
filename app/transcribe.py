"""The command `transcribe`: from recordings to transcripts, with the work itself done in a worker process."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.display import Display
from app.errors import UsageError, WorkError
from app.inputs import Input, check_output_folder
from app.languages import CODES
from app.messages import Failed, Finished, Job, Loaded, Progress, Result, Started
from app.models import DownloadProgress, find_model
from app.settings import Settings
from app.store import state_folder, write_atomically
from app.summary import Summary
from app.supervisor import Log, Worker
from app.transcript import Transcript
from app.writers import WRITERS
from launcher import hardware


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, checked."""

    inputs: Sequence[Input]
    output_folder: Path
    formats: tuple[str, ...]
    settings: Settings
    asr: str
    vad: str
    language: str | None
    offline: bool


@dataclass
class _Run:
    """One call of the command, under way."""

    request: Request
    display: Display
    summary: Summary = field(default_factory=Summary)
    written: int = 0
    failed: int = 0


def transcribe(request: Request) -> int:
    """Do it; returns the exit code: 0 all done, 1 some files failed. Raises UsageError and WorkError."""
    begin = time.monotonic()
    _check_outputs(request)
    _check_device(request.settings.device)
    with Display() as display:
        run = _Run(request, display)
        model = find_model(
            request.settings.model,
            offline=request.offline,
            report=lambda progress: _show_download(display, progress),
        )
        _check_language(request.language, model.multilingual)
        display.say(f"model {model.name} ({model.origin}), vad {request.vad}, {_files(len(request.inputs))}")
        pending = list(request.inputs)
        while pending:
            pending = _work(run, pending, model.path)
    if run.written:
        run.display.console.print(run.summary.table(time.monotonic() - begin))
    if len(request.inputs) > 1:
        display.say(f"{run.written} of {_files(len(request.inputs))} done, {run.failed} failed")
    return 1 if run.failed else 0


def _show_download(display: Display, progress: DownloadProgress) -> None:
    display.step(f"{progress.action} {progress.file}")
    display.advance(progress.done_bytes / 2**20, progress.total_bytes / 2**20, "MiB")


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _check_outputs(request: Request) -> None:
    check_output_folder(request.output_folder)
    sources = {os.path.realpath(item.path) for item in request.inputs}
    for item in request.inputs:
        for path in item.outputs(request.output_folder, request.formats).values():
            if os.path.realpath(path) in sources:
                raise UsageError(f"{path}: this output would replace an input; choose another folder with -o")
            if path.is_dir():
                raise UsageError(f"{path}: this output is a folder already; choose another folder with -o")


def _check_device(device: str) -> None:
    """Say that there is no card before gigabytes of a model are fetched for it."""
    if device != "cuda":
        return
    found, why = hardware.cards()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        found, why = hardware.visible(found, chosen), f"CUDA_VISIBLE_DEVICES={chosen}"
    if not found:
        raise UsageError(
            f"device cuda is asked for, but no CUDA card is visible ({why}); "
            "use --profile cpu, or --device cpu with a compute type and a model that fit"
        )


def _check_language(language: str | None, multilingual: bool) -> None:
    if language is not None and language not in CODES:
        raise UsageError(f"unknown language {language!r}; give a code as {', '.join(CODES)}")
    if language not in (None, "en") and not multilingual:
        raise UsageError(f"this model knows English only: --language {language} needs a multilingual one, as `base`")


def _work(run: _Run, pending: list[Input], model: Path) -> list[Input]:
    """Give all pending inputs to one worker. Returns those it left undone when it died; the one it died on is lost."""
    request, display, settings = run.request, run.display, run.request.settings
    job = Job(
        files=tuple(str(item.path) for item in pending),
        model=str(model),
        asr=request.asr,
        vad=request.vad,
        device=settings.device,
        compute_type=settings.compute_type,
        batch_size=settings.batch_size,
        threads=settings.threads,
        language=request.language,
        resident=settings.resident,
    )
    left = dict(enumerate(pending))
    current: int | None = None
    display.step("starting the worker")
    with Log(state_folder("logs")) as log, Worker(job, log) as worker:
        for message in worker.messages():
            run.summary.hear(message)
            match message:
                case Started(stage, file):
                    worker.memory.phase(stage)
                    current = file
                    display.step(f"{stage}: loading" if file is None else f"{stage}: {pending[file].name}")
                case Progress(done_s, total_s):
                    display.advance(done_s, total_s, "s")
                case Loaded(stage, what):
                    display.say(f"{stage}: {what}")
                case Finished():
                    current = None
                case Result(file, transcript):
                    _write(run, left.pop(file), transcript)
                case Failed(reason, file, bug):
                    if bug:
                        reason = f"{reason} (the traceback is in {log.keep()})"
                    if file is None:
                        raise WorkError(reason) if bug else UsageError(reason)
                    run.failed += 1
                    item = left.pop(file)
                    display.say(f"{item.path}: {reason}" if bug else reason, "red")
        run.summary.peaks(worker.memory.peaks)
        death = worker.death()
        if death is None and not left:
            return []
        death = death or "the worker ended and left files undone"
        death = f"{death}; its log is {log.keep()}"
    if current is None:
        raise WorkError(death)
    run.failed += 1
    display.say(f"{left.pop(current).path}: {death}", "red")
    return list(left.values())


def _write(run: _Run, item: Input, transcript: Transcript) -> None:
    request, display = run.request, run.display
    display.end()
    for note in transcript.notes:
        display.say(f"{item.path}: {note}", "yellow")
    outputs = item.outputs(request.output_folder, request.formats)
    for form, path in outputs.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, WRITERS[form](transcript))
        except OSError as error:
            run.failed += 1
            display.say(f"{path}: can't be written ({error.strerror})", "red")
            _print(transcript, display)  # nowhere else to keep it
            return
    run.written += 1
    display.say("wrote " + " ".join(str(path) for path in outputs.values()))
    if len(request.inputs) == 1:
        _print(transcript, display)


def _print(transcript: Transcript, display: Display) -> None:
    """The transcript itself goes to stdout: read it, or pipe it on. What becomes of that costs no file."""
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return  # closed by whoever started us
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        for segment in transcript.segments:
            print(f"[{_clock(segment.start)} - {_clock(segment.end)}] {segment.text}")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            display.say(f"stdout can't be written ({error.strerror})", "red")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes):02}:{seconds:05.2f}"
