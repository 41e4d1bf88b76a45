"""Debian's Chromium, driven by Playwright; every request that it makes is seen."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 20_000.0
"""For what needs no model."""
WORK_MS = 240_000.0
"""For a job, on a machine that has other things to do."""
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
).split()

OWN = frozenset(
    "accounts.google.com clients2.google.com content-autofill.googleapis.com edgedl.me.gvt1.com"
    " optimizationguide-pa.googleapis.com redirector.gvt1.com safebrowsing.googleapis.com update.googleapis.com".split()
)
"""What Chromium asks for itself, whatever page it shows."""


class Outside:
    """Where everything goes that is not for 127.0.0.1: a proxy that notes the host, and refuses."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._refuse, args=(connection,), daemon=True).start()

    def _refuse(self, connection: socket.socket) -> None:
        with connection:
            first, _, rest = connection.recv(4096).decode(errors="replace").partition(" ")
            target = rest.partition(" ")[0]
            host = urlsplit(target if "://" in target else f"//{target}").hostname
            if first and host not in OWN:
                self.asked.append(host or target)

    def close(self) -> None:
        self._listener.close()


class Watched:
    """A browser whose pages all begin empty, as those of different people."""

    def __init__(self, browser: Browser, outside: Outside) -> None:
        self._browser, self._outside = browser, outside
        self.requests: list[str] = []
        self.faults: list[str] = []
        """Exceptions of the page's scripts."""

    @contextmanager
    def person(self, **settings: Any) -> Iterator[Page]:
        """A page of somebody new, with Playwright's settings of a context: locale, color_scheme, viewport."""
        context = self._browser.new_context(**settings)
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda fault: self.faults.append(str(fault.error)))
        try:
            yield context.new_page()
        finally:
            context.close()

    def check(self) -> None:
        """Nothing left this machine, and no script failed."""
        assert self.requests
        hosts = {parts.hostname for parts in map(urlsplit, self.requests) if parts.scheme not in ("data", "blob")}
        assert hosts == {"127.0.0.1"}, hosts
        assert self._outside.asked == [], self._outside.asked
        assert self.faults == [], self.faults


@contextmanager
def watched() -> Iterator[Watched]:
    """One browser process; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here (scripts/test-browser installs it)")
    outside = Outside()
    proxy = [f"--proxy-server=http://127.0.0.1:{outside.port}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *proxy])
        try:
            yield Watched(browser, outside)
        finally:
            browser.close()
            outside.close()


def row(page: Page, name: str) -> Locator:
    """The newest job of this name, in the table."""
    return page.locator(".ra-jobs tbody tr", has=page.get_by_role("link", name=name, exact=True)).first


def submit(page: Page, recording: Path, *, model: str = "tiny.en", speakers: bool = False) -> Locator:
    """Send it by the form; its row in the table."""
    page.set_input_files("#ra-files", recording)
    page.get_by_label("Model", exact=True).select_option(model)
    if speakers:
        page.get_by_label("Tell apart").check()
    page.get_by_role("button", name="Transcribe").click()
    made = row(page, recording.name)
    made.wait_for()
    return made


def is_in(place: Locator, state: str, patience_ms: float = WORK_MS) -> None:
    """Waits until the badge there says so."""
    place.locator(f'.ra-badge[data-state="{state}"]').first.wait_for(timeout=patience_ms)
