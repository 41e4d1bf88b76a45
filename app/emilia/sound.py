"""Waveforms to FLAC and mp3, by PyAV. Imports it where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.emilia.settings import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BLOCK = 60 * SAMPLE_RATE
"""Samples that are converted and encoded in one go: of an hour each copy is 173 MB and more."""


def to_int16(waveform: npt.NDArray[np.float32], gain: float = 1.0) -> npt.NDArray[np.int16]:
    """The nearest of 16 bits; what lies outside [-1, 1] after the gain, a factor, is clipped."""
    import numpy as np

    samples = np.empty(len(waveform), np.int16)
    for first in range(0, len(waveform), BLOCK):
        block = np.rint(waveform[first : first + BLOCK] * np.float32(32768.0 * gain))
        samples[first : first + BLOCK] = np.clip(block, -32768, 32767)
    return samples


def write(path: Path, waveform: npt.NDArray[np.int16], codec: str, *, kbps: int = 0) -> None:
    """Encode mono 24 kHz as `flac` or `mp3`. Raises OSError and av's errors, and leaves then half a file."""
    import av

    container_format = {"flac": "flac", "mp3": "mp3"}[codec]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream("libmp3lame" if codec == "mp3" else codec, rate=SAMPLE_RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        stream.format = "s16p" if codec == "mp3" else "s16"
        if kbps:
            stream.bit_rate = kbps * 1000
        container.start_encoding()
        # The encoder says how many samples it takes at a time; the resampler cuts them so.
        fit = av.AudioResampler(stream.format, "mono", SAMPLE_RATE, frame_size=stream.frame_size or 4096)
        for first in range(0, len(waveform), BLOCK):
            block = waveform[first : first + BLOCK]
            frame = av.AudioFrame.from_ndarray(block[None, :], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = first
            for piece in fit.resample(frame):
                container.mux(stream.encode(piece))
        for last in [*fit.resample(None), None]:
            container.mux(stream.encode(last))
