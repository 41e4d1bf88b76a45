"""What the page says of this machine: the profile it runs under, and what `run-app verify` finds."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from typing import Any

from launcher.masking import HIDDEN, LEAST, is_secret

COMMAND = (sys.executable, "-P", "-m", "app", "verify", "--json")
LONGEST_S = 900.0


def profiles(environment: Mapping[str, str]) -> list[str]:
    """Of the launcher's; none where the app was started without it."""
    return _listed(environment, "RUN_APP_PROFILE")


def variables(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the profile has set, by name; no secrets."""
    names = sorted(_listed(environment, "RUN_APP_SETTINGS"))
    return [(name, HIDDEN if is_secret(name) else masked(environment.get(name, ""), environment)) for name in names]


def masked(text: str, environment: Mapping[str, str]) -> str:
    """Without the secrets that stand in the environment."""
    secrets = [value for name, value in environment.items() if is_secret(name) and len(value) >= LEAST]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _listed(environment: Mapping[str, str], variable: str) -> list[str]:
    return [name for name in environment.get(variable, "").split(",") if name]


class Proof:
    """`run-app verify` in a child of ours: one at a time, and what the last one found. Thread-safe."""

    def __init__(
        self, command: Sequence[str] = COMMAND, alone: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """`alone` gives the machine for as long as it takes, or raises UsageError."""
        self._command, self._alone = tuple(command), alone
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._last: dict[str, Any] | None = None
        atexit.register(self.stop)

    def start(self) -> None:
        """Begin, unless one is under way. Raises UsageError where the machine is not to be had."""
        with self._lock:
            if self._child is None:
                stack = ExitStack()
                stack.enter_context(self._alone())
                output, log = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by _wait
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, start_new_session=True
                )
                self._began = time.monotonic()
                threading.Thread(target=self._wait, args=(self._child, output, log, stack), daemon=True).start()

    def look(self) -> dict[str, Any]:
        """{"seconds" that one has been under way; None: none is, "last": {"at" (since 1970), "seconds", "checks" or
        "error"}; None: none yet}.
        """
        with self._lock:
            running = time.monotonic() - self._began if self._child else None
            return {"seconds": running, "last": self._last}

    def stop(self) -> None:
        """End one that is under way; it leaves no result."""
        with self._lock:
            if self._child:
                _kill(self._child)

    def _wait(self, child: subprocess.Popen[bytes], output: Any, log: Any, stack: ExitStack) -> None:
        with output, log, stack:
            try:
                child.wait(LONGEST_S)
            except subprocess.TimeoutExpired:
                _kill(child)
                child.wait()
            output.seek(0)
            log.seek(0)
            found = _read(output.read(), log.read().decode(errors="replace"), child.returncode)
        with self._lock:
            self._child = None
            self._last = {"at": time.time(), "seconds": time.monotonic() - self._began, **found}


def _kill(child: subprocess.Popen[bytes]) -> None:
    """With the children it has: it leads a session of its own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _read(output: bytes, log: str, code: int) -> dict[str, Any]:
    try:
        checks = json.loads(output)["checks"]
    except (ValueError, KeyError):
        said = log.strip().rpartition("\n")[2]
        return {"error": masked(said, os.environ) or f"verify ended with exit code {code}"}
    shown = ("section", "id", "subject", "status", "found", "todo")
    return {"checks": [{name: masked(check[name], os.environ) for name in shown} for check in checks]}
