"""A pipeline in the layout of pyannote's community-1, whose own weights are behind a gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from app.models.speakers import FILES, find_diarizer


def stand_in(folder: Path) -> Path:
    """Real segmentation, and an embedding of the real shape that has learnt nothing: the same work, other speakers."""
    import torch
    from pyannote.audio import __version__
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding.wespeaker import WeSpeakerResNet34

    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        """
dependencies:
  pyannote.audio: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    embedding: $model/embedding
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering: {threshold: 0.6, Fa: 0.07, Fb: 0.8}
  segmentation: {min_duration_off: 0.0}
"""
    )
    found, _ = find_diarizer("embedded", offline=True)
    assert found
    shutil.copy(found.files[0], folder / "segmentation/pytorch_model.bin")
    torch.manual_seed(0)
    embedding = WeSpeakerResNet34()
    about: dict[str, Any] = {
        "versions": {"torch": torch.__version__, "pyannote.audio": __version__},
        "architecture": {"module": type(embedding).__module__, "class": type(embedding).__name__},
        "specifications": Specifications(Problem.REPRESENTATION, Resolution.CHUNK, duration=10.0),
    }
    torch.save(
        {
            "state_dict": embedding.state_dict(),
            "hyper_parameters": dict(embedding.hparams),
            "pyannote.audio": about,
            "pytorch-lightning_version": "2.5.0",
            "epoch": 0,
            "global_step": 0,
        },
        folder / "embedding/pytorch_model.bin",
    )
    random = np.random.default_rng(0)
    lda = np.linalg.qr(random.normal(size=(256, 128)))[0]
    np.savez(folder / "plda/xvec_transform.npz", mean1=np.zeros(256), mean2=np.zeros(128), lda=lda)
    np.savez(folder / "plda/plda.npz", mu=np.zeros(128), tr=np.eye(128), psi=np.linspace(2, 1, 128))
    return folder
