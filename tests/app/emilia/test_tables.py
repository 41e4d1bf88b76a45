from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.emilia import sound
from app.emilia.settings import SAMPLE_RATE
from app.emilia.steps import Item
from app.emilia.steps.tables import Tables
from tests.app.sounds import tone

ROW: dict[str, Any] = {
    "text": "Grüß dich, <b>Ann</b>.",
    "duration": 3.0,
    "speaker": "DE_B00000_S00000",
    "language": "de",
    "dnsmos": 3.41,
    "source": "a.mp3",
    "start": 0.0,
    "end": 3.0,
    "language_probability": 0.98,
    "dropped": None,
}
STATS: dict[str, Any] = {
    "files": {"input": 2, "with_segments": 1, "without_segments": 0, "failed": 1},
    "sample_rate": 24_000,
    "samples": {"input": 240_000, "kept": 144_000, "dropped": {"no_speech": 24_000, "dnsmos": 72_000}},
    "languages": {"de": {"segments": 2, "seconds": 6.0}},
    "failed": [{"path": "<x>.mp3", "step": "standardise", "reason": "no & sound"}],
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A dataset of two segments that are kept and one that is not."""
    folder = tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    (folder / ".run-app-emilia").mkdir()
    rows = []
    for number in range(2):
        name = f"a/a_{number:06d}.mp3"
        sound.write(folder / name, sound.to_int16(tone(3, SAMPLE_RATE)), "mp3", kbps=128)
        rows.append({"id": f"DE_B00000_S00000_W{number:06d}", "wav": name, **ROW})
    rows.append({**ROW, "dropped": "dnsmos", "dnsmos": 2.0})
    (folder / "segments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "stats.json").write_text(json.dumps(STATS))
    return folder


def make(out: Path, key: str = "key") -> Any:
    ledger = out / ".run-app-emilia"
    return Tables(out).run(Item("tables", str(out), key), ledger / key, ledger / f".{key}.flac", lambda done: None)


pyarrow = pytest.importorskip("pyarrow")


def content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def test_the_tars_hold_each_segment_with_the_releases_fields_beside(out: Path) -> None:
    assert make(out) == {"rows": 2, "parts": 1}

    with tarfile.open(out / "tars" / "000000.tar") as tar:
        names = tar.getnames()
        fields = json.loads(content(tar, "DE_B00000_S00000_W000001.json"))
        heard = content(tar, "DE_B00000_S00000_W000001.mp3")
    assert names[:2] == ["DE_B00000_S00000_W000000.mp3", "DE_B00000_S00000_W000000.json"]
    assert list(fields) == ["id", "wav", "text", "duration", "speaker", "language", "dnsmos"]
    assert fields["text"] == ROW["text"]
    assert heard == (out / "a" / "a_000001.mp3").read_bytes()


def test_parquet_holds_the_same_with_the_sound(out: Path) -> None:
    from pyarrow import parquet

    make(out)

    table = parquet.read_table(out / "parquet" / "train-00000-of-00001.parquet")
    assert table.num_rows == 2
    assert table.column("id").to_pylist() == ["DE_B00000_S00000_W000000", "DE_B00000_S00000_W000001"]
    assert table.column("audio").to_pylist()[0]["bytes"] == (out / "a" / "a_000000.mp3").read_bytes()
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["audio"] == {"sampling_rate": 24_000, "_type": "Audio"}
    assert set(features) == set(table.schema.names)


def test_a_dataset_without_a_segment_has_its_columns(out: Path) -> None:
    from pyarrow import parquet

    (out / "segments.jsonl").write_text("")

    assert make(out) == {"rows": 0, "parts": 1}
    assert "audio" in parquet.read_table(out / "parquet").schema.names
    assert "No segment was judged" in (out / "report.html").read_text()


def test_the_same_rows_make_the_same_tars_and_report(out: Path) -> None:
    make(out)
    before = [(out / name).read_bytes() for name in ("tars/000000.tar", "report.html")]

    make(out)

    assert [(out / name).read_bytes() for name in ("tars/000000.tar", "report.html")] == before


def test_tables_are_in_place_until_something_of_them_is_gone(out: Path) -> None:
    make(out, "one")
    assert Tables.are_in_place("one", out)
    assert not Tables.are_in_place("two", out)
    (out / "report.html").unlink()
    assert not Tables.are_in_place("one", out)


def test_a_missing_segment_leaves_the_old_tables_and_no_rest(out: Path) -> None:
    make(out)
    (out / "a" / "a_000001.mp3").unlink()

    with pytest.raises(FileNotFoundError):
        make(out, "two")

    assert (out / "tars" / "000000.tar").exists()
    assert not Tables.are_in_place("two", out)
    assert sorted(path.name for path in (out / ".run-app-emilia").iterdir()) in ([], ["tables"])
