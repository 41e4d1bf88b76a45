"""How much sound a file may hold: a little FLAC can be days of silence, or say that it is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from app.audio import decode
from app.errors import InputError

RATE = 2000
TOTAL = slice(8 + 14, 8 + 18)
"""Of FLAC's STREAMINFO, the lower 32 bits of how many samples there are."""


def silence(path: Path, seconds: int) -> Path:
    """Of FLAC."""
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE), np.int16), format="s16", layout="mono")
        frame.rate = RATE
        for _ in range(seconds):
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def stating(path: Path, samples: int) -> Path:
    """With another number in its header."""
    data = bytearray(path.read_bytes())
    data[TOTAL] = samples.to_bytes(4)
    path.write_bytes(data)
    return path


def test_more_than_is_taken_is_one_line(tmp_path: Path) -> None:
    path = silence(tmp_path / "long.flac", 30)
    assert decode(path, 30.5).duration == pytest.approx(30, abs=0.1)
    with pytest.raises(InputError) as error:
        decode(path, 29.0)
    assert str(error.value).startswith(f"{path}: longer than the 0.00")


def test_what_the_header_hides_is_found_in_the_sound(tmp_path: Path) -> None:
    path = stating(silence(tmp_path / "long.flac", 30), 2 * RATE)
    with pytest.raises(InputError, match="longer than"):
        decode(path, 29.0)


def test_a_header_that_states_days_gets_no_memory_for_them(tmp_path: Path) -> None:
    path = stating(silence(tmp_path / "short.flac", 2), 2**32 - 1)  # 25 days, 137 GB
    audio = decode(path)
    assert audio.duration == pytest.approx(2, abs=0.1)
    assert "breaks off" in audio.notes[0]
    with pytest.raises(InputError, match="longer than the 12 hours that are taken here; give it in parts"):
        decode(path, 12 * 3600.0)
