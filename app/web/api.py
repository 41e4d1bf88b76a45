"""The endpoints that gradio_client and curl call; "Use via API" at the foot of the page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from app.errors import UsageError
from app.web.board import Board
from app.web.jobs import NoSuchJobError
from app.web.options import Options
from app.web.places import Places


def endpoints(board: Board) -> None:
    """Add them to the Blocks that are being built."""
    places = Places(Path(get_upload_folder()))

    def submit(files: list[str] | None, request: gr.Request, options: dict[str, Any] | None = None) -> str:
        """Queue a job."""
        with _told():
            if not isinstance(options or {}, dict):
                raise UsageError('options: must be an object, as {"language": "en"}')
            uploads = [(Path(each).name, Path(each)) for each in files or ()]
            return board.submit(_visitor(request), uploads, Options.from_dict(options or {}))

    def status(job: str, request: gr.Request) -> dict[str, Any]:
        """How far it is."""
        with _told():
            return _status(board, _visitor(request), job)

    def result(job: str, request: gr.Request) -> list[str]:
        """Its transcripts."""
        with _told():
            place = places.new(_visitor(request))
            return [str(each) for each in _write(board, _visitor(request), job, place)]

    def cancel(job: str, request: gr.Request) -> dict[str, Any]:
        """End it."""
        with _told():
            board.cancel(_visitor(request), job)
            return _status(board, _visitor(request), job)

    with gr.Row(visible=False):  # never drawn: what stands in the API's description, and takes the calls
        button = gr.Button()
        files = _shown(gr.File(label="files", file_count="multiple"), [_RECORDING])
        options = _shown(gr.JSON(label="options"), {"language": "en", "formats": ["srt", "txt"]})
        job = _shown(gr.Textbox(label="job"), "000042-0123456789abcdef0123456789abcdef")
        state = gr.JSON(label="state")
        transcripts = _shown(gr.File(label="transcripts", file_count="multiple"), [_RECORDING])
        for function, inputs, output, text in (
            (submit, [files, options], job, _SUBMIT),
            (status, [job], state, _STATUS),
            (result, [job], transcripts, _RESULT),
            (cancel, [job], state, _CANCEL),
        ):
            limit = 1 if function is submit else "default"  # jobs keep the order in which they were asked for
            button.click(
                function,
                inputs,
                output,
                api_name=function.__name__,
                api_description=text,
                concurrency_limit=limit,
            )


def _shown(component: Any, example: Any) -> Any:
    """With an example that fits in the API's description, in the place of gradio's own, which are files elsewhere."""
    component.example_payload = component.example_value = lambda: example
    return component


_RECORDING = {"path": "talk.mp3", "url": "talk.mp3", "orig_name": "talk.mp3", "meta": {"_type": "gradio.FileData"}}
_SUBMIT = (
    "Queue a job: recordings, and options as an object with any of model, language, translate, diarize, speakers, "
    "min_speakers, max_speakers, names, prompt, hotwords, formats. Returns the job's id."
)
_STATUS = (
    "How far a job is: state (queued, running, done, failed or cancelled), stage, progress of that stage (0 to 1), "
    "ahead (jobs before it), seconds worked on, error, and for each of its files name, state, error, duration, "
    "language and notes."
)
_RESULT = "The transcripts of a job that is over, in the formats that it was asked for."
_CANCEL = "End a job; what is finished of it is kept. Returns what status does."


@contextmanager
def _told() -> Iterator[None]:
    """What a client did wrong reaches him in its line, though show_error is off; a fault of ours doesn't."""
    try:
        yield
    except UsageError as error:
        raise _line(str(error)) from None
    except NoSuchJobError:
        raise _line("there is no such job") from None
    except OSError as error:
        raise _line(f"the server can't do it: {error.strerror}") from None


def _line(text: str) -> gr.Error:
    return gr.Error(text, print_exception=False)


def _visitor(request: gr.Request) -> str:
    return request.username or ""


def _status(board: Board, visitor: str, id: str) -> dict[str, Any]:
    job = board.job(visitor, id)
    return {
        "id": job.id,
        "state": job.state,
        "stage": job.stage,
        "progress": job.progress,
        "ahead": board.ahead(visitor, id) if job.state == "queued" else 0,
        "seconds": job.seconds,
        "error": job.error,
        "files": [
            {
                "name": each.name,
                "state": each.state,
                "error": each.error,
                "duration": each.duration,
                "language": each.language,
                "notes": each.notes,
            }
            for each in job.files
        ],
    }


def _write(board: Board, visitor: str, id: str, place: Path) -> list[Path]:
    """The transcripts that a job has; UsageError where it has none, or is not over."""
    job = board.job(visitor, id)
    if not job.over:
        raise UsageError(f"the job is {job.state}: ask /status until it is done")
    written = []
    for index in range(len(job.files)):
        if board.transcript(visitor, id, index) is not None:
            for form in job.options.formats:
                name, text = board.download(visitor, id, index, form)
                written.append(place / name)
                written[-1].write_text(text, encoding="utf-8", newline="\n")
    if not written:
        raise UsageError(job.error or f"the job is {job.state}, and has no transcript")
    return written
