"""The whole dataset as others take it: WebDataset tars, Parquet, and a report to look at."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.emilia.ledger import FOLDER
from app.emilia.release import FIELDS
from app.emilia.settings import SAMPLE_RATE
from app.emilia.steps import Item, Light, Share
from app.store import write_atomically

VERSION = 2
MARK = "tables"
"""In the ledger's folder: the key of the tables that are in place."""
PART_BYTES = 10**9
"""Of sound in one tar or one Parquet file: what a download resumes well, and a loader shuffles."""
ROWS_AT_ONCE = 100
"""Rows of a Parquet row group: with their sound some 10 MB, what a reader holds at once."""


class Tables(Light):
    """Makes OUT/tars, OUT/parquet and OUT/report.html of OUT/segments.jsonl and OUT/stats.json: each whole."""

    name = "tables"

    def __init__(self, out: Path) -> None:
        self._out = out

    def shape(self) -> Mapping[str, object]:
        return {"version": VERSION, "libraries": [version(name) for name in ("pyarrow", "matplotlib")]}

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        from app.emilia.report import report

        every = [json.loads(line) for line in (self._out / "segments.jsonl").read_text("utf-8").splitlines()]
        kept = [row for row in every if row["dropped"] is None]
        parts = _parts(kept, self._out)
        mark = self._out / FOLDER / MARK
        mark.unlink(missing_ok=True)
        folder = part.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            for name, write in (("tars", self._tar), ("parquet", self._parquet)):
                (folder / name).mkdir()
                for number, rows in enumerate(parts):
                    write(folder / name, number, len(parts), rows)
                    share((number + 1) / len(parts) / 2 + (name == "parquet") / 2)
                shutil.rmtree(self._out / name, ignore_errors=True)
                (folder / name).rename(self._out / name)
            stats = json.loads((self._out / "stats.json").read_text("utf-8"))
            (folder / "report.html").write_text(report(stats, every), "utf-8")
            (folder / "report.html").replace(self._out / "report.html")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        write_atomically(mark, item.key)
        return {"rows": len(kept), "parts": len(parts)}

    @staticmethod
    def are_in_place(key: str, out: Path) -> bool:
        """Whether OUT has what was made under this key, nothing of it removed since."""
        try:
            made = (out / FOLDER / MARK).read_text() == key
        except OSError:
            return False
        alone = ("stats.json", "segments.jsonl", "report.html")
        many = ("tars/*.tar", "parquet/*.parquet")
        return made and all((out / name).exists() for name in alone) and all(any(out.glob(each)) for each in many)

    def _tar(self, folder: Path, number: int, of: int, rows: list[dict[str, Any]]) -> None:
        """For each row ID.mp3 and ID.json, side by side, as WebDataset wants them."""
        with tarfile.open(folder / f"{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for row in rows:
                path = self._out / row["wav"]
                text = json.dumps({name: row[name] for name in FIELDS}, ensure_ascii=False).encode()
                for suffix, content in ((path.suffix, path.read_bytes()), (".json", text)):
                    entry = tarfile.TarInfo(row["id"] + suffix)  # no time, no owner: the same rows, the same bytes
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))

    def _parquet(self, folder: Path, number: int, of: int, rows: list[dict[str, Any]]) -> None:
        """With the sound in it, in the columns that datasets.load_dataset turns into Audio."""
        import pyarrow as pa
        from pyarrow import parquet

        kinds = {"duration": "float64", "dnsmos": "float64"}
        plain = [name for name in FIELDS if name != "wav"]
        features: dict[str, Any] = {"audio": {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}}
        features |= {name: {"dtype": kinds.get(name, "string"), "_type": "Value"} for name in plain}
        sound = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns = [("audio", sound), *((name, pa.type_for_alias(kinds.get(name, "string"))) for name in plain)]
        schema = pa.schema(columns).with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path = folder / f"train-{number:05d}-of-{of:05d}.parquet"
        with parquet.ParquetWriter(path, schema) as writer:
            for first in range(0, len(rows), ROWS_AT_ONCE):
                group = rows[first : first + ROWS_AT_ONCE]
                data: dict[str, list[Any]] = {name: [row[name] for row in group] for name in plain}
                data["audio"] = [
                    {"bytes": (self._out / row["wav"]).read_bytes(), "path": Path(row["wav"]).name} for row in group
                ]
                writer.write_table(pa.Table.from_pydict(data, schema))


def _parts(rows: list[dict[str, Any]], out: Path) -> list[list[dict[str, Any]]]:
    """At least one, even where nothing is kept: a reader finds the columns then."""
    return list(_filled(rows, out)) or [[]]


def _filled(rows: list[dict[str, Any]], out: Path) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        more = (out / row["wav"]).stat().st_size
        if part and size + more > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(row)
        size += more
    if part:
        yield part
