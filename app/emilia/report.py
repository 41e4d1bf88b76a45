"""The report: one HTML file, plots in it as SVG by matplotlib, which is imported here alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

from app.emilia import reasons

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } svg { max-width: 100%; height: auto }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } svg { background: #fff } }
"""


def report(stats: dict[str, Any], segments: Sequence[dict[str, Any]]) -> str:
    """The page. `stats` is the content of stats.json, `segments` the rows of segments.jsonl."""
    files, seconds = stats["files"], stats["seconds"]
    kept = [row for row in segments if row["dropped"] is None]
    share = f" ({seconds['kept'] / seconds['input']:.1%})" if seconds["input"] else ""
    lines = [
        f"{files['input']} recordings, {_hours(seconds['input'])}; kept {_hours(seconds['kept'])}{share} "
        f"in {len(kept)} segments of {files['with_segments']} recordings.",
        f"{files['failed']} recordings could not be processed; {files['without_segments']} have no segment.",
    ]
    accounts = [("kept", seconds["kept"]), *((reasons.WORDS[each], lost) for each, lost in seconds["dropped"].items())]
    rows = [(what, f"{value:,.1f}", _percent(value, seconds["input"])) for what, value in accounts]
    rows.append(("input", f"{seconds['input']:,.1f}", _percent(seconds["input"], seconds["input"])))
    parts = [
        "".join(f"<p>{escape(line)}</p>" for line in lines),
        "<h2>Where every second went</h2>",
        _table(("", "seconds", "share"), rows),
        "<h2>Languages</h2>",
        _table(
            ("language", "segments", "hours"),
            [(code, str(each["segments"]), _hours(each["seconds"])) for code, each in stats["languages"].items()],
        ),
        *(_figure(title, label, values, kept_too) for title, label, values, kept_too in _plots(segments, kept)),
    ]
    if stats["failed"]:
        failed = [(each["path"], each["step"], each["reason"]) for each in stats["failed"]]
        parts += ["<h2>Not processed</h2>", _table(("recording", "step", "reason"), failed, numbers=False)]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Dataset report</title><style>{_STYLE}</style>"
    return f"{head}<h1>Dataset report</h1>{''.join(parts)}</html>\n"


def _plots(
    segments: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]
) -> list[tuple[str, str, list[float], list[float]]]:
    def rate(row: dict[str, Any]) -> float:
        return len(row["text"].strip()) / float(row["duration"])

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


def _figure(title: str, label: str, every: list[float], kept: list[float]) -> str:
    """A histogram of all segments that were judged, with those kept in front."""
    if not every:
        return f"<h2>{escape(title)}</h2><p>No segment was judged.</p>"
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "run-app"  # the same data, the same bytes
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.hist(every, bins=40, range=(min(every), max(every)), color="#cccccc", label="judged")
    axes.hist(kept, bins=40, range=(min(every), max(every)), color="#3366aa", label="kept")
    axes.set_xlabel(label)
    axes.set_ylabel("segments")
    axes.legend()
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return f"<h2>{escape(title)}</h2>{svg.getvalue()[svg.getvalue().index('<svg') :]}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [""] + [" class=n" if numbers else ""] * (len(cells) - 1)
        return "".join(f"<{tag}{kind}>{escape(cell)}" for kind, cell in zip(kinds, cells, strict=True))

    return f"<table><tr>{line(head, 'th')}{''.join('<tr>' + line(row, 'td') for row in rows)}</table>"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else ""
