"""How the page looks and reads, in every view, width, scheme and language: to eyes, the keyboard, a screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.inputs import sample
from app.transcript import Segment, Transcript
from app.web.jobs import JobStore
from app.web.options import Options
from app.web.words import EN, ES
from tests.app.web.browser import Watched
from tests.app.web.conftest import PageServer, finished_job, serving, transcribed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8").partition("\n")[2].rstrip().rstrip(";")
LONG = "a lecture on the very long names that people give to their recordings, part two of three (final) (2).m4a"
VIEWS = ("home", "form", "done", "work", "failed", "many", "machine")


@pytest.fixture(scope="module")
def showcase(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageServer, dict[str, str]]]:
    """A server with jobs in all states that last, and the queries of its views."""
    state = tmp_path_factory.mktemp("showcase")
    text = "A sentence, and no short one, that somebody says."
    said = tuple(Segment(float(at), at + 0.9, text, speaker=f"SPEAKER_{at:02}") for at in range(9))
    done = transcribed(state, "interview.mp3", Transcript("en", 1.0, 30.0, said), sample())
    many = finished_job(state, *(f"session {number}.wav" for number in range(12)))
    store = JobStore(state / "run-app" / "page")
    seconds = [at / 2 for at in range(100)]
    curve = {"seconds": seconds, "rss": [400.0] * 100, "vram": [2000.0] * 100, "stages": [[1, "decode"], [9, "asr"]]}
    store.save_memory(store.find(done), curve)
    recording = store.folder / "recording.wav"
    recording.write_bytes(sample().read_bytes())
    failed = store.add("", [(LONG, recording)], Options())
    job = store.find(failed)
    job.state, job.error = "failed", "asr: the worker died of SIGKILL at 204 MiB; remedy: take a smaller --batch-size"
    job.lines = ["model base (embedded), vad silero, 1 file", job.error]
    job.files[0].state, job.files[0].error, job.files[0].notes = "failed", job.error, ["the end is damaged"]
    store.save(job)
    recording.write_bytes(sample().read_bytes())
    cancelled = store.find(store.add("", [("stopped.wav", recording)], Options()))
    cancelled.state = "cancelled"
    store.save(cancelled)
    queries = {"home": "", "form": "", "machine": "view=machine", "done": f"job={done}", "work": f"job={done}",
               "failed": f"job={failed}", "many": f"job={many}"}  # fmt: skip
    with serving(home, state) as server:
        yield server, queries


def show(page: Page, showcase: tuple[PageServer, dict[str, str]], view: str) -> None:
    """Go there, and open all that is folded."""
    server, queries = showcase
    page.goto(f"{server.address}/?{queries[view]}")
    expect(page.locator(".ra-head")).to_be_visible()
    if view in ("home", "form"):
        expect(page.locator(".ra-jobs tbody tr")).to_have_count(4)
    if view == "form":
        page.set_input_files("#ra-files", sample())
        page.locator("#ra-who-apart").check()
        page.locator("#ra-speakers_count").select_option("between")
        page.locator(".ra-rest summary").click()
        page.locator(".ra-record").hover()
    elif view in ("done", "many"):
        expect(page.locator(".ra-line").first).to_be_visible()
    elif view == "work":
        page.locator("#ra-tab-work").click()
        expect(page.locator(".ra-memory svg")).to_be_visible()
    elif view == "failed":
        expect(page.locator(".ra-log")).to_be_visible()
    elif view == "machine":
        page.locator("#ra-machine summary").click()
    page.wait_for_timeout(400)  # for what moves


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_every_view_is_readable_named_and_as_wide_as_the_window(
    showcase: tuple[PageServer, dict[str, str]], chrome: Watched, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 850 if width == 400 else 1000}
    faults = {}
    with chrome.person(viewport=size, color_scheme=scheme, locale="es-MX", reduced_motion="reduce") as page:
        for view in VIEWS:
            show(page, showcase, view)
            faults[view] = page.evaluate(LOOK)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert faults == {view: [] for view in VIEWS}
    assert (sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")) < 150) == (
        scheme == "dark"
    )


def test_spanish_has_no_english_left(showcase: tuple[PageServer, dict[str, str]], chrome: Watched) -> None:
    english = {text for key, text in EN.items() if text not in ES.values() and ES[key] != text}
    spoken = """() => {
      const found = [];
      for (const element of document.querySelectorAll(".ra-part, .ra-part *")) {
        for (const node of element.childNodes) if (node.nodeType === 3) found.push(node.textContent.trim());
        for (const name of ["aria-label", "placeholder", "title"]) found.push(element.getAttribute(name) || "");
      }
      return [document.documentElement.lang, found.filter(Boolean)];
    }"""
    with chrome.person(locale="es-ES") as page:
        for view in VIEWS:
            show(page, showcase, view)
            lang, texts = page.evaluate(spoken)
            assert lang.startswith("es")
            assert english & set(texts) == set()
        expect(page.get_by_role("heading", name="Este equipo")).to_be_visible()
    with chrome.person(locale="de-DE") as page:  # neither: English, and said to be so
        show(page, showcase, "home")
        expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
        assert page.locator('.ra-part[lang="en"]').count() == 5


def test_tab_goes_through_everything_in_the_order_it_stands(
    showcase: tuple[PageServer, dict[str, str]], chrome: Watched
) -> None:
    at_focus = """() => {
      const element = document.activeElement;
      if (!element.closest(".ra-part")) return null;
      const shown = element.type === "file" ? element.closest(".ra-drop") : element;
      const { top, height } = shown.getBoundingClientRect();
      const style = getComputedStyle(shown);
      const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      const order = [...document.querySelectorAll(".ra-part *")].indexOf(element);
      const visible = height > 0 && top + height > 0 && top < innerHeight;
      return { order, ring, visible, what: element.outerHTML.slice(0, 90) };
    }"""
    stops = "a[href], button, input, select, textarea, summary, audio, pre"
    every = """stops => [...document.querySelectorAll(`.ra-part :is(${stops})`)].filter(each =>
      (each.type === "file" ? each.parentElement : each).checkVisibility({ visibilityProperty: true }) && !each.disabled
      && each.tabIndex >= 0 && !(each.type === "radio" && !each.checked)).map(each => each.outerHTML.slice(0, 90))"""
    with chrome.person(viewport={"width": 1600, "height": 1000}) as page:
        for view in ("home", "form", "done", "failed", "machine"):
            show(page, showcase, view)
            page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
            page.mouse.click(2, 2)
            seen: list[dict[str, object]] = []
            for _ in range(80):
                page.keyboard.press("Tab")
                now = page.evaluate(at_focus)
                if now is None:
                    break
                if not seen or now["order"] != seen[-1]["order"]:  # the player has stops of its own
                    seen.append(now)
            assert [stop["what"] for stop in seen if not stop["ring"] or not stop["visible"]] == []
            orders = [stop["order"] for stop in seen]
            assert orders == sorted(orders, key=lambda order: int(str(order)))
            assert [stop["what"] for stop in seen] == page.evaluate(every, stops)


def test_skip_and_back_and_the_title(showcase: tuple[PageServer, dict[str, str]], chrome: Watched) -> None:
    with chrome.person() as page:
        show(page, showcase, "home")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#ra-files")).to_be_focused()
        page.get_by_role("link", name="interview.mp3").click()
        expect(page).to_have_title("interview.mp3 · run-app")
        page.get_by_role("link", name="This machine").click()
        expect(page.get_by_role("heading", name="This machine")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="interview.mp3")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
