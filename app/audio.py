"""Any file PyAV can open, as float32 mono at 16 kHz. PyAV carries the FFmpeg libraries: nothing else is needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLE_RATE = 16_000
MEDIA_SUFFIXES = frozenset(
    ".3gp .aac .ac3 .aif .aiff .amr .au .avi .caf .dts .flac .flv .g722 .gsm .m2ts .m4a .m4b .m4v .mka .mkv"
    " .mov .mp2 .mp3 .mp4 .mpeg .mpg .mts .mxf .oga .ogg .ogv .opus .ra .rm .sph .spx .vob .w64 .wav"
    " .weba .webm .wma .wmv .wv".split()
)
"""What counts as a recording inside a folder; a file named by itself may be called anything. (.ts is left out:
there it is TypeScript more often than television.)
"""
TRUSTED_S = 4 * 3600.0
"""A header that states more gets no memory for it before the sound is there."""

SHORTFALL_S = 1.0
"""Less than this between the stated and the decoded duration is encoder padding, not damage."""


class Audio(NamedTuple):
    """A decoded input."""

    waveform: npt.NDArray[np.float32]
    """Shape (samples,), of the rate asked for, mono, within [-1, 1] for integer sources."""
    notes: tuple[str, ...]
    """Damage found on the way: what is missing from the waveform."""

    sample_rate: int = SAMPLE_RATE

    @property
    def duration(self) -> float:
        return len(self.waveform) / self.sample_rate


def decode(path: Path, longest_s: float = math.inf, *, sample_rate: int = SAMPLE_RATE) -> Audio:
    """Read the first audio track that FFmpeg thinks best.

    Memory stays at 4 bytes a sample: the frames go straight into one array, which grows in place.
    Damaged packets are passed over and noted. Raises InputError where there is nothing to hear, or more than
    `longest_s`: ten hours of silence are six megabytes of FLAC.
    """
    import av
    import numpy as np

    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty (0 bytes)")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    try:
        container = av.open(str(path), format=_format_of(path), metadata_errors="ignore")
    except av.error.FFmpegError as error:
        raise InputError(
            f"{path}: not a recording that FFmpeg can read ({_reason(error)}); "
            "give an audio or video file, or one that was copied whole"
        ) from None
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError(f"{path}: there is no audio track in it")
        guess = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 60.0
        stated = guess if stream.duration and _states_its_duration(container.format.name, path) else None
        if stated and stated > longest_s:
            raise _too_long(path, longest_s)
        waveform = np.empty(int((min(guess, TRUSTED_S) + 1.0) * sample_rate), np.float32)
        filled = damaged = 0
        resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)

        def append(frames: list[av.AudioFrame]) -> None:
            nonlocal filled
            for frame in frames:
                samples = frame.to_ndarray()[0]
                if filled + len(samples) > longest_s * sample_rate:
                    raise _too_long(path, longest_s)
                if filled + len(samples) > len(waveform):
                    waveform.resize(int(1.5 * (filled + len(samples))), refcheck=False)
                waveform[filled : filled + len(samples)] = samples
                filled += len(samples)

        try:
            for packet in container.demux(stream):
                try:
                    for frame in packet.decode():
                        if isinstance(frame, av.AudioFrame):
                            frame.pts = None  # gaps and jumps in the clock must not stop the resampler
                            append(resampler.resample(frame))
                except av.error.InvalidDataError:
                    damaged += 1
        except av.error.FFmpegError:
            damaged += 1  # the container breaks off: what came before is kept
        append(resampler.resample(None))
    waveform.resize(filled, refcheck=False)
    if not filled:
        raise InputError(f"{path}: its audio track holds no sound that can be decoded")
    notes = []
    duration = filled / sample_rate
    if stated and stated - duration > max(SHORTFALL_S, 0.01 * stated):
        notes.append(f"the file breaks off: it states {stated:.1f} s, {duration:.1f} s could be decoded")
    elif damaged:
        notes.append(f"{damaged} damaged packet{'s' * (damaged > 1)} passed over")
    if not np.isfinite(waveform).all():
        np.nan_to_num(waveform, copy=False, posinf=0.0, neginf=0.0)
        notes.append("samples that are no numbers were replaced by silence")
    return Audio(waveform, tuple(notes), sample_rate)


def _too_long(path: Path, longest_s: float) -> InputError:
    return InputError(f"{path}: longer than the {longest_s / 3600:g} hours that are taken here; give it in parts")


def _states_its_duration(container: str, path: Path) -> bool:
    """Whether the duration FFmpeg tells is written in the file. In bare streams it is a guess from the first bitrate,
    and wrong by ten times where the bitrate varies; an mp3 may carry it in a frame of its own at the beginning.
    """
    if container != "mp3":
        return container not in ("aac", "ac3", "amr", "dts", "eac3", "g722", "gsm")
    with path.open("rb") as file:
        head = file.read(10)
        tag = int.from_bytes(head[6:10]) if head.startswith(b"ID3") else 0
        # An ID3 tag's length is written with 7 bits a byte.
        file.seek(sum((tag >> 8 * i & 127) << 7 * i for i in range(4)))
        frame = file.read(4096)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _format_of(path: Path) -> str | None:
    """Headerless telephone formats, which FFmpeg can't tell by content, go by their name."""
    return {".g722": "g722", ".gsm": "gsm"}.get(path.suffix.lower())


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
