"""What a job of the page asks for, as the command would, and the models that this takes."""

from __future__ import annotations

import dataclasses
import hashlib
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app import messages
from app.inputs import Input
from app.request import Request, check_device
from app.runner import Front, Stopped
from app.settings import Settings
from app.stages.diarize import Speakers
from app.transcribe import prepare
from app.web.options import LONGEST_S, Options

LOOK_S = 0.1
ARTEFACTS = "artefacts"
"""What the command keeps its stages' results in; who logs in has such a folder of his own."""


def ask(
    settings: Settings, options: Options, inputs: Sequence[Input], *, owner: str = "", offline: bool = False
) -> Request:
    """The profile's settings with the visitor's options over them."""
    return Request(
        inputs,
        Path(),  # nothing is written there: a JobFront keeps the transcripts
        options.formats,
        dataclasses.replace(settings, model=options.model or settings.model),
        "faster-whisper",
        "silero",
        options.language or None,
        offline,
        task="translate" if options.translate else "transcribe",
        prompt=options.prompt or None,
        hotwords=options.hotwords or None,
        diarizer="auto" if options.wants_speakers else None,
        speakers=Speakers(options.speakers, options.min_speakers, options.max_speakers),
        names=options.names,
        longest_s=LONGEST_S,
        artefacts=ARTEFACTS if not owner else f"{ARTEFACTS}-{hashlib.sha256(owner.encode()).hexdigest()[:16]}",
    )


def find_models(request: Request, front: Front, stop: threading.Event) -> messages.Job:
    """Find all models, and fetch what is not here. Raises UsageError; and Stopped as soon as `stop` is set: a hub that
    doesn't answer can only be left alone.
    """
    done: queue.SimpleQueue[tuple[messages.Job | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            check_device(request.settings.device)
            front.step("finding the models")
            done.put((prepare(request, front), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True, name="prepare").start()
    while not stop.is_set():
        with suppress(queue.Empty):
            job, error = done.get(timeout=LOOK_S)
            if error:
                raise error
            assert job
            return job
    raise Stopped


class Preloading:
    """A front that nobody waits for."""

    def say(self, line: str, style: str | None = None) -> None:
        print(f"run-app: preload: {line}", file=sys.stderr, flush=True)

    def step(self, stage: str, what: str = "") -> None: ...

    def advance(self, done: float, total: float, unit: str) -> None: ...

    def failed(self, item: Input, reason: str) -> None: ...

    def first(self, item: Input, transcript: Any) -> None: ...

    def final(self, item: Input, transcript: Any) -> bool:
        return True
