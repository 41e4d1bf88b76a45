"""A hub on this machine: answers what huggingface_hub asks for a model, counts it, and fails when told to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 18
LFS_FROM_BYTES = 10_000_000
"""Files from this size on are in Large File Storage: named by sha256, served by another origin."""


@dataclass
class Request:
    method: str
    path: str
    range_start: int
    authorization: str | None
    sent_bytes: int = 0
    """Of the body, as far as the socket took them."""


@dataclass
class LocalHub:
    """Folders as repositories. Faults may be set before and between requests."""

    folders: dict[str, Path]
    requests: list[Request] = field(default_factory=list)
    """Everything asked so far, storage included."""
    status: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Repository: an HTTP status and X-Error-Code to answer with."""
    gates: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Repository: its token, and whether that token's owner has accepted the conditions. Only files are behind it."""
    cut_after: int | None = None
    """Close the connection once, after so many bytes of an LFS file."""
    stall_after: int | None = None
    """Send so many bytes of an LFS file, then nothing until the client goes."""
    stated_size: int | None = None
    """What the listing says of an LFS file, instead of the truth."""
    damaged: bool = False
    """Flip the first byte of LFS files."""
    ignores_range: bool = False
    """Answer 200 with everything where 206 with the rest was asked for."""
    url: str = ""
    storage_url: str = ""

    def of_weights(self) -> list[Request]:
        """The GET requests for LFS content, after the redirect."""
        return [request for request in self.requests if "/storage/" in request.path and request.method == "GET"]

    def of_repository(self) -> list[Request]:
        """What was asked of the hub itself about its repositories (its client asks for other things too)."""
        paths = tuple(f"{prefix}{name}" for name in self.folders for prefix in ("/", "/api/models/"))
        return [request for request in self.requests if request.path.startswith(paths)]

    @contextmanager
    def serving(self) -> Iterator[LocalHub]:
        """Listen on two ports of 127.0.0.1: the hub's and its storage's, which is another origin."""

        class Handler(_Handler):
            hub = self

        servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        for server in servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()


@cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _git_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.request_seen = Request(self.command, path, start, self.headers.get("Authorization"))
        self.hub.requests.append(self.request_seen)
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[1:3] if parts[0] == "storage" else parts[:2])
        folder = self.hub.folders.get(repository)
        # The real hub answers 401 for what does not exist, unless the caller has a valid token.
        fault = self.hub.status.get(repository) or ((401, "RepoNotFound") if folder is None else None)
        if fault or folder is None:
            status, code = fault or (404, "")
            self._answer(status, b"{}", {"X-Error-Code": code})
        elif refused := self._refusal(repository, api):
            self._answer(refused[0], b"{}", refused[1])
        elif parts[0] == "storage":
            self._send_weights(folder.joinpath(*parts[3:]), start)
        elif api and "tree" in parts:
            self._answer_json([self._tree_entry(folder, file) for file in _files(folder)])
        elif api:
            siblings = [self._sibling(folder, file) for file in _files(folder)]
            self._answer_json({"id": repository, "sha": self._commit(folder), "siblings": siblings})
        elif folder.joinpath(*parts[4:]).is_file():
            self._send(repository, folder.joinpath(*parts[4:]), self._commit(folder))
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _refusal(self, repository: str, api: bool) -> tuple[int, dict[str, str]] | None:
        """As the real hub: a wrong token is refused everywhere, and what a gated repository holds is no secret."""
        gate = self.hub.gates.get(repository)
        token = (self.request_seen.authorization or "").removeprefix("Bearer ")
        if gate is None or "/storage/" in self.request_seen.path:
            return None
        if token and token not in gate:
            return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}
        if api or gate.get(token):
            return None
        return 403 if token else 401, {"X-Error-Code": "GatedRepo"}

    @staticmethod
    def _commit(folder: Path) -> str:
        return hashlib.sha1(str(folder).encode()).hexdigest()

    def _lfs_size(self, file: Path) -> int:
        return self.hub.stated_size or file.stat().st_size

    def _sibling(self, folder: Path, file: Path) -> dict[str, object]:
        entry: dict[str, object] = {
            "rfilename": str(file.relative_to(folder)),
            "size": file.stat().st_size,
            "blobId": _git_sha1(file),
        }
        if _is_lfs(file):
            entry["lfs"] = {"size": self._lfs_size(file), "sha256": _sha256(file), "pointerSize": 134}
        return entry

    def _tree_entry(self, folder: Path, file: Path) -> dict[str, object]:
        entry: dict[str, object] = {
            "type": "file",
            "path": str(file.relative_to(folder)),
            "size": file.stat().st_size,
            "oid": _git_sha1(file),
        }
        if _is_lfs(file):
            entry["lfs"] = {"size": self._lfs_size(file), "oid": _sha256(file), "pointerSize": 134}
        return entry

    def _send(self, repository: str, file: Path, commit: str) -> None:
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not _is_lfs(file):
            self._answer(200, file.read_bytes(), {**headers, "ETag": f'"{_git_sha1(file)}"'})
            return
        name = file.relative_to(self.hub.folders[repository])
        headers["Location"] = f"{self.hub.storage_url}/storage/{repository}/{name}"
        headers["X-Linked-ETag"] = f'"{_sha256(file)}"'
        headers["X-Linked-Size"] = str(self._lfs_size(file))
        self._answer(302, b"", headers)

    def _send_weights(self, file: Path, start: int) -> None:
        content = memoryview(file.read_bytes())
        size = len(content)
        status, headers = 200, {"ETag": f'"{_sha256(file)}"', "Accept-Ranges": "bytes"}
        if start and not self.hub.ignores_range:
            status, headers["Content-Range"] = 206, f"bytes {start}-{size - 1}/{size}"
            content = content[start:]
        limit = self.hub.cut_after or self.hub.stall_after
        stalls, self.hub.cut_after = self.hub.cut_after is None, None
        self._head(status, len(content), headers)
        if self.hub.damaged and start == 0:
            self._write(b"\xff")
            content = content[1:]
        for at in range(0, len(content), CHUNK_BYTES):
            if limit is not None and at >= limit:
                if stalls:
                    self.connection.recv(1)  # returns when the client has gone
                self.close_connection = True
                return
            if not self._write(content[at : at + CHUNK_BYTES]):
                return

    def _answer_json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), headers)
        if self.command == "GET":
            self._write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, content: bytes | memoryview) -> bool:
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True
            return False
        self.request_seen.sent_bytes += len(content)
        return True

    def log_message(self, *_: object) -> None:
        """Keep quiet: pytest shows what the tests say."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _is_lfs(file: Path) -> bool:
    return file.stat().st_size >= LFS_FROM_BYTES
