"""How good a segment sounds: DNSMOS P.835, by the model that the package speechmos carries."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.audio import SAMPLE_RATE as HEARD_RATE
from app.audio import decode
from app.emilia.settings import SAMPLE_RATE
from app.emilia.steps import Item, Share
from app.errors import UsageError
from app.models.identity import identity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

VERSION = 1
WINDOW = int(9.01 * HEARD_RATE)
"""Samples at 16 kHz that the model hears at once; a shorter segment is repeated until it fills them."""
HOP = HEARD_RATE
"""From one window to the next."""
OVRL = (-0.06766283, 1.11546468, 0.04602535)
"""The polynomial from the model's third output to the scale that listeners gave (DNS Challenge, dnsmos_local.py)."""
EXTRA = "pip install 'run-app[emilia]'"


def find_model() -> Path:
    """In the package, which is not imported: it would import librosa. Raises UsageError."""
    spec = importlib.util.find_spec("speechmos")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "dnsmos_models", "sig_bak_ovr.onnx")
        if path.is_file():
            return path
    raise UsageError(f"DNSMOS needs the model in the package speechmos, not installed here: {EXTRA}")


class Score:
    """Gives OVRL, 1 to 5, for each of `given`'s segments ([[start, end], ...] in samples of 24 kHz)."""

    name = "score"

    def __init__(self, model: Path, threads: int) -> None:
        self._model, self._threads = model, threads
        self._session: Any = None

    def shape(self) -> Mapping[str, object]:
        return {"version": VERSION, "model": identity(self._model), "onnxruntime": version("onnxruntime")}

    def load(self) -> str:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        self._session = onnxruntime.InferenceSession(
            str(self._model), options, providers=["CPUExecutionProvider"]
        )  # 1.2 MB: a card would wait for its copies
        return f"DNSMOS P.835 on cpu, {self._threads} thread{'s' * (self._threads != 1)}"

    def run(self, item: Item, target: Path, part: Path, share: Share) -> Any:
        if not item.given:
            return []
        waveform = decode(Path(item.audio)).waveform
        scores = []
        for number, (start, end) in enumerate(item.given, 1):
            clip = waveform[start * HEARD_RATE // SAMPLE_RATE : end * HEARD_RATE // SAMPLE_RATE]
            scores.append(round(self.ovrl(clip), 4))
            share(number / len(item.given))
        return scores

    def ovrl(self, clip: npt.NDArray[np.float32]) -> float:
        """The mean over windows of 9.01 s, one a second; shape (samples,) at 16 kHz, not empty."""
        import numpy as np

        if len(clip) < WINDOW:
            clip = np.tile(clip, -(-WINDOW // len(clip)))[:WINDOW]
        values = []
        for start in range(0, len(clip) - WINDOW + 1, HOP):
            (raw,) = self._session.run(None, {"input_1": clip[None, start : start + WINDOW]})
            values.append(float(np.polyval(OVRL, raw[0][2])))
        return sum(values) / len(values)

    def step_down(self, error: Exception) -> str | None:
        return None

    def release(self) -> None:
        self._session = None
