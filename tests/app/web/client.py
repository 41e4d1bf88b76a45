"""What a browser and curl do, without either."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

FILE = {"_type": "gradio.FileData"}


class CallError(Exception):
    """What the page would show."""


class PageClient(httpx.Client):
    """Paths are relative to the page's root."""

    def __init__(self, address: str) -> None:
        super().__init__(base_url=address, timeout=60)

    def upload(self, content: bytes, name: str = "talk.wav") -> str:
        """Where it lies."""
        answer = self.post("gradio_api/upload", files={"files": (name, content)})
        assert answer.status_code == 200, answer.text
        path: str = answer.json()[0]
        return path

    def call(self, endpoint: str, *data: Any) -> Any:
        """What an endpoint returns, as curl gets it. Raises CallError with its line."""
        answer = self.post(f"gradio_api/call/{endpoint}", json={"data": data})
        assert answer.status_code == 200, answer.text
        events = self.get(f"gradio_api/call/{endpoint}/{answer.json()['event_id']}").text
        for event in events.strip().split("\n\n"):
            kind, _, line = event.partition("\n")
            content = json.loads(line.removeprefix("data: "))
            if kind == "event: complete":
                return content[0]
            if kind == "event: error":
                raise CallError(content and content["error"])
        raise AssertionError(events)

    def submit(self, content: bytes, name: str = "talk.wav", **options: Any) -> str:
        """Upload and queue; the job's id."""
        id: str = self.call("submit", [{"path": self.upload(content, name), "meta": FILE}], options)
        return id

    def status(self, id: str) -> Any:
        return self.call("status", id)


def raw(address: str, request: bytes) -> bytes:
    """All that the server answers to these bytes, until it closes the connection."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
