"""Draws the memory curve of `verify --startup`: `-m app.verify.probes.plot DATA.json FILE.png`.

In a process of its own, as everything whose import may abort.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

MIB = 2**20


def draw(curve: list[tuple[float, int, int]], marks: list[tuple[float, str]], title: str) -> bytes:
    """The picture as PNG. `curve` and `marks` as in app.verify.startup.StartUp."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    seconds = [at for at, _, _ in curve]
    axes.plot(seconds, [rss / MIB for _, rss, _ in curve], label="RSS", color="tab:blue")
    if any(vram for _, _, vram in curve):
        axes.plot(seconds, [vram / MIB for _, _, vram in curve], label="VRAM", color="tab:green")
    ends = [at for at, _ in marks[1:]] + seconds[-1:]
    for number, ((begin, stage), end) in enumerate(zip(marks, ends, strict=False)):
        if not stage:
            continue
        axes.axvspan(begin, end, color="tab:orange", alpha=0.08 + 0.08 * (number % 2), linewidth=0)
        axes.axvline(begin, color="grey", linewidth=0.8, linestyle=":")
        # At the top, within the axes, whatever their scale.
        place: Any = axes.get_xaxis_transform()
        axes.text(begin, 0.98, f" {stage}", transform=place, va="top", rotation=90, fontsize=9)
    axes.set(title=title, xlabel="seconds since the start of the worker", ylabel="MiB", ylim=(0, None))
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def main() -> int:
    data, file = map(Path, sys.argv[1:])
    told = json.loads(data.read_text())
    picture = draw(told["curve"], told["marks"], told["title"])
    try:
        file.write_bytes(picture)
    except OSError as error:
        print(f"{file}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
