"""What gradio itself is told, should a request ever pass the guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.settings import Settings
from app.web.board import Board
from app.web.jobs import JobStore
from app.web.lane import Lane
from app.web.machine import Proof
from app.web.server import Serving
from tests.app.web.client import FILE, files_below


@pytest.fixture
def unguarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The routes without the guard before them."""
    page, uploads = tmp_path / "run-app" / "page", tmp_path / "run-app" / "page-uploads"
    page.mkdir(parents=True)
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    from app.web.application import application

    store = JobStore(page)
    asked = Serving(Settings(), "127.0.0.1", 0, None, False, 60.0, "", 10**6, True)
    board = Board(store, Lane(store, asked.settings, idle_unload_s=60.0))
    guard = application(board, Proof(), asked, uploads, loopback=True)
    with TestClient(guard._app) as client:
        yield client


def test_gradio_copies_no_path_that_was_not_uploaded(unguarded: TestClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_text("nobody has uploaded this")
    body = {"data": [[{"path": str(secret), "meta": FILE}], {}]}
    event = unguarded.post("/gradio_api/call/submit", json=body).json()["event_id"]
    assert "event: error" in unguarded.get(f"/gradio_api/call/submit/{event}").text
    assert [path for path in files_below(tmp_path / "run-app") if "nobody" in path.read_text(errors="replace")] == []


@pytest.mark.parametrize("name", ["config/run-app/local.env", "run-app/page/lock", "run-app/artefacts/a.json"])
def test_gradio_is_told_what_to_hand_out_to_nobody(unguarded: TestClient, tmp_path: Path, name: str) -> None:
    from gradio.utils import is_allowed_file

    from app.web.application import _blocked
    from launcher.profiles import shipped_folder

    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    blocked = _blocked(tmp_path / "run-app" / "page-uploads")
    for each in (path, Path(shipped_folder()) / "cpu.env"):
        assert is_allowed_file(each, blocked, ["/"], []) == (False, "in_blocklist")
    assert is_allowed_file(tmp_path / "run-app" / "page-uploads" / "a", blocked, ["/"], [])[0]
