"""The dataset at a URL: made in a folder, which the machines of a cluster share, and sent there when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from app.display import Display
from app.emilia.ledger import FOLDER
from app.errors import InputError, UsageError
from app.remote import check_writable, create_exclusively, joined, put, read_bytes, remove, shown
from app.store import state_folder, write_atomically

LOCK = ".run-app-lock"
"""At the URL: who is at work there."""
SENT = "sent.json"
"""In the ledger's folder: what has been sent where, by name its size and time."""
AT_ONCE = 8
KEPT_EVERY_S = 5.0
MB = 1e6


def made_for(url: str) -> Path:
    """The folder in which the dataset for a URL is made, where nobody names another."""
    name = re.sub(r"[^\w.-]+", "-", shown(url).partition("://")[2]).strip("-")[:60]
    return state_folder("emilia") / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:10]}"


class Elsewhere:
    """What is at `url` of the dataset in `out`."""

    def __init__(self, url: str, out: Path, display: Display) -> None:
        self._url, self._out, self._display = url, out, display
        self._memory = out / FOLDER / SENT

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes there. Raises UsageError where somebody does, or nobody can."""
        check_writable(self._url)
        url = joined(self._url, LOCK)
        ours = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
        if not self._make(url, ours):
            theirs = self._whose(url)
            if theirs.get("host") != ours["host"] or psutil.pid_exists(theirs.get("pid", 0)):
                who = f"{theirs.get('host')}, process {theirs.get('pid')}, since {theirs.get('since')}"
                raise UsageError(
                    f"{shown(self._url)}: another run is at work here ({who}); wait for it, or, if it is dead, remove "
                    f"{shown(url)}"
                )
            remove(url)  # a run of this machine that was killed
            if not self._make(url, ours):
                raise UsageError(f"{shown(self._url)}: another run has just begun here; wait for it")
        try:
            yield
        finally:
            remove(url)

    def _make(self, url: str, ours: dict[str, Any]) -> bool:
        return create_exclusively(url, json.dumps(ours).encode())

    def _whose(self, url: str) -> dict[str, Any]:
        try:
            found = json.loads(read_bytes(url))
        except (InputError, ValueError):  # it has gone meanwhile, or is none of ours
            return {}
        return found if isinstance(found, dict) else {}

    def send(self) -> None:
        """Bring there what is new, and take away what is no longer here. Raises WorkError; what is sent stays so.

        The segments first, the tables after them, and what no table names goes last: who reads there meanwhile finds
        every segment that a table names.
        """
        files = self._files()
        sent = self._sent()
        new = [name for name, mark in files.items() if sent.get(name) != mark]
        gone = [name for name in sent if name not in files]
        self._total, self._done = sum(files[name][0] for name in new), 0
        self._display.step("send", f"to {shown(self._url)}")
        tables = {name for name in new if "/" not in name or name.startswith(("tars/", "parquet/"))}
        self._act([name for name in new if name not in tables], sent, files)
        self._act(sorted(tables), sent, files)
        self._act(gone, sent, files)
        what = f"{len(new)} new file{'s' * (len(new) != 1)} of {len(files)}, {self._total / MB:,.1f} MB"
        away = f", {len(gone)} removed" if gone else ""
        self._display.say(f"sent to {shown(self._url)}: {what}{away}")

    def _act(self, names: list[str], sent: dict[str, list[int]], files: dict[str, list[int]]) -> None:
        """Send these, or remove those that are no longer here; what is done is remembered, however it ends."""
        over = threading.Event()
        kept_at = time.monotonic()

        def act(name: str) -> None:
            if over.is_set():
                return
            if name in files:
                put(self._out / name, joined(self._url, name))
            else:
                remove(joined(self._url, name))

        with ThreadPoolExecutor(AT_ONCE, "send") as pool:
            futures = {pool.submit(act, name): name for name in names}
            try:
                for future in as_completed(futures):
                    future.result()
                    name = futures[future]
                    if name in files:
                        sent[name] = files[name]
                        self._done += files[name][0]
                        self._display.advance(self._done / MB, self._total / MB, "MB")
                    else:
                        del sent[name]
                    if time.monotonic() - kept_at > KEPT_EVERY_S:
                        kept_at = time.monotonic()
                        self._keep(sent)
            finally:
                over.set()
                self._keep(sent)

    def _files(self) -> dict[str, list[int]]:
        """All of the dataset: by name size and time. Hidden ones are ours alone."""
        found = {}
        for path in sorted(self._out.rglob("*")):
            name = path.relative_to(self._out)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                status = path.stat()
                found[name.as_posix()] = [status.st_size, status.st_mtime_ns]
        return found

    def _sent(self) -> dict[str, list[int]]:
        """What an earlier run has sent to this URL."""
        try:
            data = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return dict(data["files"]) if data.get("url") == self._url else {}

    def _keep(self, sent: dict[str, list[int]]) -> None:
        write_atomically(self._memory, json.dumps({"url": self._url, "files": sent}))
