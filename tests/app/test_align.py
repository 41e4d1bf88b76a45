"""Which alignment model is at hand, and what becomes of the words. Real wav2vec2 weights can't be had from packages:
the architecture is real and tiny, its weights are random; what a good model hears is made by hand.
"""

from __future__ import annotations

import json
import re
import shutil
import string
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.models import hub
from app.models.aligners import BUNDLES, DEFAULTS, Aligner, AlignModel, find_aligner
from app.models.folder import ModelError
from app.stages import Work
from app.stages.align import WILDCARD, Align, in_order, merge, spell
from app.transcript import Recognition, Segment, Transcript, Word
from tests.app.hub import LocalHub
from tests.app.sounds import RATE

CHARACTERS = ["<pad>", "|", "'", *string.ascii_lowercase]
FRAME_S = 0.02
"""What a wav2vec2 model hears is told 50 times a second."""


@pytest.fixture(scope="session")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Wav2Vec2ForCTC of a few thousand random weights, saved by transformers."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(CHARACTERS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    folder = tmp_path_factory.mktemp("wav2vec2")
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({name: place for place, name in enumerate(CHARACTERS)}))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of torch and of the hub."""
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path


def put_into_hub_cache(cache: Path, repository: str, folder: Path) -> Path:
    storage = cache / "hub" / f"models--{repository.replace('/', '--')}"
    (storage / "refs").mkdir(parents=True)
    (storage / "refs/main").write_text("1" * 40)
    return Path(shutil.copytree(folder, storage / "snapshots" / ("1" * 40)))


def words(*pieces: tuple[float, float, str]) -> tuple[Word, ...]:
    return tuple(Word(start, end, text, 0.5) for start, end, text in pieces)


def segment(*pieces: tuple[float, float, str]) -> Segment:
    return Segment(pieces[0][0], pieces[-1][1], " ".join(text for _, _, text in pieces), words(*pieces))


def work(*segments: Segment, seconds: float, language: str = "en", task: str = "transcribe") -> Work:
    waveform = np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.1
    asr = Recognition("faster-whisper", "tiny.en", task, "cpu", "int8", 8, 1, 2)
    transcript = Transcript(language, 1.0, seconds, segments, asr=asr)
    return Work(Path("talk.wav"), waveform, seconds, transcript=transcript)


def run(stage: Align, one: Work) -> tuple[Transcript, tuple[str, ...]]:
    stage.load()
    done = stage.run(one, lambda *_: None)
    assert done.transcript is not None
    return done.transcript, done.notes


# --- which model


@pytest.mark.slow
def test_tables_are_those_of_whisperx_and_torchaudio() -> None:
    from torchaudio import pipelines
    from whisperx.alignment import DEFAULT_ALIGN_MODELS_HF, DEFAULT_ALIGN_MODELS_TORCH

    assert DEFAULTS == {**DEFAULT_ALIGN_MODELS_TORCH, **DEFAULT_ALIGN_MODELS_HF}
    assert {name: getattr(pipelines, name)._path for name in DEFAULT_ALIGN_MODELS_TORCH.values()} == BUNDLES


@pytest.mark.slow
def test_auto_takes_what_is_here_and_asks_nobody(cache: Path, tiny_wav2vec2: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(hub, "download_files", lambda *_: pytest.fail("a download"))
    assert find_aligner("auto", None, offline=False) is None

    checkpoint = cache / "torch/hub/checkpoints" / BUNDLES["WAV2VEC2_ASR_BASE_960H"]
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    folder = put_into_hub_cache(cache, DEFAULTS["nl"], tiny_wav2vec2)
    incomplete = put_into_hub_cache(cache, DEFAULTS["pl"], tiny_wav2vec2)
    (incomplete / "model.safetensors").unlink()

    found = find_aligner("auto", None, offline=False)
    assert found is not None
    assert {m.language: (m.kind, m.path) for m in found.models} == {
        "en": ("torchaudio", str(checkpoint)),
        "nl": ("transformers", str(folder)),
    }
    only = find_aligner("auto", "nl", offline=False)
    assert only is not None
    assert [m.language for m in only.models] == ["nl"]
    assert find_aligner("auto", "pl", offline=False) is None
    assert find_aligner("auto", "xx", offline=False) is None


def test_a_named_bundle_is_for_any_language(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no .*wav2vec2_voxpopuli_base_10k_asr_es.pt"):
        find_aligner("VOXPOPULI_ASR_BASE_10K_ES", None, offline=False)
    checkpoint = cache / "torch/hub/checkpoints/wav2vec2_voxpopuli_base_10k_asr_es.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    found = find_aligner("VOXPOPULI_ASR_BASE_10K_ES", None, offline=True)
    assert found is not None
    assert found.of("es") == found.of("gl") == found.models[0]


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_hub_model_is_downloaded_once(
    cache: Path, tiny_wav2vec2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    from huggingface_hub import constants

    folder = Path(shutil.copytree(tiny_wav2vec2, tmp_path / "repository"))
    (folder / "model.safetensors").rename(folder / weights)
    with LocalHub({"somebody/aligner": folder}).serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        with pytest.raises(ModelError, match="--offline forbids"):
            find_aligner("somebody/aligner", None, offline=True)
        found = find_aligner("somebody/aligner", None, offline=False)
        assert found is not None
        assert (Path(found.models[0].path) / weights).is_file()
        asked = len(hub.requests)
        assert find_aligner("somebody/aligner", None, offline=False) == found
        assert len(hub.requests) == asked


def change(name: str, content: str | None) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)

    return apply


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (change("vocab.json", None), "no vocab.json"),
        (change("model.safetensors", None), "no model.safetensors or pytorch_model.bin"),
        (change("config.json", "{"), "damaged"),
        (change("config.json", '{"architectures": ["BertModel"]}'), "takes a Wav2Vec2ForCTC"),
        (change("vocab.json", '{"eng": {"a": 1}}'), "does not number characters"),
        (change("vocab.json", "[1]"), "damaged"),
    ],
)
def test_a_folder_that_is_no_aligner(
    tiny_wav2vec2: Path, tmp_path: Path, damage: Callable[[Path], None], expected: str
) -> None:
    folder = Path(shutil.copytree(tiny_wav2vec2, tmp_path / "m"))
    damage(folder)
    with pytest.raises(ModelError, match=re.escape(expected)) as error:
        find_aligner(str(folder), None, offline=True)
    assert "\n" not in str(error.value)


def test_names_that_mean_nothing() -> None:
    with pytest.raises(ModelError, match="unknown alignment model"):
        find_aligner("wav2vec2", None, offline=True)
    with pytest.raises(ModelError, match="no such folder"):
        find_aligner("/nowhere/at/all", None, offline=True)


# --- the stage


def test_real_architecture_end_to_end(tiny_wav2vec2: Path) -> None:
    one = work(
        segment((0.5, 0.9, "Hello,"), (0.9, 1.4, "world")),
        segment((1.5, 1.8, "42"), (1.8, 2.5, "things.")),
        segment((2.6, 2.61, "Oh")),
        seconds=3.0,
    )
    found = find_aligner(str(tiny_wav2vec2), None, offline=True)
    assert found is not None
    stage = Align(found, "cpu", 1)

    aligned, notes = run(stage, one)

    assert notes == ()
    assert one.transcript is not None
    assert [s.text for s in aligned.segments] == [s.text for s in one.transcript.segments]
    before = [word for s in one.transcript.segments for word in s.words]
    after = [word for s in aligned.segments for word in s.words]
    assert [word.word for word in after] == [word.word for word in before]
    moved = [now.word for was, now in zip(before, after, strict=True) if (was.start, was.end) != (now.start, now.end)]
    assert {"Hello,", "world", "things."} <= set(moved)
    assert all(word.start <= word.end <= 3.0 for word in after)
    assert all(one.start <= other.start for one, other in pairwise(after))
    assert all((s.start, s.end) == (s.words[0].start, s.words[-1].end) for s in aligned.segments)
    assert stage.unpack(one, json.loads(json.dumps(stage.pack(stage.run(one, lambda *_: None))))).transcript == aligned


class Hears(Align):
    """A model that hears exactly these characters, each from its frame on to the next one's."""

    def __init__(self, *heard: tuple[float, str]) -> None:
        super().__init__(Aligner((AlignModel("ideal", "transformers", "/", None),)), "cpu", 1)
        self._heard = heard
        self.pieces: list[float] = []

    def _use(self, model: AlignModel) -> None:
        self._dictionary = {name: place for place, name in enumerate(CHARACTERS)}

    def _place(self, words: Any, piece: Any, offset: float) -> Any:
        self._offset = offset
        return super()._place(words, piece, offset)

    def _emissions(self, piece: Any) -> Any:
        import torch

        frames = round(len(piece) / RATE / FRAME_S)
        self.pieces.append(len(piece) / RATE)
        logits = torch.zeros(frames, len(CHARACTERS))
        logits[:, 0] = 8.0
        for at, character in self._heard:
            frame = round((at - self._offset) / FRAME_S)
            if 0 <= frame < frames:
                logits[frame] = 0.0
                logits[frame, CHARACTERS.index(character)] = 8.0
        return torch.log_softmax(logits, dim=-1)


def test_words_move_to_where_they_are_heard() -> None:
    stage = Hears((1.0, "o"), (1.1, "n"), (1.2, "e"), (1.3, "|"), (1.5, "t"), (1.6, "w"), (1.8, "o"))
    aligned, _ = run(stage, work(segment((0.8, 1.0, "One,"), (1.0, 2.0, "two.")), seconds=3.0))

    one, two = aligned.segments[0].words
    assert (one.word, two.word) == ("One,", "two.")
    assert one.start == pytest.approx(1.0, abs=FRAME_S)
    assert 1.2 <= one.end <= 1.3 + FRAME_S
    assert two.start == pytest.approx(1.5, abs=FRAME_S)
    assert two.end == pytest.approx(1.8, abs=2 * FRAME_S)
    assert one.score > 0.9
    assert (aligned.segments[0].start, aligned.segments[0].end) == (one.start, two.end)
    assert stage.pieces == [pytest.approx(1.7, abs=0.01)]  # 0.25 s more at each end


def test_a_word_the_model_cannot_spell_keeps_its_time() -> None:
    stage = Hears((1.0, "o"), (1.1, "n"), (1.2, "e"), (1.3, "|"), (2.0, "|"), (2.2, "t"), (2.3, "w"), (2.4, "o"))
    before = segment((0.8, 1.2, "one"), (1.45, 1.9, "42"), (1.9, 2.5, "two"))
    aligned, _ = run(stage, work(before, seconds=3.0))

    one, number, two = aligned.segments[0].words
    assert (number.start, number.end, number.score) == (1.45, 1.9, 0.5)
    assert one.end <= 1.4
    assert two.start == pytest.approx(2.2, abs=FRAME_S)


def test_neighbours_are_not_heard_twice() -> None:
    stage = Hears((0.5, "a"), (1.1, "b"))
    run(stage, work(segment((0.4, 1.0, "a")), segment((1.05, 2.0, "b")), seconds=2.1))

    assert stage.pieces == [pytest.approx(0.9, abs=0.01), pytest.approx(1.1, abs=0.01)]  # 0.15-1.05, 1.0-2.1


def test_no_model_for_the_language_is_said() -> None:
    stage = Align(Aligner((AlignModel("x", "transformers", "/", "nl"),)), "cpu", 1)
    before = work(segment((0.4, 1.0, "¡Hola!")), seconds=2.0, language="es")
    aligned, said = run(stage, before)

    assert aligned == before.transcript
    (note,) = said
    assert "es" in note


def test_a_translation_is_not_aligned() -> None:
    before = work(segment((0.4, 1.0, "Hello!")), seconds=2.0, language="es", task="translate")
    aligned, notes = run(Hears((1.0, "h")), before)

    assert aligned == before.transcript
    assert ["translation" in note for note in notes] == [True]


def test_a_card_that_is_full_hands_over_to_the_processor() -> None:
    stage = Align(Aligner(()), "auto", 1)
    assert stage.step_down(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")) == "device cuda -> cpu"
    assert stage.step_down(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")) is None
    assert Align(Aligner(()), "cuda", 1).step_down(ValueError("something else")) is None


# --- pure parts


def test_spelling() -> None:
    dictionary = {"|": 0, "a": 1, "b": 2}
    assert spell(["Ab,", "a"], dictionary) == ([1, 2, 0, 1], [0, 0, None, 1])
    assert spell(["a-1b"], dictionary) == ([1, 2], [0, 0])
    assert spell(["a", "12", "–"], dictionary) == ([1, 0, WILDCARD, WILDCARD], [0, None, 1, 1])
    assert spell(["a", "b"], {"a": 1, "b": 2}) == ([1, 2], [0, 1])  # no space in Chinese


def test_unplaced_words_stay_between_the_placed_ones() -> None:
    before = segment((1.0, 2.0, "a"), (2.0, 3.0, "1"), (3.0, 4.0, "2"), (4.0, 5.0, "b"))
    merged = merge(before, [(1.0, 2.6, 0.9), None, None, (3.1, 5.2, 0.8)])
    assert [(word.start, word.end) for word in merged.words] == [(1.0, 2.6), (2.6, 3.0), (3.0, 3.1), (3.1, 5.2)]
    assert (merged.start, merged.end) == (1.0, 5.2)
    assert merge(Segment(0.0, 1.0, ""), []) == Segment(0.0, 1.0, "")


def test_time_never_goes_back() -> None:
    ordered = in_order([segment((1.0, 2.0, "a"), (0.5, 0.7, "b")), segment((0.9, 3.0, "c"))])
    times = [(word.start, word.end) for one in ordered for word in one.words]
    assert times == [(1.0, 2.0), (1.0, 1.0), (1.0, 3.0)]
    assert ordered[0].end == 1.0
