"""What the page's own scripts ask of the server, each by a name: gradio passes them through its `component_server`.

Each takes one JSON object and gives one back: {"error": a line, "lost": whether an upload must be sent once more}
where it can't be done, {"gone": true} for a job that is not there. None is part of the API, which is in app/web/api.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from app.errors import UsageError
from app.web.board import Board
from app.web.feed import Feed, detail, mark, thinned
from app.web.jobs import NoSuchJobError
from app.web.machine import Proof
from app.web.options import Options

if TYPE_CHECKING:
    from app.web.page import PageFacts

Reply = dict[str, Any]
T = TypeVar("T")


class LostError(UsageError):
    """An upload is not there any more."""


class Calls:
    """The methods without an underscore are the names."""

    def __init__(self, board: Board, facts: PageFacts, proof: Proof) -> None:
        self._board, self._facts, self._proof = board, facts, proof
        self._feed = Feed(board)
        self._editing = threading.Lock()

    def functions(self) -> list[Callable[..., Any]]:
        """For gr.HTML."""
        return [self._door(name) for name in vars(type(self)) if not name.startswith("_") and name != "functions"]

    def look(self, visitor: str, asked: Reply) -> Reply:
        """Everything that changed since "version"; of "job", what has another mark than the "detail", "edits" that the
        tab has.
        """
        reply = self._feed.since(visitor, asked.get("version"))
        reply["worker"], reply["visitor"] = self._board.worker(), visitor
        if asked.get("job"):
            try:
                reply["job"] = self._job(visitor, _text(asked, "job"), asked)
            except NoSuchJobError:
                reply["job"] = None
        return reply

    def _job(self, visitor: str, id: str, asked: Reply) -> Reply:
        job = self._board.job(visitor, id)
        said, edits = detail(job), asdict(self._board.edits(visitor, id))
        marks = {"detail": mark(said), "edits": mark(edits)}
        reply: Reply = {"id": id, "marks": marks}
        if job.state == "queued":
            reply["ahead"] = self._board.ahead(visitor, id)
        if marks["detail"] != asked.get("detail"):
            reply["detail"] = said
        if marks["edits"] != asked.get("edits"):
            reply["edits"] = edits
        return reply

    def submit(self, visitor: str, asked: Reply) -> Reply:
        """Of "files", each {"upload": its path, "name": the person's}, with "options" of Options.from_dict."""
        options = Options.from_dict(_of(dict, asked, "options"))
        files = [
            (_text(each, "name"), self._uploaded(visitor, _text(each, "upload"))) for each in _of(list, asked, "files")
        ]
        id = self._board.submit(visitor, files, options)
        self._feed.forget(visitor)
        return {"id": id}

    def _uploaded(self, visitor: str, path: str) -> Path:
        if not self._facts.uploaded(visitor, path):
            raise LostError("the upload is not there any more: send it once more")
        return Path(path)

    def lines(self, visitor: str, asked: Reply) -> Reply:
        """The transcript of file "index" of job "id": {"lines": [[start, end, speaker, name, text, edited], ...]}."""
        shown = ("start", "end", "speaker", "name", "text", "edited")
        lines = self._board.lines(visitor, *_file(asked))
        return {"lines": [[line[name] for name in shown] for line in lines]}

    def memory(self, visitor: str, asked: Reply) -> Reply:
        """What Board.memory says of job "id"."""
        curve = self._board.memory(visitor, _text(asked, "id"))
        return {"curve": thinned(curve) if curve and curve["seconds"] else None}

    def rename(self, visitor: str, asked: Reply) -> Reply:
        """Call "speaker" of file "index" of job "id" by another "name"."""
        self._board.rename(visitor, *_file(asked), _text(asked, "speaker"), _text(asked, "name"))
        return {}

    def correct(self, visitor: str, asked: Reply) -> Reply:
        """Give line "line" another "text", if it still has the one "before"; else {"now": the one it has}."""
        id, index = _file(asked)
        place, before, text = _number(asked, "line"), _text(asked, "before"), _text(asked, "text")
        with self._editing:
            now = self._board.edits(visitor, id).texts.get(str(index), {}).get(str(place))
            if now is not None and now not in (before, text):
                return {"now": now}
            self._board.correct(visitor, id, index, place, text)
        return {}

    def cancel(self, visitor: str, asked: Reply) -> Reply:
        self._board.cancel(visitor, _text(asked, "id"))
        self._feed.forget(visitor)
        return {}

    def again(self, visitor: str, asked: Reply) -> Reply:
        self._board.again(visitor, _text(asked, "id"))
        self._feed.forget(visitor)
        return {}

    def remove(self, visitor: str, asked: Reply) -> Reply:
        self._board.remove(visitor, _text(asked, "id"))
        self._feed.forget(visitor)
        return {}

    def free(self, visitor: str, asked: Reply) -> Reply:
        """{"freed": whether there was anything to end}."""
        return {"freed": self._board.free()}

    def verify(self, visitor: str, asked: Reply) -> Reply:
        """As Proof.look; "start": begin one first."""
        if asked.get("start"):
            self._proof.start()
        return self._proof.look()

    def _door(self, name: str) -> Callable[..., Any]:
        method = getattr(self, name)

        def answer(visitor: str, asked: Any) -> Reply:
            try:
                reply: Reply = method(visitor, asked)
                return reply
            except UsageError as error:
                return {"error": str(error), "lost": isinstance(error, LostError)}
            except NoSuchJobError:
                return {"gone": True}
            except OSError as error:
                return {"error": error.strerror or str(error)}

        async def door(asked: Any, request: gr.Request) -> Reply:
            # In a thread: gradio 6.17 would run it in its event loop, where it holds up everybody.
            visitor = self._facts.visitor(request)
            return await asyncio.to_thread(answer, visitor, asked if isinstance(asked, dict) else {})

        door.__name__ = name
        return door


def _of(kind: type[T], asked: Any, name: str) -> T:
    value = asked.get(name) if isinstance(asked, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(f"{name}: must be given, as {kind.__name__}")
    return value


def _text(asked: Any, name: str) -> str:
    return _of(str, asked, name)


def _number(asked: Any, name: str) -> int:
    return _of(int, asked, name)


def _file(asked: Any) -> tuple[str, int]:
    return _text(asked, "id"), _number(asked, "index")
