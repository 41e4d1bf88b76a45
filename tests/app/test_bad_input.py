"""What people really hand in. Each: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.conftest import RunApp
from tests.app.sounds import Waveform, encode, silent_film, tone, write_wav


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that say what is wrong; a traceback would show as many."""
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith(("/", "run-app:"))]


def text_file(path: Path) -> None:
    path.write_text("Not a sound, but notes of a meeting.\n" * 50)


def empty_file(path: Path) -> None:
    path.touch()


def film_without_sound(path: Path) -> None:
    silent_film(path.with_suffix(".mp4")).rename(path)


def damaged_header(path: Path) -> None:
    path.write_bytes(b"RIFF\x00\x00")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (text_file, "not a recording that FFmpeg can read"),
        (empty_file, "the file is empty (0 bytes)"),
        (film_without_sound, "there is no audio track in it"),
        (damaged_header, "not a recording that FFmpeg can read"),
    ],
)
def test_a_file_without_sound_is_named_and_the_others_are_done(
    run_app: RunApp, tmp_path: Path, make: Callable[[Path], None], complaint: str
) -> None:
    make(tmp_path / "x.wav")

    done = run_app("transcribe", "x.wav", "--sample", "--model", "tiny.en", "-o", "out", "-f", "txt")

    assert done.returncode == 1
    assert [complaint in line for line in done.stderr.splitlines() if f"{tmp_path}/x.wav:" in line] == [True]
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample.txt"]
    assert "1 of 2 files done, 1 failed" in done.stderr


@pytest.mark.parametrize(
    ("argument", "code", "complaint"),
    [
        (["x.wav"], 1, "x.wav: no such file or folder"),
        (["empty-folder"], 1, "empty-folder: no recordings in this folder"),
        ([], 2, "nothing to transcribe"),
        (["--sample", "--model", "largest-v9"], 2, "largest-v9"),
        (["--sample", "-f", "srt,docx"], 2, "unknown format 'docx', choose from txt, srt, vtt"),
        (["--sample", "--asr", "kaldi"], 2, "invalid choice: 'kaldi'"),
        (["--sample", "--batch-size", "0"], 2, "0: must be an integer of at least 1"),
        (["--sample", "--compute-type", "int4"], 2, "must be one of auto, int8"),
        (["--sample", "--compute-type", "float16", "--model", "tiny.en"], 2, "float16 is not possible on this cpu"),
        (["--sample", "--language", "xx"], 2, "unknown language 'xx'"),
        (["--sample", "--language", "es", "--model", "tiny.en"], 2, "this model knows English only"),
        (["--sample", "-o", "a-file/out"], 2, "a-file/out: can't write there"),
        (["--sample", "-o", "taken"], 2, "taken/sample.txt: this output is a folder already"),
        (["sound.txt", "-f", "txt"], 2, "sound.txt: this output would replace an input"),
        (["pipe"], 1, "pipe: not a regular file"),
        (["x" * 300], 1, "File name too long"),
        (["--smaple"], 2, "unrecognized arguments: --smaple"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(
    run_app: RunApp, tmp_path: Path, argument: list[str], code: int, complaint: str
) -> None:
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "a-file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "taken" / "sample.txt").mkdir(parents=True)
    shutil.copy(sample(), tmp_path / "sound.txt")
    before = sorted(tmp_path.rglob("*"))

    done = run_app("transcribe", *argument)

    assert done.returncode == code, done.stderr
    assert [complaint in line for line in complaints(done)] == [True], done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_no_card_for_a_profile_that_needs_one(run_app: RunApp, environment: dict[str, str], tmp_path: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a card")
    done = run_app("transcribe", "--sample", "--device", "cuda", "--model", "tiny.en")

    assert done.returncode == 2
    assert "device cuda is asked for, but no CUDA card is visible" in complaints(done)[0]
    assert list(tmp_path.iterdir()) == []

    # Said before a model of 3 GB is fetched for a card that is not there.
    done = run_app("--profile", "blackwell96", "transcribe", "--sample")

    assert done.returncode == 2
    assert "device cuda is asked for, but no CUDA card is visible" in complaints(done)[0]


def test_an_unknown_profile_starts_nothing(run_app: RunApp, environment: dict[str, str], tmp_path: Path) -> None:
    done = run_app("--profile", "blackwell69", "transcribe", "--sample")

    assert done.returncode == 2
    assert "blackwell69" in done.stderr
    assert "transcribe" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.05, 600.0])
def test_no_speech_gives_a_valid_empty_transcript(run_app: RunApp, tmp_path: Path, seconds: float) -> None:
    write_wav(tmp_path / "x.wav", np.zeros(int(16_000 * seconds), np.float32))

    done = run_app("transcribe", "x.wav")

    assert done.returncode == 0, done.stderr
    assert complaints(done)[0].endswith("x.wav: no speech was found")
    assert (tmp_path / "x.txt").read_text() == ""
    assert (tmp_path / "x.srt").read_text() == ""
    assert '"segments": []' in (tmp_path / "x.json").read_text()


def test_a_truncated_recording_is_done_as_far_as_it_goes(run_app: RunApp, tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp3", decode(sample()).waveform, "libmp3lame")
    content = whole.read_bytes()
    (tmp_path / "x.wav.mp3").write_bytes(content[: len(content) // 2])

    done = run_app("transcribe", "x.wav.mp3", "--model", "tiny.en", "-o", "out")

    assert done.returncode == 0, done.stderr
    assert "the file breaks off: it states 30" in complaints(done)[0]
    assert "diane" in (tmp_path / "out" / "x.wav.txt").read_text().lower()
    assert "the file breaks off" in (tmp_path / "out" / "x.wav.json").read_text()


def test_an_existing_output_is_replaced_whole(run_app: RunApp, tmp_path: Path) -> None:
    old = tmp_path / "sample.txt"
    old.write_text("an older transcript\n" * 1000)
    reader = old.open()  # whoever has it open keeps the old one, whole

    assert run_app("transcribe", "--sample", "--model", "tiny.en", "-f", "txt").returncode == 0

    assert "Diane" in old.read_text()
    assert reader.read() == "an older transcript\n" * 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample.txt", "sample.txt.bak"]
    assert (tmp_path / "sample.txt.bak").read_text() == "an older transcript\n" * 1000  # we had not written it


def test_an_output_that_can_not_be_written_is_said(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    # A limit on file size stands in for a full disk: the write fails in the middle.
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@" --model tiny.en -f txt', "-", *command, "transcribe", "--sample"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1, done.stderr
    assert "sample.txt: can't be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Diane" in done.stdout  # the work is not lost: it can still be read
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_mirrored_and_equal_stems_do_not_collide(run_app: RunApp, tmp_path: Path) -> None:
    speech = decode(sample()).waveform[6 * 16_000 : 10 * 16_000]
    (tmp_path / "talks" / "day 1").mkdir(parents=True)
    write_wav(tmp_path / "talks" / "day 1" / "a.wav", speech)
    encode(tmp_path / "talks" / "day 1" / "a.mp3", speech, "libmp3lame")
    write_wav(tmp_path / "talks" / "b.wav", tone(1.0))
    (tmp_path / "talks" / "notes.txt").write_text("no recording")

    done = run_app("transcribe", "talks", "-o", "out", "-f", "txt", "--model", "tiny.en")

    assert done.returncode == 0, done.stderr
    outputs = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert outputs == ["b.txt", "day 1/a.mp3.txt", "day 1/a.wav.txt"]
    assert done.stdout == ""
    assert "3 of 3 files done, 0 failed" in done.stderr


@pytest.mark.parametrize("name", ["plain.aac", "varying.mp3"])
def test_a_bare_stream_whose_length_is_a_guess_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    # Silence first, speech then: FFmpeg guesses the duration by the bitrate of the beginning.
    waveform = np.concatenate([np.zeros(160_000, np.float32), decode(sample()).waveform])
    path = tmp_path / name
    if name.endswith("aac"):
        encode(path, waveform, "aac")
    else:
        quiet, loud = encode(tmp_path / "1.mp3", waveform[:160_000], "libmp3lame", bits=8_000), tmp_path / "2.mp3"
        encode(loud, waveform[160_000:], "libmp3lame", bits=96_000)
        path.write_bytes(b"".join(without_xing_frame(part.read_bytes()) for part in (quiet, loud)))

    audio = decode(path)

    assert audio.duration == pytest.approx(40.0, abs=0.5)
    assert audio.notes == ()


def without_xing_frame(mp3: bytes) -> bytes:
    """The stream alone, as a recorder that can't seek leaves it."""
    first = mp3.index(b"\xff", mp3.index(b"ID3") + 10) if mp3.startswith(b"ID3") else 0
    following = next(i for i in range(first + 4, len(mp3)) if mp3[i : i + 2] == mp3[first : first + 2])
    return mp3[following:]


def test_a_file_one_may_not_read_is_said_and_a_folder_too(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux), which takes root's right to read everything, is not installed")
    write_wav(tmp_path / "locked.wav", tone(1.0)).chmod(0)
    (tmp_path / "talks" / "locked").mkdir(parents=True)
    write_wav(tmp_path / "talks" / "a.wav", tone(1.0))
    (tmp_path / "talks" / "locked").chmod(0)
    mortal = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]

    done = subprocess.run(
        [*mortal, *command, "transcribe", "locked.wav", "talks", "--model", "tiny.en", "-o", "out"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1, done.stderr
    assert f"{tmp_path}/locked.wav: Permission denied" in done.stderr
    assert f"{tmp_path}/talks/locked: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "a.txt").exists()


def test_sound_that_is_no_wav_is_heard_the_same(tmp_path: Path) -> None:
    whole = decode(sample())
    film = encode(tmp_path / "film.mp4", whole.waveform, "aac", picture=True)
    stereo = write_wav(tmp_path / "stereo.wav", np.stack([tone(1.0, 44_100), -tone(1.0, 44_100)], axis=1), 44_100)

    assert decode(film).duration == pytest.approx(whole.duration, abs=0.2)
    assert _aligned(decode(film).waveform, whole.waveform) > 0.9
    assert decode(stereo).duration == pytest.approx(1.0, abs=0.01)
    assert np.abs(decode(stereo).waveform).max() < 0.01  # the channels are mixed, not one of them taken


def _aligned(one: Waveform, other: Waveform) -> float:
    """Highest correlation over shifts of up to 0.1 s: encoders delay what they encode."""
    middle = other[100_000:300_000]
    return max(float(np.corrcoef(one[100_000 + d : 300_000 + d], middle)[0, 1]) for d in range(-1600, 1601, 16))


def test_a_damaged_packet_costs_that_packet(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.mp3", decode(sample()).waveform, "libmp3lame")
    content = bytearray(path.read_bytes())
    content[60_000:64_000] = random.Random(1).randbytes(4_000)
    path.write_bytes(content)

    audio = decode(path)

    assert 28 < audio.duration <= 30.2
    assert any("damaged packet" in note for note in audio.notes)


def test_numbers_that_are_no_samples_become_silence(tmp_path: Path) -> None:
    waveform = tone(1.0)
    waveform[5_000:6_000] = np.nan
    path = encode(tmp_path / "x.wav", waveform, "pcm_f32le")

    audio = decode(path)

    assert np.isfinite(audio.waveform).all()
    assert audio.notes == ("samples that are no numbers were replaced by silence",)
