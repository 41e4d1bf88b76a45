"""The report: one HTML file without scripts, plots in it as SVG by matplotlib, which is imported here alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from app.emilia import reasons
from app.emilia.filters import characters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --kept: #2f6fb5; --back: #fff; --ink: #1c1f24; --quiet: #68707c; --line: #d8dce2;
  --judged: #cbd1d9 }
@media (prefers-color-scheme: dark) {
  :root { --kept: #6aa8ee; --back: #15171a; --ink: #e6e8eb; --quiet: #9aa3af; --line: #343941;
    --judged: #4b525d } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 0 auto; padding: 1rem 1rem 3rem;
  background: var(--back); color: var(--ink) }
h1 { font-size: 1.5rem; margin: .5rem 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { margin: .3rem 0 }
.q { color: var(--quiet) }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0 }
dt { color: var(--quiet); font-size: .85rem } dd { margin: 0; font-size: 1.7rem; line-height: 1.2 }
.bar { display: flex; height: 2.2rem; border-radius: .3rem; overflow: hidden; margin: .8rem 0; background: var(--line) }
.bar i { min-width: 1px } .bar i + i { box-shadow: inset 1px 0 var(--back) }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em; margin: 0 .5em 0 -1.3em }
.sums td:first-child { padding-left: 1.3em }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; max-width: 46rem }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
th { color: var(--quiet); font-weight: normal; font-size: .85rem } td:last-child, th:last-child { padding-right: 0 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.sum td { font-weight: 600; border-bottom: 0 } .paths td:first-child { overflow-wrap: anywhere }
@media (max-width: 40rem) {
  .sums tr { display: grid; grid-template-columns: 5.5rem 1fr 1.2fr; border-bottom: 1px solid var(--line) }
  .sums :is(td, th) { border: 0 } .sums td:first-child { grid-column: 1 / -1; padding-bottom: 0 }
  .sums th:first-child { display: none } }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .6rem 2.5rem;
  align-items: start }
svg { display: block; width: 100%; max-width: 31rem; height: auto }
"""
_COLOURS = (
    "#8a919c #b7791f #d9b44a #7a5ea8 #2f8f83 #57b8a6 #a3567f #b0563b #d65a4a #e08a6d #8d6a50 #9b2c3f".split()
)  # one for each reason, in the reasons' order
_INK, _KEPT, _JUDGED = "#010203", "#010204", "#010205"
"""What matplotlib is told for colours that depend on the reader's light or dark, and what the page says instead."""
_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
_BY_THEME = {_INK: "currentColor", _KEPT: "var(--kept)", _JUDGED: "var(--judged)"}


def report(stats: dict[str, Any], segments: Sequence[dict[str, Any]]) -> str:
    """The page. `stats` is the content of stats.json, `segments` the rows of segments.jsonl."""
    kept = [row for row in segments if row["dropped"] is None]
    parts = [*_account(stats, len(kept)), *_languages(stats["languages"])]
    plots = "".join(f"<div>{_histogram(*each)}</div>" for each in _judged(segments, kept))
    parts.append(f"<div class=two>{plots}</div>")
    if stats["failed"]:
        failed = [(each["path"], each["step"], each["reason"]) for each in stats["failed"]]
        parts += ["<h2>Not processed</h2>", _table(("recording", "step", "reason"), failed, "paths")]
    head = (
        '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f'<link rel=icon href="data:,"><title>Dataset report</title><style>{_STYLE}</style>'
    )
    return f"{head}<h1>Dataset report</h1>{''.join(parts)}</html>\n"


def _account(stats: dict[str, Any], number: int) -> list[str]:
    """What came in, what is kept, and where the rest went: counted in samples, so that it sums."""
    files, samples, rate = stats["files"], stats["samples"], stats["sample_rate"]
    total = samples["input"]
    accounts = [("kept", samples["kept"], "var(--kept)")] if samples["kept"] else []
    for reason, colour in zip(reasons.WORDS, _COLOURS, strict=True):
        if lost := samples["dropped"].get(reason):
            accounts.append((reasons.WORDS[reason], lost, colour))
    dropped = sum(samples["dropped"].values())
    numbers = (
        ("came in", _time(total / rate)),
        ("kept", _time(samples["kept"] / rate) + (f" ({samples['kept'] / total:.1%})" if total else "")),
        ("dropped", _time(dropped / rate) + (f" ({dropped / total:.1%})" if total else "")),
        ("segments", f"{number:,}"),
    )
    bar = "".join(
        f'<i style="flex:{value} 0 0;background:{colour}" title="{escape(f"{what}: {_time(value / rate)}")}"></i>'
        for what, value, colour in accounts
    )
    rows = [
        (f'<span class=key style="background:{colour}"></span>{escape(what)}', *_numbers(value, total, rate))
        for what, value, colour in accounts
    ]
    rows.append(("together, as came in", *_numbers(sum(value for _, value, _ in accounts), total, rate)))
    of_files = (
        f"{files['input']:,} recordings: {files['with_segments']:,} with segments, {files['without_segments']:,} "
        f"without, {files['failed']:,} could not be processed."
    )
    return [
        f"<dl>{''.join(f'<div><dt>{what}</dt><dd>{value}</dd></div>' for what, value in numbers)}</dl>",
        f"<p class=q>{of_files}</p>",
        "<h2>Where every second went</h2>",
        f"<div class=bar role=img aria-label='shares of the time, as in the table below'>{bar}</div>" if bar else "",
        _table(("", "share", "seconds", "samples"), rows, "sums"),
        f"<p class=q>{rate:,} samples are a second. Each stretch has the first reason that holds.</p>",
    ]


def _numbers(samples: int, total: int, rate: int) -> tuple[str, str, str]:
    return escape(_share(samples, total)), f"{samples / rate:,.3f}", f"{samples:,}"


def _languages(languages: dict[str, dict[str, Any]]) -> list[str]:
    if not languages:
        return ["<h2>Languages</h2><p>Nothing is kept.</p>"]
    ordered = sorted(languages.items(), key=lambda item: -item[1]["seconds"])
    total = sum(each["seconds"] for _, each in ordered)
    rows = [
        (code, f"{each['segments']:,}", _time(each["seconds"]), _share(each["seconds"], total))
        for code, each in ordered
    ]
    figure, axes = _plot(0.7 + 0.28 * len(ordered))
    unit, name = next((unit, name) for unit, name in _UNITS if ordered[0][1]["seconds"] >= unit or unit == 1)
    axes.barh(range(len(ordered)), [each["seconds"] / unit for _, each in ordered], color=_KEPT, height=0.7)
    axes.set_yticks(range(len(ordered)), [code for code, _ in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlabel(f"{name} kept")
    axes.locator_params(axis="x", nbins=6)
    table = _table(("language", "segments", "kept", "share"), rows, "numbers")
    return [
        "<h2>Languages</h2>",
        f"<div class=two><div>{table}</div><div>{_svg(figure, f'{name} kept by language')}</div></div>",
    ]


def _judged(
    segments: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]
) -> list[tuple[str, str, list[float], list[float]]]:
    def rate(row: dict[str, Any]) -> float:
        return characters(row["text"]) / float(row["duration"])

    return [
        (
            "Duration",
            "seconds a segment",
            [row["duration"] for row in segments],
            [row["duration"] for row in kept],
        ),
        ("DNSMOS", "OVRL", [row["dnsmos"] for row in segments], [row["dnsmos"] for row in kept]),
        ("Speaking rate", "characters a second", [rate(row) for row in segments], [rate(row) for row in kept]),
    ]


def _histogram(title: str, label: str, every: list[float], kept: list[float]) -> str:
    """All segments that were judged, with those kept in front."""
    if not every:
        return f"<h2>{escape(title)}</h2><p>No segment was judged.</p>"
    figure, axes = _plot(2.3)
    from matplotlib.ticker import MaxNLocator

    axes.hist(every, bins=40, range=(min(every), max(every)), color=_JUDGED, label="judged")
    axes.hist(kept, bins=40, range=(min(every), max(every)), color=_KEPT, label="kept")
    axes.set_xlabel(label)
    axes.set_ylabel("segments")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.legend(frameon=False, labelcolor=_INK, loc="upper right", ncols=2, bbox_to_anchor=(1, 1.18), borderpad=0)
    return f"<h2>{escape(title)}</h2>{_svg(figure, title)}"


def _plot(height_in: float) -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "run-app"  # the same data, the same bytes
    matplotlib.rcParams["svg.fonttype"] = "none"  # text, that can be searched and read out
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, height_in), layout="constrained")  # at 96 pixels an inch as wide as a phone
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    for name, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    for colour, instead in _BY_THEME.items():
        svg = svg.replace(colour, instead)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: Literal["sums", "numbers", "paths"]) -> str:
    """`sums`: the first cells are HTML, the last row is the sum of those above."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["", *(["" if kind == "paths" else " class=n"] * (len(cells) - 1))]
        texts = cells if kind == "sums" else [escape(cell) for cell in cells]
        return "".join(f"<{tag}{each}>{text}" for each, text in zip(kinds, texts, strict=True))

    last = len(rows) - 1
    body = [f"<tr{' class=sum' if (kind, n) == ('sums', last) else ''}>{line(row, 'td')}" for n, row in enumerate(rows)]
    return f"<div class=scroll><table class={kind}><tr>{line(head, 'th')}{''.join(body)}</table></div>"


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:,.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _share(part: float, whole: float) -> str:
    if not whole:
        return ""
    return "< 0.01%" if 0 < part / whole < 0.0001 else f"{part / whole:.2%}"
