"""Voices apart from music and noise, by an ONNX model of the UVR-MDX kind.

Such a model takes spectrograms of stereo sound at 44.1 kHz, shape (batch, 4, frequencies, frames): real and imaginary
part of the left channel, then of the right; and gives the same shape. The frequencies above those it takes are lost.

What comes out is what Emilia-Pipe computes: the one channel is given as both, the left is taken, the model runs on
the negative too, and nothing is scaled afterwards. But Emilia-Pipe begins anew every 15 s, where here the model's
chunks of 6 s follow one another through the whole recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import decode
from app.emilia.separators import figures
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings
from app.emilia.sound import to_int16, write
from app.emilia.steps import Item, Share
from app.errors import UsageError
from app.models.identity import identity
from app.stages.ladder import trouble

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

VERSION = 2
"""Goes up when the same model would give other samples."""
MODEL_RATE = 44_100
UP, DOWN = 147, 80
"""From 24 kHz to the model's rate."""
KAISER_BETA = 10.0
"""Of the resampling filters: what they add lies 100 dB below the sound; scipy's default of 5 leaves a thousandth."""
FILTER_REACH = 32
"""Zero crossings of the filters on each side: the band above 11.5 kHz is what they give up."""
EDGE = 10
"""Times `down` samples that a sound is continued by on both sides: a whole number of samples at both rates."""
BATCH = 2
"""Chunks of 6 s that the model gets at once."""


class Separate:
    name = "separate"

    def __init__(self, settings: EmiliaSettings, device: str, threads: int) -> None:
        self._settings, self._device, self._threads = settings, device, threads
        self._model = Path(settings.separation_model)
        self._figures = figures(settings)
        self._session: Any = None

    def shape(self) -> Mapping[str, object]:
        return {
            "version": VERSION,
            "libraries": [version("onnxruntime"), version("scipy")],
            "model": identity(self._model),
            "gives": self._figures.gives,
            "n_fft": self._figures.n_fft,
            "hop": self._figures.hop,
            "denoise": self._settings.separation_denoise,
        }

    def load(self) -> str:
        import onnxruntime

        path = self._model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        wanted = ["CPUExecutionProvider"]
        if self._device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            wanted.insert(0, "CUDAExecutionProvider")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # its errors have no class of their own
            first = str(error).strip().partition("\n")[0]
            raise UsageError(f"{path}: not an ONNX model that can be loaded ({first})") from None
        (entry, *others) = self._session.get_inputs()
        frequencies, frames = entry.shape[2:] if len(entry.shape) == 4 else (None, None)
        bins = self._figures.n_fft // 2 + 1
        if others or entry.shape[1] != 4 or not isinstance(frequencies, int) or not isinstance(frames, int):
            raise UsageError(f"{path}: takes {entry.shape}; a UVR-MDX model takes (batch, 4, frequencies, frames)")
        if frequencies > bins:
            raise UsageError(
                f"{path}: takes {frequencies} frequencies, an FFT of separation_n_fft = {self._figures.n_fft} has "
                f"{bins}; set the one that the model was made for"
            )
        self._frequencies, self._frames, self._input = frequencies, frames, entry.name
        return f"{path.name} on {self._session.get_providers()[0].removesuffix('ExecutionProvider').lower()}"

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        import numpy as np

        waveform = decode(Path(item.audio), sample_rate=SAMPLE_RATE).waveform
        voices = to_int16(self.voices(waveform, share))
        try:
            write(part, voices, "flac")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return {"samples": len(voices), "peak": int(np.abs(voices.astype(np.int32)).max(initial=0))}

    def voices(self, waveform: Floats, share: Share = lambda done: None) -> Floats:
        """Of a mono waveform at 24 kHz, shape (samples,): the voices, of the same shape."""
        import numpy as np

        if not len(waveform):
            return waveform
        mixed = _resample(waveform, UP, DOWN)
        given = np.concatenate([mixed[:0], *self._chunks(mixed, share)])[: len(mixed)]
        voices = given if self._figures.gives == "vocals" else mixed - given
        return _resample(voices, DOWN, UP)[: len(waveform)]

    def _chunks(self, mixed: Floats, share: Share) -> Iterator[Floats]:
        """What the model gives, piece by piece: of each chunk the middle, where its frames overlap in full."""
        import numpy as np

        hop, trim = self._figures.hop, self._figures.n_fft // 2
        chunk = hop * (self._frames - 1)
        step = chunk - 2 * trim
        if step <= 0:
            raise UsageError(f"{self._model}: its {self._frames} frames are shorter than its FFT")
        starts = range(0, len(mixed), step)
        for first in range(0, len(starts), BATCH):
            batch = np.zeros((min(BATCH, len(starts) - first), chunk), np.float32)
            for row, start in zip(batch, starts[first:], strict=False):
                begin, end = max(0, start - trim), min(len(mixed), start - trim + chunk)
                row[begin - (start - trim) : end - (start - trim)] = mixed[begin:end]
            for row in self._through_the_model(batch):
                yield row[trim : trim + step]
            share(min(1.0, (first + BATCH) / len(starts)))

    def _through_the_model(self, batch: Floats) -> Floats:
        """Shape (chunks, samples), at the model's rate."""
        import numpy as np

        n_fft, hop = self._figures.n_fft, self._figures.hop
        spectra = _stft(batch, n_fft, hop)
        taken = spectra[:, : self._frequencies]
        mono = np.stack([taken.real, taken.imag], axis=1)
        stereo = np.concatenate([mono, mono], axis=1).astype(np.float32)
        (given,) = self._session.run(None, {self._input: stereo})
        if self._settings.separation_denoise:
            (negative,) = self._session.run(None, {self._input: -stereo})
            given = (given - negative) / 2
        spectra[:] = 0
        spectra[:, : self._frequencies] = given[:, 0] + 1j * given[:, 1]
        return _istft(spectra, n_fft, hop, batch.shape[1])

    def step_down(self, error: Exception) -> str | None:
        if self._device == "cpu" or trouble(error) != "card memory":
            return None
        self._device = "cpu"
        return "device cuda -> cpu"

    def release(self) -> None:
        self._session = None


def _resample(waveform: Floats, up: int, down: int) -> Floats:
    """The first sample stays the first."""
    import numpy as np
    from scipy import signal

    # The filter runs at `up` times the rate; its cutoff is the lower of the two rates' halves.
    widest = max(up, down)
    taps = signal.firwin(2 * FILTER_REACH * widest + 1, 1 / widest, window=("kaiser", KAISER_BETA))
    # The filter hears zeros before and after the sound, and would ring where it breaks off in mid-wave.
    continued = np.pad(waveform, EDGE * down, mode="reflect", reflect_type="odd")
    resampled: Floats = signal.resample_poly(continued, up, down, window=taps).astype("float32")
    return resampled[EDGE * up :][: -(-len(waveform) * up // down)]


def _window(n_fft: int) -> Any:
    import numpy as np

    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)  # Hann, periodic


def _stft(rows: Floats, n_fft: int, hop: int) -> Any:
    """Shape (rows, n_fft / 2 + 1, frames), complex; frames are centred, the rows' ends mirrored."""
    import numpy as np

    padded = np.pad(rows, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
    return np.fft.rfft(frames * _window(n_fft), axis=2).astype(np.complex64).transpose(0, 2, 1)


def _istft(spectra: Any, n_fft: int, hop: int, length: int) -> Floats:
    """The inverse, shape (rows, length): overlap-add, divided by the windows' summed squares."""
    import numpy as np

    window = _window(n_fft)
    frames = np.fft.irfft(spectra.transpose(0, 2, 1), n_fft, axis=2).astype(np.float32) * window
    rows, number, _ = frames.shape
    total = np.zeros((rows, n_fft + hop * (number - 1)), np.float32)
    weight = np.zeros(total.shape[1], np.float32)
    for index in range(number):
        total[:, index * hop : index * hop + n_fft] += frames[:, index]
        weight[index * hop : index * hop + n_fft] += window**2
    middle = slice(n_fft // 2, n_fft // 2 + length)
    whole: Floats = (total[:, middle] / np.maximum(weight[middle], 1e-8)).astype(np.float32)
    return whole
