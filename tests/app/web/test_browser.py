"""Jobs, as a person sees them in a browser: real recordings, real models, a server and a worker that may go."""

from __future__ import annotations

import re
import shutil
import socket
import wave
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from app.inputs import sample
from tests.app.web.browser import WORK_MS, Watched, is_in, row, submit
from tests.app.web.conftest import PageServer, StartPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def long_talk(path: Path, times: int) -> Path:
    """The sample, again and again: long enough to do something meanwhile."""
    with wave.open(str(sample()), "rb") as short, wave.open(str(path), "wb") as file:
        file.setparams(short.getparams())
        file.writeframes(short.readframes(short.getnframes()) * times)
    return path


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return Path(shutil.copy(sample(), tmp_path / "two friends.wav"))


def workers(server: PageServer) -> list[psutil.Process]:
    return [each for each in psutil.Process(server.process.pid).children() if "app.worker" in " ".join(each.cmdline())]


def plays_from(page: Page, seconds: float) -> None:
    """Waits until the recording is heard from there on."""
    page.wait_for_function(
        "from => { const a = document.querySelector('audio'); return !a.paused && a.currentTime > from + 0.2; }",
        arg=seconds,
    )
    assert page.evaluate("document.querySelector('audio').currentTime") < seconds + 8


@pytest.mark.parametrize("version", ["installed", "6.17.3"])
def test_a_recording_becomes_a_transcript_that_is_heard_and_corrected(
    version: str, request: pytest.FixtureRequest, start_page: StartPage, chrome: Watched, talk: Path
) -> None:
    older = {} if version == "installed" else {"PYTHONPATH": str(request.getfixturevalue("old_gradio"))}
    with start_page(**older) as server, chrome.person() as page:
        page.goto(server.address)
        assert page.evaluate("window.gradio_config.version") == version or version == "installed"
        made = submit(page, talk, speakers=True)
        is_in(made, "running")
        expect(made.get_by_role("progressbar")).to_be_visible()
        made.get_by_role("link").click()
        is_in(page.locator(".ra-job"), "done")
        expect(page.locator(".ra-speaker")).to_have_count(2)

        # A line is heard by a click, and by Enter; it is marked while it is spoken.
        line = page.locator(".ra-line", has_text="originally from Chicago").first
        line.locator(".ra-said").click()
        start = page.evaluate("document.querySelector('audio').currentTime")
        assert start > 5
        plays_from(page, start)
        expect(page.locator('.ra-line[aria-current="true"]')).to_be_in_viewport()
        page.locator(".ra-at").first.press("Enter")
        page.wait_for_function("from => document.querySelector('audio').currentTime < from", arg=start)
        expect(page.locator(".ra-line").first).to_have_attribute("aria-current", "true")

        # A name and a word are changed where they stand, and are in what is downloaded.
        page.locator(".ra-speaker").first.click()
        page.keyboard.type("Diane Miller")
        page.keyboard.press("Enter")
        expect(page.locator(".ra-line .ra-name").first).to_have_text("Diane Miller")
        line.hover()
        line.locator(".ra-pen").click()
        page.keyboard.press("Control+a")
        page.keyboard.type("I come from Springfield.")
        page.keyboard.press("Enter")
        expect(page.locator(".ra-edited .ra-said")).to_have_text("I come from Springfield.")
        with page.expect_download() as download:
            page.get_by_role("link", name="as srt").click()
        assert download.value.suggested_filename == "two friends.srt"
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert "Diane Miller" in text
        assert "Springfield" in text.replace("\n", " ")
        with page.expect_download() as download:
            page.get_by_role("link", name="zip").click()
        assert download.value.suggested_filename == "two friends.zip"

        # What happened is there as well, and all of it after a refresh.
        page.get_by_role("tab", name="What happened").click()
        expect(page.locator(".ra-memory svg")).to_be_visible()
        expect(page.locator(".ra-memory tbody tr")).to_have_count(4)
        page.reload()
        expect(page.locator(".ra-line .ra-name").first).to_have_text("Diane Miller")
        expect(page.locator(".ra-edited .ra-said")).to_have_text("I come from Springfield.")


def test_a_refresh_in_the_middle_shows_the_same_job(start_page: StartPage, chrome: Watched, tmp_path: Path) -> None:
    with start_page() as server, chrome.person() as page:
        page.goto(server.address)
        made = submit(page, long_talk(tmp_path / "long.wav", 6))
        is_in(made, "running")
        made.get_by_role("link").click()
        page.wait_for_url("**/?job=*")
        page.reload()
        expect(page.get_by_role("heading", name="long.wav")).to_be_visible()
        is_in(page.locator(".ra-job"), "running")
        with page.context.expect_page() as other:  # a closed tab loses nothing either
            page.evaluate("open(location.href)")
        page.close()
        is_in(other.value.locator(".ra-job"), "done")
        expect(other.value.locator(".ra-line").first).to_be_visible()


def test_a_server_that_goes_and_comes_is_said_and_the_job_goes_on(
    start_page: StartPage, chrome: Watched, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    with chrome.person() as page:
        with start_page("--port", port) as server:
            page.goto(server.address)
            made = submit(page, long_talk(tmp_path / "long.wav", 6))
            is_in(made, "running")
            page.locator("#ra-prompt").evaluate("field => field.value = 'half a thought'")
        expect(page.get_by_text("The server does not answer.")).to_be_visible()
        with start_page("--port", port):
            expect(page.get_by_text("The server does not answer.")).to_be_hidden()
            is_in(row(page, "long.wav"), "done")
            assert page.locator("#ra-prompt").input_value() == "half a thought"  # it was not loaded anew


def test_a_job_is_cancelled_tried_again_and_deleted(start_page: StartPage, chrome: Watched, tmp_path: Path) -> None:
    with start_page() as server, chrome.person() as page:
        page.goto(server.address)
        made = submit(page, long_talk(tmp_path / "long.wav", 6))
        is_in(made, "running")
        made.get_by_role("button", name="Cancel long.wav").click()
        is_in(made, "cancelled")
        made.get_by_role("button", name="Try long.wav again").click()
        is_in(made, "done")
        made.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        made.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(made).to_have_count(0)
        expect(page.get_by_text("Nothing here yet.")).to_be_visible()
        assert [each for each in server.jobs.iterdir() if each.is_dir()] == []


def test_a_worker_that_dies_is_explained_and_the_server_lives(
    start_page: StartPage, chrome: Watched, tmp_path: Path
) -> None:
    with start_page() as server, chrome.person() as page:
        page.goto(server.address)
        made = submit(page, long_talk(tmp_path / "long.wav", 6))
        is_in(made, "running")
        made.get_by_role("link").click()
        page.locator(".ra-progress .ra-doing", has_text="Recognising").wait_for(timeout=WORK_MS)
        failed = page.locator('.ra-job .ra-badge[data-state="failed"]')
        while not failed.count():  # it is tried again, as long as that brings it further
            for each in workers(server):
                each.kill()
            page.wait_for_timeout(200)
        expect(page.locator(".ra-alert")).to_contain_text("SIGKILL")
        expect(page.locator(".ra-log")).to_contain_text("died of SIGKILL")
        page.get_by_role("link", name="All jobs").click()
        expect(row(page, "long.wav").locator(".ra-why")).to_contain_text("SIGKILL")
        assert server.alive()
        is_in(submit(page, Path(shutil.copy(sample(), tmp_path / "next.wav"))), "done")
        page.get_by_role("button", name="Free now").click()
        expect(page.get_by_text("No model loaded")).to_be_visible()
        assert workers(server) == []


def test_the_microphone_makes_a_recording(start_page: StartPage, chrome: Watched) -> None:
    with start_page() as server, chrome.person(permissions=["microphone"]) as page:
        page.goto(server.address)
        page.get_by_role("button", name="Record", exact=True).click()
        page.get_by_role("button", name="Stop").wait_for()
        page.wait_for_timeout(1500)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".ra-files .ra-name")).to_have_text(re.compile(r"Recording .*\.wav"))
        page.get_by_label("Model", exact=True).select_option("tiny.en")
        page.get_by_role("button", name="Transcribe").click()
        is_in(page.locator(".ra-jobs tbody tr"), "done")
        (recording,) = server.jobs.glob("*/000.wav")
        with wave.open(str(recording)) as file:
            assert file.getnchannels() == 1
            assert file.getnframes() > file.getframerate()


def test_many_recordings_are_one_job_with_a_list(start_page: StartPage, chrome: Watched, tmp_path: Path) -> None:
    files = [Path(shutil.copy(sample(), tmp_path / f"part {number}.wav")) for number in (1, 2)]
    (tmp_path / "notes.txt").write_text("no recording at all")
    with start_page() as server, chrome.person() as page:
        page.goto(server.address)
        page.set_input_files("#ra-files", [*files, tmp_path / "notes.txt"])
        page.get_by_label("Model", exact=True).select_option("tiny.en")
        page.get_by_role("button", name="Transcribe 3 recordings").click()
        made = row(page, "part 1.wav")
        is_in(made, "failed")
        made.get_by_role("link").click()
        expect(page.locator(".ra-list li")).to_have_count(3)
        expect(page.locator(".ra-line").first).to_be_visible()
        page.get_by_role("link", name="notes.txt failed").click()
        expect(page.locator(".ra-alert")).to_contain_text("notes.txt")
        expect(page.locator(".ra-line")).to_have_count(0)
        page.reload()
        expect(page.get_by_role("link", name="notes.txt failed")).to_have_attribute("aria-current", "true")


def test_verify_is_run_from_the_page_and_shows_no_secret(start_page: StartPage, chrome: Watched) -> None:
    secret = "hf_" + "k3y" * 10
    with start_page(HF_TOKEN=secret) as server, chrome.person() as page:
        page.goto(f"{server.address}/?view=machine")
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_text("Looking, for")).to_be_visible()
        expect(page.get_by_role("button", name="Verify")).to_be_disabled()
        page.locator(".ra-checks").first.wait_for(timeout=WORK_MS)
        expect(page.get_by_role("rowheader", name="RUN_APP_MODEL=base")).to_be_visible()
        assert secret not in page.content()
        page.reload()
        expect(page.locator(".ra-checks").first).to_be_visible()  # the last result is kept
