"""Who may come in: `--auth-file`, and the log-ins that gradio's own page sends."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shlex
import stat
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UsageError

if TYPE_CHECKING:
    from gradio.routes import App

MOST_WRONG = 10
"""Attempts from one address before it has to wait."""
WITHIN_S = 60.0


def read_accounts(path: Path) -> dict[str, str]:
    """The passwords by name, from lines `name:password`; blank ones and those that begin with # are left out.

    Raises UsageError, which shows no password.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f"--auth-file {path}: not a file")
            if mode & 0o077:
                raise UsageError(f"--auth-file {path}: others can read it; chmod 600 {shlex.quote(str(path))}")
            lines = file.read().decode().splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"--auth-file {path}: not UTF-8") from None
    except OSError as error:
        raise UsageError(f"--auth-file {path}: {error.strerror}") from None
    accounts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password = line.partition(":")
        name = name.strip()
        if not colon or not name or not name.isprintable():
            raise UsageError(f"{path}:{number}: not a line name:password")
        if not password.strip():
            raise UsageError(f"{path}:{number}: the password of {name} is empty")
        if name in accounts:
            raise UsageError(f"{path}:{number}: {name} has a line already")
        accounts[name] = password
    if not accounts:
        raise UsageError(f"--auth-file {path}: there is no line name:password in it")
    return accounts


class Doorkeeper:
    """Knows the accounts, and who a request comes from."""

    def __init__(self, accounts: Mapping[str, str] | None) -> None:
        """None: nobody logs in."""
        self._key = secrets.token_bytes(32)
        self._accounts = None if accounts is None else {name: self._mark(word) for name, word in accounts.items()}
        self._app: App | None = None
        self._attempts: dict[str, deque[float]] = {}
        """When an address tried, by the monotonic clock."""

    @property
    def guards(self) -> bool:
        return self._accounts is not None

    def attach(self, app: App) -> None:
        """Gradio keeps the log-ins."""
        self._app = app

    def check(self, name: str, password: str) -> bool:
        """Whether this is his password, in a time that says nothing about it."""
        known = (self._accounts or {}).get(name, secrets.token_bytes(hashlib.sha256().digest_size))
        return hmac.compare_digest(known, self._mark(password))

    def visitor(self, cookies: Mapping[str, str]) -> str | None:
        """His name, as gradio's own routes see it; "" where nobody logs in, None where he has not."""
        if self._accounts is None:
            return ""
        if self._app is None:
            return None
        for kind in ("access-token", "access-token-unsecure"):
            name: str | None = self._app.tokens.get(cookies.get(f"{kind}-{self._app.cookie_id}", ""))
            if name is not None:
                return name
        return None

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0: now, and that counts as an attempt until `forgive`."""
        now = time.monotonic()
        for each in [each for each, times in self._attempts.items() if now - times[-1] > WITHIN_S]:
            del self._attempts[each]
        times = self._attempts.setdefault(address, deque(maxlen=MOST_WRONG))
        if len(times) == MOST_WRONG and now - times[0] < WITHIN_S:
            return WITHIN_S - (now - times[0])
        times.append(now)
        return 0.0

    def forgive(self, address: str) -> None:
        """The last attempt was right. Those before it count on: one's own account is no help to guess others'."""
        if times := self._attempts.get(address):
            times.pop()
            if not times:
                del self._attempts[address]

    def _mark(self, password: str) -> bytes:
        """Of one length for all passwords, and worth nothing outside this process."""
        return hmac.digest(self._key, password.encode(), hashlib.sha256)
