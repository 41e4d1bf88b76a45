"""What the page links to: the player's recording, the transcripts, and all of them in one file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.app.web.conftest import PageServer, finished_job, serving, write_accounts

NAME = 'Änne & "Bob" <1>.wav'


@dataclass
class Shelf:
    server: PageServer
    anns: str
    bobs: str


@pytest.fixture(scope="module")
def shelf(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A server of two people, each with a job that is done."""
    state = tmp_path_factory.mktemp("page")
    anns = finished_job(state, NAME, "page.html", "pic.svg", owner="ann", text="<b>Hello</b> there.")
    bobs = finished_job(state, owner="bob")
    with serving(home, state, "--auth-file", write_accounts(state.parent / "who")) as server:
        yield Shelf(server, anns, bobs)


def test_the_recording_can_be_played_from_anywhere(shelf: Shelf) -> None:
    client = shelf.server.client("ann", "ann's")
    whole = client.get(f"jobs/{shelf.anns}/0/media")
    assert whole.headers["content-type"] in ("audio/wav", "audio/x-wav")
    assert whole.headers["content-disposition"] == "inline"
    assert whole.headers["accept-ranges"] == "bytes"
    assert len(whole.content) == 32044
    part = client.get(f"jobs/{shelf.anns}/0/media", headers={"Range": "bytes=8-11"})
    assert (part.status_code, part.content) == (206, b"WAVE")
    assert part.headers["content-range"] == "bytes 8-11/32044"
    assert client.head(f"jobs/{shelf.anns}/0/media").headers["content-length"] == "32044"
    assert client.get(f"jobs/{shelf.anns}/0/media", headers={"Range": "bytes=99999-"}).status_code == 416


@pytest.mark.parametrize("index", [1, 2])
def test_no_recording_is_shown_as_a_page(shelf: Shelf, index: int) -> None:
    answer = shelf.server.client("ann", "ann's").get(f"jobs/{shelf.anns}/{index}/media")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("txt", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("md", "text/plain; charset=utf-8"),
        ("tsv", "text/plain; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"),
        ("json", "application/json"),
    ],
)
def test_a_transcript_is_kept_under_the_recordings_name(shelf: Shelf, form: str, kind: str) -> None:
    answer = shelf.server.client("ann", "ann's").get(f"jobs/{shelf.anns}/0/transcript.{form}")
    assert answer.headers["content-type"] == kind
    plain, _, encoded = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert plain == f'attachment; filename="_nne & _Bob_ <1>.{form}"'
    assert unquote(encoded) == f'Änne & "Bob" <1>.{form}'
    assert "Hello" in answer.text


def test_all_of_them_in_one_file(shelf: Shelf) -> None:
    answer = shelf.server.client("ann", "ann's").get(f"jobs/{shelf.anns}/all.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 12
        assert "page.srt" in archive.namelist()


@pytest.mark.parametrize(
    "path",
    [
        "jobs/{bobs}/0/media",
        "jobs/{bobs}/0/transcript.txt",
        "jobs/{bobs}/all.zip",
        "jobs/{anns}/3/media",
        "jobs/{anns}/-1/media",
        "jobs/{anns}/0x0/media",
        "jobs/{anns}/٠/media",
        "jobs/{anns}/99999999999999999999/media",
        "jobs/{anns}/0/transcript.docx",
        "jobs/{anns}/0/transcript.html",
        "jobs/{anns}/0/job.json",
        "jobs/{anns}",
        "jobs/",
    ],
)
def test_what_is_not_ones_own_is_not_there(shelf: Shelf, path: str) -> None:
    path = path.format(anns=shelf.anns, bobs=shelf.bobs)
    assert shelf.server.client("ann", "ann's").get(path).status_code == 404
    assert shelf.server.client().get(path).status_code in (401, 404)
