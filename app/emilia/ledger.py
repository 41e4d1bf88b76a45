"""What is done, in OUT itself: for each recording and step its result, under a key of all that shaped it.

    OUT/.run-app-emilia/lock          who works here
                        settings.json what the last run was asked for
                        contents*.json recordings' sizes, times and content keys: only what changed is read again
                        done/KEY.json the result of a step for a recording: there whole, or not at all
                        audio/KEY.flac the sound that goes with it
                        tries/KEY.json failed attempts, and why

A key is made of the recording's content, the settings that shape the step and those before it, and the models'
identity. So a key that is there is done, whoever asks; and what a changed setting does not touch keeps its key.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.artefacts import content_key
from app.emilia.sources import Shard, Source
from app.errors import UsageError
from app.remote import identity, marked
from app.store import PART, write_atomically

FOLDER = ".run-app-emilia"
MOST_TRIES = 3
"""Then a recording is in quarantine: no run tries that step again with the same content, settings and model."""


@dataclass(frozen=True)
class Tries:
    """Failed attempts at one step for one recording."""

    number: int
    reason: str

    @property
    def over(self) -> bool:
        return self.number >= MOST_TRIES


class Ledger:
    """Of one OUT. Several processes may use it: they write the same under the same key."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self._place = str(self.folder)
        self._contents: dict[str, list[Any]] = {}
        self._known: dict[str, list[Any]] = {}

    def make(self) -> None:
        """Raises UsageError where OUT can't be written."""
        out = self.folder.parent
        try:
            for name in ("done", "audio", "tries"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{out}: can't write there ({error.strerror})") from None
        for path in sorted(self.folder.glob("contents*.json")):
            self._contents |= self._read(path.name) or {}
        self._known = dict(self._contents)

    @contextmanager
    def locked(self, shard: Shard | None) -> Iterator[None]:
        """Nobody else works on this shard, nor on the whole. Raises UsageError where somebody does."""
        out = self.folder.parent
        with (self.folder / "lock").open("a") as whole:
            _lock(whole.fileno(), shared=shard is not None, busy=f"{out}: another run is at work here")
            if shard is None:
                yield
                return
            name = f"lock-{shard.number}-of-{shard.of}"
            with (self.folder / name).open("a") as part:
                _lock(part.fileno(), shared=False, busy=f"{out}: another run is at work on shard {shard}")
                yield

    def content(self, source: Source) -> str:
        """The key of a recording's content; read only where size or time changed. What is elsewhere is not read: its
        server's mark tells. Raises OSError; for a URL InputError and WorkError.
        """
        if isinstance(source.path, str):
            known_by = source.size is not None and source.token
            return marked(source.path, source.size or 0, source.token) if known_by else identity(source.path)
        status = source.path.stat()
        seen = [status.st_size, status.st_mtime_ns, source.path.suffix]
        known = self._contents.get(source.name)
        if known and known[:3] == seen:
            return str(known[3])
        key = content_key(source.path)
        self._contents[source.name] = [*seen, key]
        return key

    def keep_contents(self, shard: Shard | None = None) -> None:
        """Write down what `content` has read: shards, which may run at the same time, each in a file of its own."""
        if self._contents != self._known:
            name = f"contents-{shard.number}-of-{shard.of}.json" if shard else "contents.json"
            write_atomically(self.folder / name, json.dumps(self._contents))

    def settings(self) -> dict[str, Any] | None:
        """Of the last run; None: there was none."""
        found: dict[str, Any] | None = self._read("settings.json")
        return found

    def keep_settings(self, settings: dict[str, Any]) -> None:
        write_atomically(self.folder / "settings.json", json.dumps(settings, indent=1))

    def is_done(self, key: str) -> bool:
        return (self.folder / "done" / f"{key}.json").exists()

    def result(self, key: str) -> Any:
        """Of a step that is done; None where it is not, or the disk has lost it."""
        return self._read(f"done/{key}.json")

    def finish(self, key: str, result: Any) -> None:
        """The step's result is there from here on, and its failed attempts are forgotten."""
        write_atomically(self.folder / "done" / f"{key}.json", json.dumps(result, ensure_ascii=False))
        (self.folder / "tries" / f"{key}.json").unlink(missing_ok=True)

    def audio(self, key: str) -> Path:
        """Where the sound under this key is, or is to be."""
        return self.folder / "audio" / f"{key}.flac"

    def part(self, key: str) -> Path:
        """For what is not finished: rename it when it is."""
        return self.folder / "audio" / f".{key}.{os.getpid()}.part.flac"

    def tries(self, key: str) -> Tries:
        data = self._read(f"tries/{key}.json") or {"number": 0, "reason": ""}
        return Tries(data["number"], data["reason"])

    def count_try(self, key: str, reason: str, *, last: bool = False) -> Tries:
        """One more failed attempt. `last`: another would fail the same way, the recording itself is at fault."""
        tries = Tries(MOST_TRIES if last else self.tries(key).number + 1, reason)
        data = {"number": tries.number, "reason": reason}
        write_atomically(self.folder / "tries" / f"{key}.json", json.dumps(data, ensure_ascii=False))
        return tries

    def forget_tries(self, key: str) -> None:
        """Let this be tried again."""
        (self.folder / "tries" / f"{key}.json").unlink(missing_ok=True)

    def reopen(self, key: str) -> None:
        """What was made under this key is no longer in its place."""
        (self.folder / "done" / f"{key}.json").unlink(missing_ok=True)

    def remove_parts(self) -> None:
        """What killed workers have left unfinished; nobody else may be at work here."""
        for path in (self.folder / "audio").glob(".*.part*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in (self.folder.parent, self.folder, self.folder / "done", self.folder / "tries"):
            for path in folder.glob(f"{PART}*"):
                if path.is_file():  # the ledger's own folder begins the same way
                    path.unlink(missing_ok=True)

    def prune(self, keys: Container[str]) -> int:
        """Remove all results but those under these keys; returns the bytes that are free now."""
        freed = 0
        for path in [*(self.folder / "done").iterdir(), *(self.folder / "audio").iterdir()]:
            if path.stem not in keys:
                freed += path.stat().st_size
                path.unlink()
        return freed

    def _read(self, name: str) -> Any:
        try:
            with open(f"{self._place}/{name}", "rb") as file:  # noqa: PTH123 - half of what a rerun costs is this line
                return json.loads(file.read())
        except (OSError, ValueError):  # ValueError: a disk that lost what it had promised to keep
            return None


def _lock(descriptor: int, *, shared: bool, busy: str) -> None:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        raise UsageError(f"{busy}; wait for it, or name another folder") from None
