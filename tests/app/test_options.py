"""No option does nothing: each, changed alone, changes a named field of the output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.audio import decode
from app.inputs import sample
from tests.app.conftest import RunApp
from tests.app.sounds import prompts, tiny_en, write_wav

Written = dict[str, Any]
Transcribe = Callable[..., Written]


@pytest.fixture
def transcribe(
    run_app: RunApp, environment: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Transcribe:
    """Run it on 15 s of the telephone talk with these options; its JSON. Nothing that was finished before is reused:
    neither batch size nor threads are a reason to do it again.
    """
    talk = write_wav(tmp_path / "talk.wav", decode(sample()).waveform[6 * 16_000 : 21 * 16_000])

    def run(*options: str | Path, model: str = "tiny.en", recording: Path = talk) -> Written:
        environment["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
        done = run_app("transcribe", recording, "-f", "json", "--model", model, *options)
        assert done.returncode == 0, done.stderr
        written: Written = json.loads((tmp_path / f"{recording.stem}.json").read_text())
        return written

    return run


def text(written: Written) -> str:
    return " ".join(segment["text"] for segment in written["segments"])


def words(written: Written, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(word[name] for name in fields) for segment in written["segments"] for word in segment["words"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        (["--compute-type", "float32"], "compute_type", "float32"),
        (["--threads", "1"], "threads", 1),
        (["--asr", "whisperx", "--vad", "silero"], "engine", "whisperx"),
        (["--model", str(tiny_en())], "model", str(tiny_en())),
    ],
)
def test_how_it_was_recognised_is_in_the_output(
    transcribe: Transcribe, option: list[str], field: str, value: object
) -> None:
    assert transcribe()["asr"][field] != value
    assert transcribe(*option)["asr"][field] == value


@pytest.mark.slow
def test_compute_type(transcribe: Transcribe) -> None:
    assert words(transcribe(), "score") != words(transcribe("--compute-type", "float32"), "score")


@pytest.mark.slow
def test_beam_size(transcribe: Transcribe) -> None:
    """Following one way alone, another text or other probabilities come out."""
    one, five = transcribe("--beam-size", "1"), transcribe()

    assert words(one, "word", "score") != words(five, "word", "score")


@pytest.mark.slow
def test_batch_size(transcribe: Transcribe, tmp_path: Path) -> None:
    long = write_wav(tmp_path / "long.wav", np.tile(decode(sample()).waveform[6 * 16_000 :], 2))

    assert transcribe(recording=long)["asr"]["batch_size"] == 2  # on a processor at most one a thread
    assert transcribe("--batch-size", "1", recording=long)["asr"]["batch_size"] == 1
    whole = transcribe("--asr", "whisperx", recording=long)["asr"]["batches"]
    assert transcribe("--asr", "whisperx", "--batch-size", "1", recording=long)["asr"]["batches"] > whole


@pytest.mark.slow
def test_vad(transcribe: Transcribe) -> None:
    """Another detector finds other bounds, and so the words other times."""
    assert words(transcribe(), "start") != words(transcribe("--vad", "pyannote"), "start")


@pytest.mark.slow
def test_prompt(transcribe: Transcribe) -> None:
    """It spells names as it is told to."""
    told = transcribe("--prompt", "Dianne, from New Jersey, talks to Shiela, from Texas.")

    assert "Diane" in text(transcribe())
    assert "Dianne" in text(told)


@pytest.mark.slow
def test_hotwords(transcribe: Transcribe) -> None:
    assert words(transcribe(), "word", "score") != words(transcribe("--hotwords", "Dianne Shiela"), "word", "score")


@pytest.fixture
def spanish() -> Path:
    found = {path.stem: path for _, path in prompts("es", "es_MX_f_Allison")}
    if not found:
        pytest.skip("Debian's asterisk-core-sounds-es-g722 and -es are not installed")
    return found["agent-alreadyon"]


@pytest.mark.slow
def test_language(transcribe: Transcribe, spanish: Path) -> None:
    detected = transcribe(recording=spanish, model="base")
    told = transcribe("--language", "pt", recording=spanish, model="base")

    assert (detected["language"], told["language"]) == ("es", "pt")
    assert detected["language_probability"] < told["language_probability"] == 1.0
    assert text(detected) != text(told)


@pytest.mark.slow
def test_translate(transcribe: Transcribe, spanish: Path) -> None:
    said = text(transcribe(recording=spanish, model="base"))
    translated = transcribe("--translate", recording=spanish, model="base")

    assert "agente" in said.lower()
    assert "agent" in text(translated).lower()
    assert "agente" not in text(translated).lower()
    assert translated["asr"]["task"] == "translate"
    assert translated["language"] == "es"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speakers", "0"], "--speakers: 0: must be an integer of at least 1"),
        (["--speakers", "2", "--max-speakers", "3"], "--speakers says exactly how many"),
        (["--min-speakers", "3", "--max-speakers", "2"], "--min-speakers 3 is more than --max-speakers 2"),
        (["--names", "Ann,,Bob"], "a name is empty"),
        (["--names", "Ann,Ann"], "a name comes twice"),
        (["--language", "xx"], "unknown language 'xx'"),
        (["--translate", "--model", "tiny.en"], "knows English only"),
        (["--beam-size", "0"], "--beam-size: 0: must be an integer of at least 1"),
        (["--diarizer", "./none"], "none"),
        (["--diarizer", "nonsense"], "unknown speaker model 'nonsense'"),
        (["--align-model", "./none"], "none"),
    ],
)
def test_nonsense_is_one_line_before_any_work(run_app: RunApp, tmp_path: Path, options: list[str], said: str) -> None:
    done = run_app("transcribe", "--sample", *options)

    assert done.returncode == 2
    assert said in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("run-app:")]) == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
