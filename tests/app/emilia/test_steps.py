from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from app.audio import decode
from app.emilia import sound
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings, changed
from app.emilia.steps import Item
from app.emilia.steps.export import Export
from app.emilia.steps.speakers import overlaps
from app.emilia.steps.standardise import Standardise, gain_db, loudness
from app.errors import InputError
from app.inputs import sample
from app.stages import Turn
from tests.app.sounds import Waveform, encode, tone, write_wav

SETTINGS = EmiliaSettings()
Standardised = Callable[..., tuple[npt.NDArray[np.float32], dict[str, float]]]


def noise(seconds: float, level_dbfs: float, rate: int = 16_000) -> Waveform:
    samples = np.random.default_rng(7).normal(0, 10 ** (level_dbfs / 20), int(seconds * rate))
    return samples.astype(np.float32)


@pytest.fixture
def standardised(tmp_path: Path) -> Standardised:
    """Take a file through the step; returns what was written, and what is said of it."""

    def run(path: Path, settings: EmiliaSettings = SETTINGS) -> tuple[npt.NDArray[np.float32], dict[str, float]]:
        target = tmp_path / "standard.flac"
        said = Standardise(settings).run(
            Item("id", str(path), "key"), target, tmp_path / ".part.flac", lambda done: None
        )
        assert not (tmp_path / ".part.flac").exists()
        return decode(target, sample_rate=SAMPLE_RATE).waveform, said

    return run


@pytest.mark.parametrize(
    ("before", "after"), [(-22.0, -20.0), (-18.5, -20.0), (-30.0, -27.0), (-12.0, -15.0), (-20.0, -20.0)]
)
def test_a_recording_comes_to_the_target_by_at_most_three_decibels(
    tmp_path: Path, standardised: Standardised, before: float, after: float
) -> None:
    path = write_wav(tmp_path / "a.wav", noise(5, before))

    waveform, said = standardised(path, changed(SETTINGS, {"peak": "limit"}))

    # Resampling to 24 kHz leaves the band of white noise at 16 kHz as it is.
    assert loudness(waveform)[0] == pytest.approx(after, abs=0.2)
    assert said["gain_db"] == pytest.approx(after - before, abs=0.2)


def test_the_gain_stops_where_the_peak_would_be_clipped() -> None:
    assert gain_db(-23.0, -1.0, SETTINGS) == pytest.approx(1.0)
    assert gain_db(-23.0, 2.0, SETTINGS) == pytest.approx(-2.0)
    assert gain_db(-30.0, -6.0, SETTINGS.compat()) == pytest.approx(6.0)


def test_digital_silence_stays_silence(tmp_path: Path, standardised: Standardised) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(16_000, np.float32))

    for settings in (SETTINGS, SETTINGS.compat()):
        waveform, said = standardised(path, settings)
        assert not waveform.any()
        assert said["gain_db"] == 0


def test_any_recording_becomes_mono_at_24_khz_of_the_same_length(tmp_path: Path, standardised: Standardised) -> None:
    stereo = write_wav(tmp_path / "a.wav", np.stack([tone(2, 44_100), tone(2, 44_100)], axis=1), rate=44_100)

    for path in (stereo, encode(tmp_path / "a.mp3", tone(2), "libmp3lame"), sample()):
        waveform, said = standardised(path)
        assert said["samples"] == len(waveform)
        assert len(waveform) / SAMPLE_RATE == pytest.approx(decode(path).duration, abs=0.01)


def test_a_corrupt_file_is_its_own_fault_and_leaves_nothing(tmp_path: Path, standardised: Standardised) -> None:
    (tmp_path / "a.mp3").write_bytes(bytes(range(256)) * 64)

    with pytest.raises(InputError, match=r"a\.mp3"):
        standardised(tmp_path / "a.mp3")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]


def test_flac_gives_every_sample_back(tmp_path: Path) -> None:
    samples = np.random.default_rng(3).integers(-32768, 32767, 70 * SAMPLE_RATE + 11).astype(np.int16)

    sound.write(tmp_path / "a.flac", samples, "flac")

    assert np.array_equal(sound.to_int16(decode(tmp_path / "a.flac", sample_rate=SAMPLE_RATE).waveform), samples)


@pytest.mark.parametrize("codec", ["mp3", "flac"])
def test_a_segment_as_a_file_lasts_as_long_as_it_did(tmp_path: Path, codec: str) -> None:
    speech = sound.to_int16(decode(sample(), sample_rate=SAMPLE_RATE).waveform[: 5 * SAMPLE_RATE])

    sound.write(tmp_path / f"a.{codec}", speech, codec, kbps=128 if codec == "mp3" else 0)

    assert decode(tmp_path / f"a.{codec}").duration == pytest.approx(5, abs=0.1)


def test_overlaps_are_where_two_voices_and_more_are_heard() -> None:
    turns = [Turn(0, 5, "A"), Turn(4, 9, "B"), Turn(4.5, 6, "C"), Turn(9, 10, "A"), Turn(12, 13, "B")]

    assert overlaps(turns) == [(4, 6)]
    assert overlaps([]) == []


def export(tmp_path: Path, out: Path, given: list[dict[str, object]]) -> dict[str, object]:
    sound.write(tmp_path / "standard.flac", sound.to_int16(tone(10, SAMPLE_RATE)), "flac")
    item = Item("talk-1", "talk.wav", "key", str(tmp_path / "standard.flac"), given)
    result: dict[str, object] = Export(SETTINGS, out).run(
        item, tmp_path / "key.flac", tmp_path / ".key.part.flac", lambda done: None
    )
    return result


GIVEN: list[dict[str, object]] = [
    {"start": start * SAMPLE_RATE, "end": end * SAMPLE_RATE, "speaker": "A", "text": f"Über {start}", "language": "de"}
    | {"dnsmos": 3.5}
    for start, end in ((0, 3), (3, 6), (6, 10))
]


def test_export_writes_a_file_for_each_segment_and_the_json_beside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    export(tmp_path, out, GIVEN)
    export(tmp_path, out, GIVEN[:2])  # and replaces what was there

    names = sorted(path.name for path in (out / "talk-1").iterdir())
    assert names == [".key", "talk-1.json", "talk-1_000000.mp3", "talk-1_000001.mp3"]
    assert '"text": "Über 3"' in (out / "talk-1" / "talk-1.json").read_text()
    assert not list(tmp_path.glob(".key*"))


def test_a_segment_that_cannot_be_encoded_is_not_in_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    good = sound.write

    def write(path: Path, waveform: npt.NDArray[np.int16], codec: str, *, kbps: int = 0) -> None:
        good(path, waveform, codec, kbps=kbps)
        if len(waveform) == 4 * SAMPLE_RATE or (codec == "mp3" and path.name.endswith("000001.mp3") and not broken):
            broken.append(path)
            raise ValueError("the encoder says no")

    broken: list[Path] = []
    monkeypatch.setattr("app.emilia.steps.export.write", write)

    result = export(tmp_path, out, GIVEN[:2] + GIVEN[:1])

    assert result["files"] == ["talk-1_000000.mp3", None, "talk-1_000001.mp3"]
    assert result["failed"] == {"1": "ValueError: the encoder says no"}
    assert (out / "talk-1" / "talk-1.json").read_text().count('"text"') == 2
    assert math.isclose(decode(out / "talk-1" / "talk-1_000001.mp3").duration, 3, abs_tol=0.1)
