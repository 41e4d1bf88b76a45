"""All steps over real speech whose turns, voices and languages are known, and over what is no speech."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.audio import decode
from app.emilia.release import FIELDS
from tests.app.conftest import persons_environment
from tests.app.emilia.conftest import carriers
from tests.app.sounds import RATE, Waveform, encode, tone, write_wav
from tests.app.voices import Spoken, Talk, missing_voices, mix

pyarrow = pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VOICES = {"en_US_f_Allison": "en", "fr_CA_f_June": "fr", "it_IT_m_Carlo": "it"}
EDGE_S = 0.5
"""A segment may reach so far into the pauses around its voice's turn, and the tolerance of a reference's edge."""


def overlapping(one: Waveform, other: Waveform) -> Waveform:
    """Two voices at once, all the time."""
    length = min(len(one), len(other))
    return one[:length] + other[:length]


class Dataset:
    """A finished run."""

    def __init__(self, out: Path, talks: dict[str, Talk], result: subprocess.CompletedProcess[str]) -> None:
        self.out, self.talks, self.result = out, talks, result
        self.stats: dict[str, Any] = json.loads((out / "stats.json").read_text())
        self.rows = [json.loads(line) for line in (out / "segments.jsonl").read_text().splitlines()]

    @property
    def kept(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["dropped"] is None]

    def shares(self, row: dict[str, Any]) -> dict[str, float]:
        """Seconds of each voice within a segment."""
        found: dict[str, float] = {}
        for turn in self.talks[row["source"]].turns:
            inside = min(turn.end, row["end"]) - max(turn.start, row["start"])
            if inside > 0:
                found[turn.voice] = found.get(turn.voice, 0.0) + inside
        return found


@pytest.fixture(scope="module")
def command_line() -> list[str]:
    return ["--model", "base", "--diarizer", "embedded", "--offline", "--languages", "en,fr"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, command: list[str], command_line: list[str]) -> Dataset:
    if absent := missing_voices(list(VOICES)):
        pytest.skip(f"the prompts of {', '.join(absent)} are not installed: scripts/test-audio")
    place = tmp_path_factory.mktemp("emilia")
    folder = place / "in"
    folder.mkdir()
    talks = {"three.wav": mix(list(VOICES), 75, 11), "one.mp3": mix(["en_US_f_Allison"], 30, 12)}
    write_wav(folder / "three.wav", talks["three.wav"].waveform)
    encode(folder / "one.mp3", talks["one.mp3"].waveform, "libmp3lame", bits=128_000)
    write_wav(folder / "second.wav", talks["one.mp3"].waveform[: 1 * RATE])
    write_wav(folder / "silence.wav", np.zeros(8 * RATE, np.float32))
    write_wav(folder / "noise.wav", np.random.default_rng(1).normal(0, 0.1, 8 * RATE).astype(np.float32))
    write_wav(folder / "tones.wav", (tone(8, hertz=262) + tone(8, hertz=330) + tone(8, hertz=392)) / np.float32(3))
    both = overlapping(mix(["en_US_f_Allison"], 15, 13).waveform, mix(["it_IT_m_Carlo"], 15, 14).waveform)
    write_wav(folder / "both.wav", both / np.float32(2))
    (folder / "corrupt.mp3").write_bytes(bytes(range(256)) * 64)
    environment = persons_environment(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("state")) | carriers()
    result = subprocess.run(
        [*command, "emilia", str(folder), str(place / "out"), *command_line],
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return Dataset(place / "out", talks, result)


def test_the_seconds_sum_exactly_to_the_input(dataset: Dataset) -> None:
    samples = dataset.stats["samples"]

    assert samples["kept"] + sum(samples["dropped"].values()) == samples["input"]
    assert samples["kept"] > 0.3 * samples["input"]
    assert dataset.stats["files"]["failed"] == 1


def test_a_kept_segment_is_one_voice_in_its_own_language(dataset: Dataset) -> None:
    assert {row["language"] for row in dataset.kept} == {"en", "fr"}
    for row in dataset.kept:
        shares = dataset.shares(row)
        voice = max(shares, key=lambda each: shares[each])
        assert VOICES[voice] == row["language"], row
        assert sum(shares.values()) - shares[voice] <= EDGE_S, row


def test_a_speaker_of_a_recording_is_one_voice(dataset: Dataset) -> None:
    heard: dict[str, set[str]] = {}
    for row in dataset.kept:
        shares = dataset.shares(row)
        heard.setdefault(row["speaker"], set()).add(max(shares, key=lambda each: shares[each]))

    assert all(len(voices) == 1 for voices in heard.values())


def test_segments_begin_and_end_where_somebody_speaks(dataset: Dataset) -> None:
    for row in dataset.kept:
        turns: list[Spoken] = [
            turn for turn in dataset.talks[row["source"]].turns if turn.start < row["end"] and turn.end > row["start"]
        ]
        assert turns[0].start - row["start"] <= EDGE_S, row
        assert row["end"] - turns[-1].end <= EDGE_S, row
        assert 3 <= row["end"] - row["start"] <= 30


def test_what_is_no_single_voice_has_no_segment_and_a_reason(dataset: Dataset) -> None:
    for name in ("silence.wav", "noise.wav", "tones.wav", "second.wav"):
        assert name in dataset.stats["no_segments"]
    assert [each["path"] for each in dataset.stats["failed"]] == ["corrupt.mp3"]
    assert "overlap" in dataset.stats["samples"]["dropped"]
    assert dataset.stats["samples"]["dropped"]["language"] > 0  # Italian was not asked for


def test_every_output_holds_the_same_segments(dataset: Dataset) -> None:
    from pyarrow import parquet

    with tarfile.open(dataset.out / "tars" / "000000.tar") as tar:
        in_tar = {Path(name).stem for name in tar.getnames()}
    in_parquet = parquet.read_table(dataset.out / "parquet").column("id").to_pylist()
    in_json = [entry for path in dataset.out.glob("[!.]*/*.json") for entry in json.loads(path.read_text())]

    assert in_tar == set(in_parquet) == {row["id"] for row in dataset.kept}
    assert sorted(entry["text"] for entry in in_json) == sorted(row["text"] for row in dataset.kept)
    assert set(in_json[0]) == {"text", "start", "end", "speaker", "language", "dnsmos"}
    for row in dataset.kept:
        assert decode(dataset.out / row["wav"]).duration == pytest.approx(row["duration"], abs=0.1)


def test_the_tars_group_into_samples_as_webdataset_reads_them(dataset: Dataset) -> None:
    groups: dict[str, dict[str, bytes]] = {}
    order: list[str] = []
    for path in sorted((dataset.out / "tars").iterdir()):
        with tarfile.open(path) as tar:
            for entry in tar:
                stem, _, suffix = entry.name.partition(".")  # WebDataset's rule: up to the first point
                file = tar.extractfile(entry)
                assert file is not None
                if stem not in order[-1:]:
                    assert stem not in groups, "the files of a sample lie side by side"
                    order.append(stem)
                groups.setdefault(stem, {})[suffix] = file.read()

    assert order == [row["id"] for row in dataset.kept]
    for row, sample in zip(dataset.kept, groups.values(), strict=True):
        assert set(sample) == {"mp3", "json"}
        assert json.loads(sample["json"]) == {name: row[name] for name in FIELDS}
        assert sample["mp3"] == (dataset.out / row["wav"]).read_bytes()


LOAD = """
import json, sys
from pathlib import Path
import datasets
loaded = datasets.load_dataset("parquet", data_dir=sys.argv[1], split="train")
audio = loaded.features["audio"]
print(json.dumps([type(audio).__name__, audio.sampling_rate, sorted(loaded.features)]))
for number, row in enumerate(loaded.cast_column("audio", datasets.Audio(decode=False))):
    sound = row.pop("audio")
    Path(sys.argv[2], f"{number}{Path(sound['path']).suffix}").write_bytes(sound["bytes"])
    print(json.dumps(row))
"""


def test_load_dataset_opens_the_parquet_without_a_network(
    dataset: Dataset, tmp_path: Path, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("datasets")
    environment = persons_environment(home, tmp_path_factory.mktemp("state"))
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    (tmp_path / "sound").mkdir()

    loaded = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, dataset.out / "parquet", tmp_path / "sound"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert loaded.returncode == 0, loaded.stderr
    features, *rows = [json.loads(line) for line in loaded.stdout.splitlines()]
    plain = [name for name in FIELDS if name != "wav"]
    assert features == ["Audio", 24_000, sorted(["audio", *plain])]
    assert rows == [{name: row[name] for name in plain} for row in dataset.kept]
    for number, row in enumerate(dataset.kept):
        assert decode(tmp_path / "sound" / f"{number}.mp3").duration == pytest.approx(row["duration"], abs=0.1)


def test_the_same_command_again_is_over_in_seconds_and_a_threshold_redoes_the_export_alone(
    dataset: Dataset,
    command: list[str],
    command_line: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    environment = persons_environment(tmp_path_factory.mktemp("h"), tmp_path_factory.mktemp("s")) | carriers()
    base = [*command, "emilia", str(dataset.out.parent / "in"), str(dataset.out), *command_line]

    def again(*more: str) -> str:
        done = subprocess.run(
            [*base, *more], env=environment, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 1
        return done.stderr

    same = again()
    assert not any(f"{step}:" in same for step in ("standardise", "diarize", "asr", "score", "export", "tables"))
    lost = dataset.out / dataset.kept[0]["wav"]
    lost.unlink()
    mended = again()
    assert "export:" in mended
    assert "asr:" not in mended
    assert lost.exists()
    stricter = again("--dnsmos-min", "3.2", "--redo")
    assert "export:" in stricter
    assert not any(f"{step}: " in stricter.partition("recordings")[2] for step in ("diarize", "asr", "score"))
    assert all(
        json.loads(line)["dnsmos"] >= 3.2
        for line in (dataset.out / "segments.jsonl").read_text().splitlines()
        if json.loads(line)["dropped"] is None
    )
