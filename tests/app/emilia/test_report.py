"""The report in a browser, as a person opens it: from the disk, at night, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.emilia import reasons
from app.emilia.report import report
from app.emilia.settings import SAMPLE_RATE

pytest.importorskip("matplotlib")
pytest.importorskip("playwright")

from playwright.sync_api import Page

from tests.app.web.browser import Watched, watched

HOUR = 3600 * SAMPLE_RATE
DROPPED = {reason: HOUR // (number + 1) + number for number, reason in enumerate(reasons.WORDS)}
KEPT = 5 * HOUR + 1
TOTAL = KEPT + sum(DROPPED.values())
STATS: dict[str, Any] = {
    "files": {"input": 9, "with_segments": 6, "without_segments": 2, "failed": 1},
    "sample_rate": SAMPLE_RATE,
    "samples": {"input": TOTAL, "kept": KEPT, "dropped": DROPPED},
    "languages": {
        "de": {"segments": 900, "seconds": 1.5 * 3600},
        "en": {"segments": 2100, "seconds": 3.5 * 3600},
    },
    "failed": [{"path": f"<script>alert(1)</script>{'x' * 90}.mp3", "step": "standardise", "reason": "no & sound"}],
}
ROWS: list[dict[str, Any]] = [
    {"duration": 3 + n % 20, "dnsmos": 2.5 + n % 10 / 8, "text": "So wird es gesagt.", "dropped": dropped}
    for n, dropped in enumerate([None, None, "dnsmos"] * 20)
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Watched]:
    with watched() as browser:
        yield browser


@pytest.fixture
def opened(browser: Watched, tmp_path: Path) -> Iterator[Page]:
    """The page; at the end, nothing but itself was asked for, and nothing was said on the console."""
    file = tmp_path / "report.html"
    file.write_text(report(STATS, ROWS), "utf-8")
    browser.requests.clear()
    said: list[str] = []
    with browser.person(viewport={"width": 400, "height": 800}, color_scheme="dark") as page:
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        yield page
    assert {url for url in browser.requests if not url.startswith("data:")} == {file.as_uri()}
    assert (said, browser.faults) == ([], [])


def _numbers(page: Page, column: int) -> list[int]:
    cells = page.locator(f"table.sums tr:not(.sum) td:nth-child({column})").all_text_contents()
    return [int(cell.replace(",", "").replace(".", "")) for cell in cells]


def test_the_samples_that_it_shows_sum_exactly_to_what_came_in(opened: Page) -> None:
    every = _numbers(opened, 4)

    assert every == [KEPT, *DROPPED.values()]
    assert opened.locator("table.sums tr.sum td").nth(3).text_content() == f"{TOTAL:,}"
    words = opened.locator("table.sums tr:not(.sum) td:first-child").all_text_contents()
    assert words == ["kept", *reasons.WORDS.values()]
    milliseconds = [round(samples * 1000 / SAMPLE_RATE) for samples in every]
    assert _numbers(opened, 3) == pytest.approx(milliseconds, abs=1)


def test_the_bar_shows_the_same_shares_in_the_colours_of_the_table(opened: Page) -> None:
    widths = opened.locator(".bar i").evaluate_all("parts => parts.map(part => part.getBoundingClientRect().width)")
    parts, keys = (
        opened.locator(of).evaluate_all("parts => parts.map(part => getComputedStyle(part).backgroundColor)")
        for of in (".bar i", "table.sums .key")
    )

    shares = [samples / TOTAL for samples in (KEPT, *DROPPED.values())]
    assert [width / sum(widths) for width in widths] == pytest.approx(shares, abs=0.01)
    assert parts == keys
    assert len(set(parts)) == len(shares)


def test_languages_are_a_table_and_a_plot_of_the_hours_kept(opened: Page) -> None:
    rows = opened.locator("table.numbers tr").all_inner_texts()
    plot = opened.get_by_role("img", name="hours kept by language")

    assert [row.split() for row in rows[1:]] == [
        ["en", "2,100", "3.50", "h", "70.00%"],
        ["de", "900", "1.50", "h", "30.00%"],
    ]
    assert [text for text in plot.locator("text").all_text_contents() if text in ("de", "en")] == ["en", "de"]
    # Bars are paths: those of the colour that means kept, by their widths.
    widths = plot.locator("path[style*='--kept']").evaluate_all("bars => bars.map(bar => bar.getBBox().width)")
    assert widths[0] / widths[1] == pytest.approx(3.5 / 1.5, rel=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_it_fits_any_screen_by_day_and_night(opened: Page, width: int, scheme: Any) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.emulate_media(color_scheme=scheme)

    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing is cut off inside either, and no number runs into the next.
    assert opened.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
    assert opened.evaluate("[...document.querySelectorAll('td')].every(e => e.scrollWidth <= e.clientWidth + 1)")
    ink, ground, axis = opened.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('svg text')).fill]"
    )
    light = [sum(map(int, colour[4:-1].split(","))) for colour in (ink, ground, axis)]
    assert (light[0] < 150 < 600 < light[1]) if scheme == "light" else (light[1] < 150 < 600 < light[0])
    assert abs(light[2] - light[0]) < 30


def test_what_it_names_is_no_html(opened: Page) -> None:
    assert opened.locator("script").count() == 0
    assert "<script>alert(1)</script>" in (opened.locator("table.paths").text_content() or "")


def test_without_a_segment_it_says_so() -> None:
    empty = {"input": 0, "kept": 0, "dropped": {}}

    page = report({**STATS, "samples": empty, "languages": {}, "failed": []}, [])

    assert page.count("No segment was judged.") == 3
    assert "Nothing is kept." in page
