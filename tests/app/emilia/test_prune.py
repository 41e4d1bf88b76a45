"""What the dataset has no use for any more: said, and removed on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.conftest import RunApp
from tests.app.sounds import tone, write_wav

pytestmark = pytest.mark.slow
MODELS = ("--model", "tiny.en", "--diarizer", "embedded", "--offline")


def results(out: Path) -> set[str]:
    ledger = out / ".run-app-emilia"
    return {path.name for name in ("done", "audio") for path in (ledger / name).iterdir()}


def test_what_nothing_needs_any_more_is_said_and_goes_with_prune_alone(run_app: RunApp, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in" / "a.wav", tone(1))
    write_wav(tmp_path / "in" / "b.wav", tone(1, hertz=300))
    (out / "mine").mkdir(parents=True)  # no folder of ours: there it stays
    first = run_app("emilia", "in", "out", *MODELS)
    assert first.returncode == 0, first.stderr
    both = results(out)
    (tmp_path / "in" / "b.wav").unlink()
    part = out / ".run-app-emilia" / "audio" / ".key.1.part.flac"
    part.write_bytes(b"half")

    kept = run_app("emilia", "in", "out", *MODELS)

    assert kept.returncode == 0
    assert "1 folder is of recordings that IN has not: in no table; --prune removes them" in kept.stderr
    assert not part.exists()
    assert results(out) >= both
    assert len(list(out.glob("b-*"))) == 1

    pruned = run_app("emilia", "in", "out", *MODELS, "--prune")

    assert "pruned: 1 folder, and" in pruned.stderr
    assert not list(out.glob("b-*"))
    assert (out / "mine").is_dir()
    left = results(out)
    assert left < both
    again = run_app("emilia", "in", "out", *MODELS)
    assert "standardise:" not in again.stderr
    assert results(out) == left
