"""`POST gradio_api/upload`, in gradio's own protocol: recordings onto the disk, while others are served.

Gradio's own route would keep two visitors' equal recordings as one file, which is gone for the second when the first
has it made a job; leaves what a broken connection had sent; and reads parts that are no files into memory.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.web.board import MOST_FILES
from app.web.places import component

PATIENCE_S = 60.0
"""That a sender may pause."""
BUFFER_BYTES = 1 << 20
"""Written at once."""
HEADER_BYTES = 1 << 14
"""Of one part."""
SPARE_BYTES = 1 << 30
"""Of the disk, that uploads leave for the transcripts and the state of jobs."""

Progress = Callable[[str, bytes], None]


async def receive(request: Request, new: Callable[[], Path], most_bytes: int, progress: Progress) -> list[Path]:
    """The files of a multipart request, each in a folder that `new` made; none of them stays where this raises.

    Raises HTTPException: 400 for what is no such request, 408, 413, 507.
    """
    parts = _Parts(new, most_bytes, progress)
    try:
        await _receive(request, parts)
    except BaseException:
        for path in parts.files:
            shutil.rmtree(path.parent, ignore_errors=True)
        raise
    return parts.files


async def _receive(request: Request, parts: _Parts) -> None:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(400, "multipart/form-data with a boundary is what is taken here")
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())  # type: ignore[arg-type]
        stream = aiter(request.stream())
        while True:
            async with asyncio.timeout(PATIENCE_S):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            if chunk:
                parser.write(chunk)
            if parts.waiting_bytes >= BUFFER_BYTES:
                await run_in_threadpool(parts.flush)
        await run_in_threadpool(parts.flush)
    except FormParserError as error:
        raise HTTPException(400, f"a malformed multipart body: {error}") from None
    except TimeoutError:
        raise HTTPException(408, f"nothing came for {PATIENCE_S:.0f} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection broke off") from None
    except OSError as error:
        raise HTTPException(507, error.strerror) from None
    if not parts.whole:
        raise HTTPException(400, "the multipart body breaks off")


class _Parts:
    """What the parser calls: each part becomes a file."""

    def __init__(self, new: Callable[[], Path], most_bytes: int, progress: Progress) -> None:
        self.files: list[Path] = []
        self.whole = False
        self.waiting_bytes = 0
        """Still to be written."""
        self._new, self._most_bytes, self._progress = new, most_bytes, progress
        self._waiting: list[tuple[Path, bytearray]] = []
        self._name = ""
        self._size = 0
        """Of the file at hand."""
        self._header: list[bytearray] = []
        """Name and value."""
        self._header_bytes = 0
        self._disposition = b""

    def callbacks(self) -> dict[str, Any]:
        names = "on_part_begin on_header_field on_header_value on_header_end on_headers_finished on_part_data on_end"
        return {name: getattr(self, name) for name in names.split()}

    def flush(self) -> None:
        """Onto the disk. Raises OSError."""
        for path, data in self._waiting:
            with path.open("ab") as file:
                file.write(data)
            if shutil.disk_usage(path.parent).free < SPARE_BYTES:
                raise OSError(errno.ENOSPC, "the server's disk is full")
        self._waiting, self.waiting_bytes = [], 0

    def on_part_begin(self) -> None:
        self._header, self._disposition, self._header_bytes = [bytearray(), bytearray()], b"", 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._take(0, data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._take(1, data[start:end])

    def _take(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES:
            raise HTTPException(400, "the headers of a part are too long")
        self._header[which] += data

    def on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = [bytearray(), bytearray()]

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise HTTPException(400, "a part of the body is no file")
        if len(self.files) == MOST_FILES:
            raise HTTPException(413, f"at most {MOST_FILES} files at once")
        self._name = options[b"filename"].decode(errors="replace")
        self.files.append(self._new() / component(self._name))
        self._waiting.append((self.files[-1], bytearray()))
        self._size = 0

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        chunk = data[start:end]
        self._size += len(chunk)
        if self._size > self._most_bytes:
            raise HTTPException(413, f"larger than the {self._most_bytes} bytes that are taken here")
        if not self._waiting:
            self._waiting.append((self.files[-1], bytearray()))
        self._waiting[-1][1].extend(chunk)
        self.waiting_bytes += len(chunk)
        self._progress(self._name, chunk)

    def on_end(self) -> None:
        self.whole = True
