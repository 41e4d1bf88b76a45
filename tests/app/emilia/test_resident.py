"""The same dataset however the work is shared out: one model at a time, all in one process, two workers, shards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.audio import decode
from app.emilia import sound
from tests.app.emilia.corpus import FILES, ONE, STEPS, Corpus, Running, dataset, marks, undisturbed

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, command: Sequence[str]) -> Corpus:
    return undisturbed(tmp_path_factory, command)


def test_without_resident_each_step_has_a_process_of_its_own(corpus: Corpus) -> None:
    assert len(corpus.pids) == len(STEPS)


def test_a_resident_worker_lives_through_all_steps_and_makes_the_same(corpus: Corpus, tmp_path: Path) -> None:
    with corpus.start(tmp_path / "out", *ONE, "--resident") as running:
        assert running.watch() == 0, running.said

    assert len(running.pids) == 1
    corpus.is_like(tmp_path / "out")


def test_the_profile_decides_whether_a_worker_stays(corpus: Corpus, tmp_path: Path) -> None:
    seen = {}
    for value in ("True", "False"):
        line = corpus.line(tmp_path / value, *ONE, "--steps", "standardise,vad")
        at = line.index("emilia")
        with Running([*line[:at], "--set", f"RUN_APP_RESIDENT={value}", *line[at:]], corpus.environment) as running:
            assert running.watch() == 0, running.said
        seen[value] = len(running.pids)

    assert seen == {"True": 1, "False": 2}


def test_two_workers_make_the_same(corpus: Corpus, tmp_path: Path) -> None:
    with corpus.start(tmp_path / "out", "--workers", "2") as running:
        assert running.watch() == 0, running.said

    assert "2 workers of 1 thread" in running.text
    assert len(running.pids) > len(STEPS)
    corpus.is_like(tmp_path / "out")


def test_shards_side_by_side_and_then_the_whole_make_the_same(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with corpus.start(out, *ONE, "--shard", "2/3") as second, corpus.start(out, *ONE, "--shard", "3/3") as third:
        assert [second.end(), third.end()] == [0, 0], second.said + third.said
    assert "2 of 3 (shard 2/3) recordings" in second.text
    assert "1 of 3 (shard 3/3) recordings" in third.text
    assert "0 of 3 (shard 1/3) recordings" in corpus.run(out, *ONE, "--shard", "1/3")
    assert not dataset(out)
    before = marks(out)
    assert len(before) == 5 * FILES

    merged = corpus.run(out, *ONE)

    heavy = ("standardise", "diarize", "vad", "asr", "score")
    assert not any(f"{step}:" in merged.partition("recordings")[2] for step in heavy)
    assert {name: at for name, at in marks(out).items() if name in before} == before
    corpus.is_like(out)


def test_recordings_of_one_stem_have_folders_and_segments_of_their_own(corpus: Corpus) -> None:
    rows = [json.loads(line) for line in (corpus.out / "segments.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["dropped"] is None]
    folders = {row["source"]: row["wav"].split("/")[0] for row in kept}

    assert set(folders) == {"a.mp3", "a.wav", "sub/a.wav"}
    assert len(set(folders.values())) == 3
    for source, folder in folders.items():
        own = [row["text"] for row in kept if row["source"] == source]
        entries = json.loads((corpus.out / folder / f"{folder}.json").read_text())
        assert [entry["text"] for entry in entries] == own
        assert len(list((corpus.out / folder).glob("*.mp3"))) == len(own)
    for row in kept:
        assert decode(corpus.out / row["wav"]).duration == pytest.approx(row["duration"], abs=0.1)


@pytest.mark.parametrize("whole", [False, True])
def test_a_segment_whose_sound_is_lost_is_in_no_table_and_its_seconds_are_counted(
    corpus: Corpus, tmp_path: Path, whole: bool
) -> None:
    out = corpus.before("export", tmp_path / "out")
    rows = [json.loads(line) for line in (corpus.out / "segments.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["dropped"] is None and row["source"] == "a.mp3"][-1]
    _shorten(out, list(marks(out))[:FILES], corpus.folder / "a.mp3", last["start"] if whole else last["end"] - 1)

    corpus.run(out, *ONE)

    stats = json.loads((out / "stats.json").read_text())
    lost = [json.loads(line) for line in (out / "segments.jsonl").read_text().splitlines()]
    (failed,) = [row for row in lost if row["dropped"] == "encode_failed"]
    assert (failed["source"], failed["text"]) == ("a.mp3", last["text"])
    samples = stats["samples"]
    assert samples["dropped"]["encode_failed"] == pytest.approx(last["duration"] * 24_000, abs=24)
    assert samples["kept"] + sum(samples["dropped"].values()) == samples["input"]
    everything = dataset(out)
    for name, content in everything.items():
        if name.endswith((".json", ".tar", ".parquet")):
            assert last["text"].encode() not in content, name
    folder = last["wav"].split("/")[0]
    files = [name for name in everything if name.startswith(f"{folder}/") and name.endswith(".mp3")]
    assert len(files) == sum(1 for row in rows if row["source"] == "a.mp3" and row["dropped"] is None) - 1


def _shorten(out: Path, standardised: Sequence[str], recording: Path, end_s: float) -> None:
    """Take away what this recording's standardised sound has from there on."""
    samples = len(decode(recording, sample_rate=24_000).waveform)
    for name in standardised:
        if json.loads((out / ".run-app-emilia" / "done" / name).read_text())["samples"] == samples:
            path = out / ".run-app-emilia" / "audio" / f"{Path(name).stem}.flac"
            sound.write(path, sound.to_int16(decode(path, sample_rate=24_000).waveform[: int(end_s * 24_000)]), "flac")
            return
    raise AssertionError(f"{recording} has no sound")
