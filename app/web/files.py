"""What the page links to: recordings, transcripts, and what was uploaded or fetched, each for its owner alone."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.errors import UsageError
from app.web.auth import Doorkeeper
from app.web.board import Board
from app.web.jobs import NoSuchJobError
from app.web.places import Places
from app.web.uploads import receive

TEXT_TYPES = {"json": "application/json", "vtt": "text/vtt; charset=utf-8"}


def routes(board: Board, door: Doorkeeper, places: Places, most_bytes: int) -> list[BaseRoute]:
    """Below the page's root. `most_bytes`: of one upload."""

    def visitor(request: Request) -> str:
        name = door.visitor(request.cookies)
        if name is None:
            raise HTTPException(401, "log in first")
        return name

    async def media(request: Request) -> Response:
        path = await _own(board.media, visitor(request), *_place(request))
        return _media(path)

    async def transcript(request: Request) -> Response:
        form = request.path_params["format"]
        name, text = await _own(board.download, visitor(request), *_place(request), form)
        return _attachment(name, text.encode(), TEXT_TYPES.get(form, "text/plain; charset=utf-8"))

    async def all_zip(request: Request) -> Response:
        name, content = await _own(board.zip, visitor(request), request.path_params["id"])
        return _attachment(name, content, "application/zip")

    async def file(request: Request) -> Response:
        path = request.path_params["path"]
        if not places.has(visitor(request), path):
            raise HTTPException(404, "there is no such file")
        return _media(Path(path))

    async def upload(request: Request) -> Response:
        from gradio.routes import file_upload_statuses

        own = visitor(request)
        id = request.query_params.get("upload_id", "")

        def progress(name: str, chunk: bytes) -> None:
            if id:
                file_upload_statuses.append(id, name, chunk)

        if id:
            file_upload_statuses.track(id)
        try:
            files = await receive(request, lambda: places.new(own), most_bytes, progress)
        finally:
            if id:
                file_upload_statuses.set_done(id)
        return JSONResponse([str(each) for each in files])

    return [
        Route("/jobs/{id}/{index}/media", media),
        Route("/jobs/{id}/{index}/transcript.{format}", transcript),
        Route("/jobs/{id}/all.zip", all_zip),
        Route("/gradio_api/file={path:path}", file),
        Route("/gradio_api/upload", upload, methods=["POST"]),
    ]


async def _own(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What the board says; whatever is not the visitor's, or not there, is 404."""
    try:
        return await run_in_threadpool(ask, *arguments)
    except (NoSuchJobError, UsageError):
        raise HTTPException(404, "there is no such file") from None


def _place(request: Request) -> tuple[str, int]:
    index = request.path_params["index"]
    if not (index.isascii() and index.isdigit() and len(index) < 4):
        raise HTTPException(404, "there is no such file")
    return request.path_params["id"], int(index)


def _media(path: Path) -> FileResponse:
    """With Range, for the player. A browser takes it for sound or video, or for nothing that it shows."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    known = kind if kind.startswith(("audio/", "video/")) else "application/octet-stream"
    return FileResponse(path, media_type=known, headers={"Content-Disposition": "inline"})


def _attachment(name: str, content: bytes, kind: str) -> Response:
    """To be kept under this name, as RFC 6266 writes one that is not ASCII."""
    plain = "".join(each if each.isascii() and each.isprintable() and each not in '"\\' else "_" for each in name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)
