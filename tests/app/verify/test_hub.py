"""The hub: whether it answers, and what it makes of the token."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models.speakers import COMMUNITY_1
from app.verify import Check, installation
from tests.app.hub import LocalHub

TOKEN = "hf_0123456789abcdefTOKEN"


@pytest.fixture
def local_hub(tmp_path: Path) -> Iterator[LocalHub]:
    folder = tmp_path / "community-1"
    folder.mkdir()
    (folder / "config.yaml").write_text("")
    with LocalHub({COMMUNITY_1: folder}, gates={COMMUNITY_1: {TOKEN: True, TOKEN[::-1]: False}}).serving() as hub:
        yield hub


def hub(environment: dict[str, str], url: str, **more: str) -> dict[str, Check]:
    checks = installation.hub(environment | {"HF_ENDPOINT": url, "HF_HOME": "/nonexistent"} | more)
    assert TOKEN not in repr(checks)
    return {check.id: check for check in checks}


def test_a_hub_that_opens_community_1(local_hub: LocalHub, environment: dict[str, str]) -> None:
    checks = hub(environment, local_hub.url, HF_TOKEN=TOKEN)

    assert {id: check.status for id, check in checks.items()} == {"hub": "OK", "hub-token": "OK"}
    assert "community-1 is open" in checks["hub-token"].found


def test_no_token(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url)["hub-token"]

    assert check.status == "SKIP"
    assert check.found.startswith("none")
    assert "local.env" in check.todo


def test_conditions_that_are_not_accepted(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url, HF_TOKEN=TOKEN[::-1])["hub-gate"]

    assert check.status == "SKIP"
    assert f"accept them at {local_hub.url}/{COMMUNITY_1}" in check.todo


def test_a_token_that_the_hub_refuses(local_hub: LocalHub, environment: dict[str, str]) -> None:
    check = hub(environment, local_hub.url, HF_TOKEN="hf_wrong")["hub-token"]

    assert check.status == "FAIL"
    assert "hf_wrong" not in repr(check)


def test_offline_asks_nobody(local_hub: LocalHub, environment: dict[str, str]) -> None:
    checks = hub(environment, local_hub.url, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="1")

    assert {id: check.status for id, check in checks.items()} == {"hub": "SKIP"}
    assert checks["hub"].found.startswith("offline by HF_HUB_OFFLINE")
    assert checks["hub"].todo == "--unset HF_HUB_OFFLINE"
    assert local_hub.requests == []


@pytest.mark.slow
def test_a_hub_that_is_not_there_or_does_not_answer(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        late = hub(environment, url)["hub"]
        assert time.monotonic() - begin < 12
    gone = hub(environment, url.replace("//", "//me:secret@"), HF_TOKEN=TOKEN)

    assert late.status == gone["hub"].status == "SKIP"
    assert "not reached: " in late.found
    assert "refused" in gone["hub"].found
    assert "secret" not in repr(gone)
    assert list(gone) == ["hub"]
