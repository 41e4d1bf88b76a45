"""A finished job in the browser: heard, followed, corrected by one or by two, and never read as HTML."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.inputs import sample
from app.transcript import Segment, Transcript
from tests.app.web.browser import Watched, row
from tests.app.web.conftest import PageServer, StartPage, transcribed, write_accounts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TEXTS = ("Good morning.", "Who is there?", "It is me.", "Come in.")


def talk(*texts: str, each_s: float = 5.0) -> Transcript:
    """Two people by turns."""
    segments = [
        Segment(at * each_s, at * each_s + each_s - 0.2, text, speaker=f"SPEAKER_{at % 2:02}")
        for at, text in enumerate(texts)
    ]
    return Transcript("en", 1.0, each_s * len(texts), tuple(segments))


def line(page: Page, at: int) -> Locator:
    return page.locator(".ra-line").nth(at)


def correct(page: Page, at: int, text: str) -> None:
    """Write it into the line; Enter is still to come."""
    line(page, at).hover()
    line(page, at).locator(".ra-pen").click()
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def srt(server: PageServer, id: str) -> str:
    return server.client().get(f"jobs/{id}/0/transcript.srt").text


def test_names_and_texts_are_never_read_as_html(
    start_page: StartPage, chrome: Watched, state: Path, tmp_path: Path
) -> None:
    name = '<img src=x onerror="window.ran=1">.wav'
    texts = ("<script>window.ran=2</script>", "${window.ran=3}", "{{constructor}} `${1+1}`", "</span><b>bold</b>")
    id = transcribed(state, name, talk(*texts), sample())
    unreadable = tmp_path / "<svg onload=window.ran=4>.wav"
    unreadable.write_text("no recording")
    with start_page() as server, chrome.person() as page:
        page.goto(server.address)
        page.set_input_files("#ra-files", unreadable)
        expect(page.locator(".ra-files .ra-name")).to_have_text(unreadable.name)
        page.get_by_role("button", name="Transcribe").click()
        expect(row(page, unreadable.name).locator(".ra-why")).to_contain_text(unreadable.name, timeout=120_000)
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.locator(".ra-said")).to_have_text(texts)
        page.locator(".ra-speaker").first.click()
        page.keyboard.type("<i onclick=1>Ann</i>")
        page.keyboard.press("Enter")
        expect(page.locator(".ra-line .ra-name").first).to_have_text("<i onclick=1>Ann</i>")
        correct(page, 0, "<img src=y onerror=window.ran=5>")
        page.keyboard.press("Enter")
        expect(page.locator(".ra-edited")).to_have_count(1)
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("dialog")).to_contain_text(name)
        assert page.evaluate("window.ran") is None
        assert page.locator(".ra-part :is(img, script, b, i, iframe)").count() == 0
        assert "&lt;img src=y" in server.client().get(f"jobs/{id}/0/transcript.vtt").text


def test_two_tabs_lose_nothing_of_each_other(start_page: StartPage, chrome: Watched, state: Path) -> None:
    id = transcribed(state, "talk.wav", talk(*TEXTS), sample())
    with start_page() as server, chrome.person() as one, chrome.person() as two:
        for page in (one, two):
            page.goto(f"{server.address}/?job={id}")
            line(page, 3).wait_for()
        correct(one, 0, "Good evening.")
        one.keyboard.press("Enter")
        correct(two, 1, "Who goes there?")
        two.keyboard.press("Enter")
        for page in (one, two):  # each sees the other's, without being loaded anew
            expect(line(page, 0).locator(".ra-said")).to_have_text("Good evening.")
            expect(line(page, 1).locator(".ra-said")).to_have_text("Who goes there?")
        one.locator(".ra-speaker").first.click()
        one.keyboard.type("Ann")
        one.keyboard.press("Enter")
        expect(two.locator(".ra-speaker").first).to_have_text("Ann")

        # Both at the same line: whoever is second is shown what would be lost, and decides.
        correct(one, 2, "It is Bob.")
        correct(two, 2, "It is Carl.")
        one.keyboard.press("Enter")
        expect(line(one, 2).locator(".ra-said")).to_have_text("It is Bob.")
        two.keyboard.press("Enter")
        expect(two.get_by_role("alert").filter(has_text="It is Bob.")).to_be_visible()
        assert "It is Bob." in srt(server, id)
        two.keyboard.press("Enter")
        expect(line(one, 2).locator(".ra-said")).to_have_text("It is Carl.")
        text = srt(server, id)
        assert all(said in text for said in ("Good evening.", "Who goes there?", "It is Carl.", "Ann"))


def test_the_keyboard_is_enough(start_page: StartPage, chrome: Watched, state: Path) -> None:
    id = transcribed(state, "talk.wav", talk(*TEXTS), sample())
    with start_page() as server, chrome.person() as page:
        page.goto(f"{server.address}/?job={id}")
        line(page, 3).wait_for()
        reach = "[...document.querySelectorAll('.ra-lines button')].filter(each => each.tabIndex === 0).length"
        assert page.evaluate(reach) == 2  # the first line's two: not thousands of stops on the way to what follows
        line(page, 0).locator(".ra-at").focus()
        for _ in range(2):
            page.keyboard.press("ArrowDown")
        expect(line(page, 2).locator(".ra-at")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('audio').currentTime > 10.1")
        page.keyboard.press("e")
        page.keyboard.type(" not this")
        page.keyboard.press("Escape")
        expect(line(page, 2).locator(".ra-said")).to_have_text(TEXTS[2])
        expect(line(page, 2).locator(".ra-at")).to_be_focused()
        page.keyboard.press("F2")
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.press("Enter")
        expect(line(page, 2)).to_contain_text("left out")
        assert TEXTS[2] not in srt(server, id)
        page.keyboard.press("End")
        page.keyboard.press("e")
        page.keyboard.type("!")
        page.locator("#ra-tab-work").focus()  # leaving it saves
        expect(line(page, 3).locator(".ra-said")).to_have_text(f"{TEXTS[3]}!")
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("tab", name="Transcript")).to_be_focused()


def test_four_hours_stay_usable(start_page: StartPage, chrome: Watched, state: Path, tmp_path: Path) -> None:
    recording = tmp_path / "silence.wav"
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes([128]) * 8000 * 14400)
    texts = [f"Sentence number {at} of many, which says nothing." for at in range(5000)]
    id = transcribed(state, "long.wav", talk(*texts, each_s=2.88), recording)
    with start_page() as server, chrome.person() as page:
        page.goto(f"{server.address}/?job={id}")
        line(page, 4999).wait_for(state="attached")
        line(page, 0).locator(".ra-at").focus()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('audio').currentTime > 4999 * 2.88")
        expect(line(page, 4999)).to_be_in_viewport()
        line(page, 2500).locator(".ra-said").click()
        expect(line(page, 2500)).to_have_attribute("aria-current", "true")

        # It is kept in view, unless the person looks elsewhere.
        expect(line(page, 2500)).to_be_in_viewport()
        page.mouse.wheel(0, 5000)
        page.get_by_role("button", name="Follow the sound").wait_for()
        here = page.evaluate("scrollY")
        page.wait_for_function("document.querySelector('audio').currentTime > 2502 * 2.88")
        assert page.evaluate("scrollY") == here
        page.get_by_role("button", name="Follow the sound").click()
        expect(page.locator('.ra-line[aria-current="true"]')).to_be_in_viewport()
        correct(page, 2600, "A sentence of my own.")
        page.keyboard.press("Enter")
        expect(line(page, 2600)).to_contain_text("of my own")


def test_people_who_log_in_see_their_own_jobs(start_page: StartPage, chrome: Watched, tmp_path: Path) -> None:
    accounts = write_accounts(tmp_path / "accounts")
    with start_page("--auth-file", accounts) as server, chrome.person() as ann, chrome.person() as bob:
        for page, name in ((ann, "ann"), (bob, "bob")):
            page.goto(server.address)
            page.get_by_label("username").fill(name)
            page.get_by_label("password").fill(f"{name}'s")
            page.get_by_role("button", name="Login").click()
            expect(page.locator(".ra-person")).to_contain_text(name)
        ann.set_input_files("#ra-files", Path(shutil.copy(sample(), tmp_path / "secret.wav")))
        ann.get_by_role("button", name="Transcribe").click()
        row(ann, "secret.wav").get_by_role("link").click()
        expect(ann.get_by_role("heading", name="secret.wav")).to_be_visible()
        expect(bob.get_by_text("Nothing here yet.")).to_be_visible()
        bob.goto(ann.url)
        expect(bob.get_by_text("This job is not here any more.")).to_be_visible()
        assert "secret.wav" not in bob.content()
        ann.get_by_role("link", name="Log out").click()
        expect(ann.get_by_label("password")).to_be_visible()
