from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.audio import decode
from app.emilia.settings import SAMPLE_RATE, EmiliaSettings, changed
from app.emilia.steps.separate import Separate
from app.errors import UsageError
from app.inputs import sample
from tests.app.emilia.onnx_file import through
from tests.app.sounds import Waveform

INST_HQ_3 = {"separation_n_fft": 6144, "separation_gives": "instrumental"}


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return decode(sample(), sample_rate=SAMPLE_RATE).waveform[: 13 * SAMPLE_RATE]


def separator(model: Path, **settings: object) -> Separate:
    given = {"separation_model": str(model), **INST_HQ_3, **settings}
    step = Separate(changed(EmiliaSettings(), given), "cpu", 1)
    step.load()
    return step


def test_an_identity_model_gives_its_input_back(tmp_path: Path, speech: Waveform) -> None:
    model = through(tmp_path / "identity.onnx", (4, 3073, 256))

    voices = separator(model, separation_gives="vocals").voices(speech)

    assert voices.shape == speech.shape
    assert float(np.abs(voices - speech).max()) < 1e-4


def test_of_a_model_that_gives_the_instrumental_the_voice_is_the_rest(tmp_path: Path, speech: Waveform) -> None:
    everything = through(tmp_path / "identity.onnx", (4, 3073, 256))
    nothing = through(tmp_path / "nothing.onnx", (4, 3073, 256), factor=0.0)
    half = through(tmp_path / "half.onnx", (4, 3073, 256), factor=0.5)

    assert float(np.abs(separator(everything).voices(speech)).max()) < 1e-4
    assert float(np.abs(separator(nothing).voices(speech) - speech).max()) < 1e-4
    assert float(np.abs(separator(half).voices(speech) - speech / 2).max()) < 1e-4


def test_a_model_with_the_frequencies_of_inst_hq_3_loses_the_highest_alone(tmp_path: Path, speech: Waveform) -> None:
    model = through(tmp_path / "identity.onnx", (4, 3072, 256))

    voices = separator(model, separation_gives="vocals").voices(speech)

    assert float(np.abs(voices - speech).max()) < 1e-4


class Stubborn:
    """In a session's place, since no small ONNX file does it: not linear, not the same for left and right, with a
    noise of its own, and each frame made of its neighbours too.
    """

    def run(self, _: None, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        (spectra,) = feeds.values()
        bent = np.tanh(spectra) * np.array([1.0, 0.9, 0.4, 0.3], np.float32)[:, None, None]
        return [(0.5 * bent + 0.3 * np.roll(bent, 1, axis=3) + 0.01 * spectra**2 + 0.02).astype(np.float32)]


def original(mixed: Waveform, n_fft: int, hop: int, frames: int, bins: int, *, denoise: bool) -> Waveform:
    """The instrumental of up to 15 s at 44.1 kHz, as Emilia-Pipe's predictor computes it, by torch's transforms."""
    import torch

    window = torch.hann_window(n_fft, periodic=True)
    trim, chunk = n_fft // 2, hop * (frames - 1)
    step = chunk - 2 * trim
    count = len(mixed) // step + 1
    padded = torch.zeros(count * step + 2 * trim)
    padded[trim : trim + len(mixed)] = torch.from_numpy(mixed)
    pieces = []
    for index in range(count):
        piece = padded[index * step : index * step + chunk]
        spectrum = torch.stft(piece, n_fft, hop, window=window, center=True, return_complex=True)
        parts = torch.stack([spectrum.real, spectrum.imag] * 2)[None, :, :bins].numpy()
        found = Stubborn().run(None, {"input": parts})[0]
        if denoise:
            found = found * 0.5 - Stubborn().run(None, {"input": -parts})[0] * 0.5
        full = torch.zeros(n_fft // 2 + 1, frames, dtype=torch.complex64)
        full[:bins] = torch.complex(torch.from_numpy(found[0, 0]), torch.from_numpy(found[0, 1]))
        pieces.append(torch.istft(full, n_fft, hop, window=window, center=True)[trim:-trim])
    whole: Waveform = torch.cat(pieces)[: len(mixed)].numpy()
    return whole


@pytest.mark.parametrize("denoise", [True, False])
@pytest.mark.parametrize("n_fft", [6144, 7680])
def test_what_comes_out_is_what_the_original_computes(
    tmp_path: Path, speech: Waveform, n_fft: int, denoise: bool
) -> None:
    from scipy import signal

    step = separator(through(tmp_path / "any.onnx", (4, 3072, 256)), separation_n_fft=n_fft, separation_denoise=denoise)
    step._session = Stubborn()

    voices = step.voices(speech)

    # The sample is telephone speech: resampling it another way than the step does changes next to nothing.
    mixed = signal.resample_poly(speech, 147, 80, padtype="line").astype(np.float32)
    expected = signal.resample_poly(
        mixed - original(mixed, n_fft, 1024, 256, 3072, denoise=denoise), 80, 147, padtype="line"
    )[: len(speech)]
    inside = slice(SAMPLE_RATE // 10, -SAMPLE_RATE // 10)
    error = float(np.abs(voices - expected)[inside].max() / np.abs(expected).max())
    assert error < 3e-3


def test_separating_nothing_gives_nothing(tmp_path: Path) -> None:
    step = separator(through(tmp_path / "identity.onnx", (4, 3073, 256)))

    assert step.voices(np.zeros(0, np.float32)).shape == (0,)
    for length in (1, 5, 81):
        assert step.voices(np.zeros(length, np.float32)).shape == (length,)


def test_what_is_no_such_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("none")
    for model, said in {
        tmp_path / "text.onnx": "not an ONNX model",
        through(tmp_path / "flat.onnx", (4,)): "a UVR-MDX model takes",
        through(tmp_path / "mono.onnx", (2, 3073, 256)): "a UVR-MDX model takes",
        through(tmp_path / "high.onnx", (4, 4000, 256)): "separation_n_fft = 6144 has 3073; set the one",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            separator(model)
        assert "\n" not in str(error.value)


def test_the_key_holds_all_that_changes_the_sound(tmp_path: Path) -> None:
    known = through(tmp_path / "UVR-MDX-NET-Voc_FT.onnx", (4, 3072, 256))

    def shape(**settings: Any) -> dict[str, object]:
        return dict(Separate(changed(EmiliaSettings(), {"separation_model": str(known), **settings}), "cpu", 1).shape())

    assert (shape()["n_fft"], shape()["gives"], shape()["hop"], shape()["denoise"]) == (7680, "vocals", 1024, True)
    assert shape(separation_n_fft=7680) == shape()
    for other in ({"separation_denoise": False}, {"separation_n_fft": 6144}, {"separation_gives": "instrumental"}):
        assert shape(**other) != shape()
