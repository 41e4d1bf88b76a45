"""The recognisers as stages, on real weights and speech: each option, checkpoints, loops, what shapes a text."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.audio import decode
from app.errors import UsageError
from app.inputs import sample
from app.models import find_model
from app.models.identity import EDGE_BYTES, identity
from app.stages import Report, Span, Stage, Work
from app.stages.asr import Asr
from app.stages.asr_chunks import merge_spans
from app.stages.asr_heard import Heard
from app.stages.asr_options import AsrOptions
from app.stages.decode import Decode
from app.stages.ladder import Rung
from app.stages.loops import LOOPS_ABOVE, MOST_REPEATS, compression_ratio, cut_repeats
from app.stages.vad import make_vad
from app.transcript import Segment, Transcript, Word, from_dict
from tests.app.sounds import RATE, prompts, tiny_en

ENGINES = ["faster-whisper", pytest.param("whisperx", marks=pytest.mark.slow)]
TINY = AsrOptions(str(tiny_en()), "cpu", "int8", 8, 2, None)

SILENT: Report = lambda *_: None  # noqa: E731


@cache
def heard(path: Path) -> Work:
    """The file with its speech found."""
    work = Work(path)
    for stage in (Decode(), make_vad("silero", asr="faster-whisper", device="cpu", threads=2)):
        stage.load()
        work = stage.run(work, SILENT)
    return work


def engine(name: str, options: AsrOptions) -> Asr:
    if name == "whisperx":
        from app.stages.asr_whisperx import WhisperX

        return WhisperX(options)
    from app.stages.asr_faster_whisper import FasterWhisper

    return FasterWhisper(options)


@cache
def loaded(name: str, options: AsrOptions) -> Asr:
    stage = engine(name, options)
    stage.load()
    return stage


@cache
def transcript(name: str, options: AsrOptions = TINY, path: Path | None = None) -> Transcript:
    done = loaded(name, options).run(heard(path or sample()), SILENT).transcript
    assert done is not None
    return done


def base() -> str:
    return str(find_model("base", offline=True).path)


def spanish() -> Path:
    found = {path.stem: path for _, path in prompts("es", "es_MX_f_Allison")}
    if "agent-alreadyon" not in found:
        pytest.skip("Debian's asterisk-core-sounds-es-g722 and -es are not installed")
    return found["agent-alreadyon"]


# --- options


@pytest.mark.parametrize("name", ENGINES)
def test_both_engines_give_words_with_times(name: str) -> None:
    done = transcript(name)

    assert len(done.segments) > 8
    words = [word for segment in done.segments for word in segment.words]
    assert " ".join(word.word for word in words) == " ".join(segment.text for segment in done.segments)
    assert all(word.start <= word.end <= 30.0 for word in words)
    assert all(one.start <= other.start for one, other in pairwise(words))
    diane = next(word for word in words if word.word == "Diane")
    assert 12.7 < diane.start < diane.end < 13.6  # between the reference's "this is" and "in New Jersey"


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("option", ["prompt", "hotwords"])
def test_prompt_and_hotwords_spell_the_names(name: str, option: str) -> None:
    assert "Dyanne" not in transcript(name).text
    told = transcript(name, dataclasses.replace(TINY, **{option: "Dyanne and Shiela"}))  # type: ignore[arg-type]

    assert "This is Dyanne" in told.text
    assert "Shiela" in told.text


@pytest.mark.parametrize("name", ENGINES)
def test_beam_size_changes_the_text(name: str) -> None:
    assert transcript(name, dataclasses.replace(TINY, beam_size=1)).text != transcript(name).text


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_task_and_language(name: str) -> None:
    options = dataclasses.replace(TINY, model=base())
    as_spoken = transcript(name, options, spanish())
    translated = transcript(name, dataclasses.replace(options, task="translate"), spanish())
    as_french = transcript(name, dataclasses.replace(options, language="fr"), spanish())

    assert "agente" in as_spoken.text
    assert "agent " in translated.text
    assert "agente" not in translated.text
    assert as_spoken.language == translated.language == "es"
    assert 0.5 < (as_spoken.language_probability or 0) < 1.0
    assert (as_french.language, as_french.language_probability) == ("fr", 1.0)
    assert as_french.text != as_spoken.text
    assert as_spoken.asr
    assert translated.asr == dataclasses.replace(as_spoken.asr, task="translate")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_batch_size_shows_in_what_was_used(name: str) -> None:
    work = Work(
        Path("talk"),
        speech=tuple(Span(40.0 * n + 6.0, 40.0 * n + 11.0) for n in range(6)),  # too far apart for one chunk
        waveform=np.concatenate([np.pad(decode(sample()).waveform[: 30 * RATE], (0, 10 * RATE))] * 6),
        duration=240.0,
    )
    used = []
    for size in (1, 2):
        stage = engine(name, dataclasses.replace(TINY, batch_size=size))
        stage.load()
        done = stage.run(work, SILENT).transcript
        assert done is not None
        assert done.asr is not None
        used.append((done.asr.batch_size, done.asr.batches))
    (one, calls), (two, fewer) = used
    assert (one, two) == (1, 2)
    # On a processor faster-whisper has each chunk in a call of its own, so many side by side.
    assert calls == (fewer if name == "faster-whisper" else 2 * fewer) >= 6


def test_what_was_used_stands_in_the_transcript() -> None:
    named = dataclasses.replace(TINY, name="tiny.en", compute_type="auto", device="auto", threads=1)
    done = transcript("faster-whisper", named)

    assert done.asr is not None
    assert dataclasses.asdict(done.asr) | {"device": "", "compute_type": ""} == {
        "engine": "faster-whisper",
        "model": "tiny.en",
        "task": "transcribe",
        "device": "",
        "compute_type": "",
        "batch_size": 1,
        "batches": 1,
        "threads": 1,
    }
    assert done.asr.device in ("cpu", "cuda")
    assert done.asr.compute_type in ("int8", "float16")
    assert from_dict(json.loads(json.dumps(dataclasses.asdict(done)))) == done
    older = dataclasses.asdict(done)
    del older["asr"]
    assert from_dict(older) == dataclasses.replace(done, asr=None)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"language": "es"}, "knows English alone and can't hear the language 'es'"),
        ({"task": "translate"}, "knows English alone and can't translate"),
        ({"prompt": "word " * 150, "hotwords": "word " * 100}, "are 250 tokens long"),
    ],
)
def test_what_a_model_cannot_do_is_refused(name: str, change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as error:
        engine(name, dataclasses.replace(TINY, name="tiny.en", **change)).load()
    assert str(error.value).count("tiny.en") == 1


def test_a_language_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="base does not know the language 'yue'"):
        engine("faster-whisper", dataclasses.replace(TINY, model=base(), name="base", language="yue")).load()


# --- what shapes a result


def test_shape_changes_with_what_changes_the_text() -> None:
    shape = engine("faster-whisper", TINY).shape()
    json.dumps(shape)
    changes: dict[str, Any] = {
        "model": base(),
        "compute_type": "float32",
        "language": "en",
        "task": "translate",
        "beam_size": 1,
        "prompt": "x",
        "hotwords": "x",
    }
    for field, value in changes.items():
        other = engine("faster-whisper", dataclasses.replace(TINY, **{field: value})).shape()
        assert {key for key in shape if shape[key] != other[key]} == {field}
    whisperx = engine("whisperx", TINY).shape()
    assert {key for key in shape if shape[key] != whisperx[key]} == {"engine", "libraries"}
    same = dataclasses.replace(TINY, batch_size=1, threads=1, compute_type="auto", device="auto", name="tiny.en")
    if shape["device"] == "cpu":
        assert engine("faster-whisper", same).shape() == shape


def test_identity_is_the_content_and_not_the_place(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "model.bin").write_bytes(b"a" * 3 * EDGE_BYTES)
    (one / "config.json").write_text("{}")
    first = identity(one)
    assert identity(Path(shutil.copytree(one, tmp_path / "two"))) == first
    (one / ".hidden").touch()
    assert identity(one) == first
    for at in (0, 3 * EDGE_BYTES - 1):
        with (one / "model.bin").open("r+b") as file:
            file.seek(at)
            file.write(b"b")
        assert identity(one) != first
        first = identity(one)
    (one / "config.json").write_text("[]")
    assert identity(one) != first
    assert identity(one / "model.bin") not in (first, identity(one / "config.json"))


def test_a_model_that_differs_inside_alone_is_another(tmp_path: Path) -> None:
    """Further training leaves the first and the last layer, as often as not."""
    whole = (tiny_en() / "model.bin").read_bytes()
    middle = len(whole) // 2
    for folder, content in (("a", whole), ("b", whole[:middle] + bytes(1 << 21) + whole[middle + (1 << 21) :])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_bytes(content)

    assert identity(tmp_path / "a") != identity(tmp_path / "b")


@pytest.mark.parametrize(
    "stage",
    [
        Decode(),
        make_vad("silero", asr="faster-whisper", device="cpu", threads=2),
        make_vad("silero", asr="whisperx", device="cpu", threads=2),
        make_vad("pyannote", asr="whisperx", device="cpu", threads=2),
        engine("faster-whisper", TINY),
    ],
    ids=["decode", "silero onnx", "silero torch", "pyannote", "asr"],
)
def test_pack_and_unpack_are_inverse(stage: Stage) -> None:
    before = Work(sample()) if stage.name == "decode" else heard(sample())
    stage.load()
    done = stage.run(dataclasses.replace(before, notes=("earlier",)), SILENT)
    stage.release()
    data = json.loads(json.dumps(stage.pack(done)))
    json.dumps(stage.shape())

    again = stage.unpack(dataclasses.replace(before, notes=("earlier",)), data)

    assert dataclasses.replace(again, waveform=None) == dataclasses.replace(done, waveform=None)
    assert stage.step_down(ValueError("no memory problem")) is None


def test_detectors_have_shapes_of_their_own() -> None:
    pairs = [("silero", "faster-whisper"), ("silero", "whisperx"), ("pyannote", "whisperx")]
    shapes = [make_vad(name, asr=asr, device="cpu", threads=1).shape() for name, asr in pairs]
    assert len({json.dumps(shape) for shape in shapes}) == 3


def test_a_full_card_sends_pyannote_to_the_processor() -> None:
    vad = make_vad("pyannote", asr="whisperx", device="auto", threads=1)
    assert vad.step_down(RuntimeError("CUDA out of memory.")) == "device cuda -> cpu"
    assert vad.step_down(RuntimeError("CUDA out of memory.")) is None


# --- checkpoints


class CutError(Exception):
    pass


class Lines:
    """A checkpoint in memory, which ends the run at its n-th line."""

    def __init__(self, ends_after: int | None = None) -> None:
        self.kept: list[str] = []
        self.ends_after = ends_after

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.kept]

    def add(self, data: Any) -> None:
        self.kept.append(json.dumps(data))
        if len(self.kept) == self.ends_after:
            raise CutError


def long_talk(model: str) -> tuple[Work, AsrOptions]:
    """Five chunks for batches of two."""
    waveform = np.concatenate([decode(sample()).waveform] * 5)
    speech = tuple(Span(30.0 * n + 6.0, 30.0 * n + 30.0) for n in range(5))
    return Work(Path("talk"), waveform, 150.0, speech=speech), dataclasses.replace(TINY, model=model, batch_size=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_an_interrupted_run_goes_on_where_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, options = long_talk(base() if name == "faster-whisper" else TINY.model)
    stage = loaded(name, options)
    calls: list[int] = []
    asked: list[int] = []
    real, choose = stage.decode, stage._begin

    def counted(work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        calls.append(len(batch))
        return real(work, batch, language)

    def choosing(work: Work, chunks: list[Span]) -> Heard:
        asked.append(len(chunks))
        return choose(work, chunks)

    monkeypatch.setattr(stage, "decode", counted)
    monkeypatch.setattr(stage, "_begin", choosing)

    whole = stage.run(work, SILENT)
    batches = len(calls)
    assert batches >= 3
    ends_after = batches - 1  # so that several lines have to be read
    calls.clear()
    asked.clear()
    checkpoint = Lines(ends_after)
    under_way = dataclasses.replace(work, checkpoint=checkpoint)
    with pytest.raises(CutError):
        stage.run(under_way, SILENT)
    others = stage.calls()[0] - 1  # calls that were under way when it ended
    assert ends_after <= len(calls) <= ends_after + others
    done = stage.run(under_way, SILENT)

    assert batches <= len(calls) <= batches + others
    assert len(asked) == 1
    assert done.transcript == whole.transcript
    assert done.notes == whole.notes
    assert whole.transcript is not None
    assert whole.transcript.asr is not None
    assert whole.transcript.asr.batches == batches


@pytest.mark.slow
def test_a_finished_checkpoint_asks_the_model_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    work, options = long_talk(TINY.model)
    stage = loaded("faster-whisper", options)
    under_way = dataclasses.replace(work, checkpoint=Lines())
    first = stage.run(under_way, SILENT)
    monkeypatch.setattr(stage, "decode", lambda *_: pytest.fail("decoded again"))

    assert stage.run(under_way, SILENT).transcript == first.transcript


# --- stepping down


class OutOfMemoryError(RuntimeError):
    """As torch's."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_after_an_error_of_memory_smaller_batches_go_on(name: str) -> None:
    work, options = long_talk(TINY.model)
    stage = engine(name, dataclasses.replace(options, batch_size=4))
    stage.load()
    before = stage.rung().batch_size
    assert before == (2 if name == "faster-whisper" else 4)  # on a processor at most one a thread
    after = before // 2
    checkpoint = Lines()
    under_way = dataclasses.replace(work, checkpoint=checkpoint)
    real = stage.decode
    sizes: list[int] = []

    def decode(work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        if stage.rung().batch_size == before:
            raise RuntimeError("CUDA failed with error out of memory")
        sizes.append(len(batch))
        return real(work, batch, language)

    stage.decode = decode  # type: ignore[method-assign]
    with pytest.raises(RuntimeError) as error:
        stage.run(under_way, SILENT)
    assert stage.step_down(error.value) == f"batch size {before} -> {after}"
    stage.release()
    assert stage.load().endswith("1 worker of 2 threads" if name == "faster-whisper" else f"batch {after}")
    real = type(stage).decode.__get__(stage)
    done = stage.run(under_way, SILENT).transcript

    assert max(sizes) == after
    assert done is not None
    assert done.asr is not None
    assert (done.asr.batch_size, done.asr.batches) == (after, len(sizes))
    if after > 1:
        assert stage.step_down(MemoryError()) == "batch size 2 -> 1"
    assert stage.step_down(OutOfMemoryError()) is None  # int8 on the processor is the bottom
    assert stage.step_down(ValueError("anything else")) is None


def test_a_type_the_processor_has_too_much_of() -> None:
    stage = engine("faster-whisper", dataclasses.replace(TINY, compute_type="float32", batch_size=1))
    assert stage.step_down(MemoryError()) == "compute type float32 -> int8"
    assert stage.load() == "faster-whisper on cpu, int8, 1 worker of 2 threads"
    assert stage.shape()["compute_type"] == "int8"
    assert stage.rung() == Rung("cpu", "int8", 1, frozenset({("cpu", "float32")}))


def test_the_written_words_end_with_their_sound() -> None:
    work = heard(sample())
    stage = loaded("faster-whisper", TINY)
    chunks = merge_spans(work.speech)
    raw = [word for said in stage.decode(work, chunks, "en") for segment in said for word in segment.words]
    written = [word for segment in transcript("faster-whisper").segments for word in segment.words]

    assert [word.word for word in written] == [word.word.strip() for word in raw]
    longer = [now.end - was.end for was, now in zip(raw, written, strict=True)]
    assert min(longer) >= 0.0
    assert sum(gain > 0.02 for gain in longer) >= 5


# --- loops


def tiled(start: float, end: float, times: int) -> Work:
    """So many times the same piece of the sample, and all of it taken for speech."""
    piece = decode(sample()).waveform[int(start * RATE) : int(end * RATE)]
    waveform = np.tile(piece, times)[: 30 * RATE]
    seconds = len(waveform) / RATE
    return Work(Path("loop"), waveform, seconds, speech=(Span(0.0, seconds),))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_a_loop_is_cut_to_a_few_repeats_and_noted(name: str) -> None:
    work = tiled(8.2, 8.9, 40)
    stage = loaded(name, TINY)
    (raw,) = stage.decode(work, [Span(0.0, work.duration)], "en")
    assert compression_ratio("".join(segment.text for segment in raw)) > LOOPS_ABOVE

    first, second = (stage.run(work, SILENT) for _ in range(2))

    assert first.transcript is not None
    assert first.transcript == second.transcript
    assert 1 <= first.transcript.text.lower().count("hello") <= MOST_REPEATS
    assert [note for note in first.notes if "repeats are cut" in note and "0.0 s" in note]


def test_a_chunk_decoded_again_has_its_own_times(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = loaded("faster-whisper", TINY)
    waveform = np.concatenate([np.zeros(100 * RATE, np.float32), decode(sample()).waveform])
    work = Work(Path("talk"), waveform, 130.0, speech=(Span(106.0, 130.0),))
    looping = Segment(106.0, 130.0, " no" * 200, tuple(Word(106.0, 107.0, " no", 0.9) for _ in range(200)))
    monkeypatch.setattr(stage, "decode", lambda work, batch, language: [[looping]])

    done = stage.run(work, SILENT)

    assert done.notes == ("the recogniser repeated itself, and was asked again, at 106.0 s",)
    assert done.transcript is not None
    words = [word for segment in done.transcript.segments for word in segment.words]
    diane = next(word for word in words if word.word == "Diane")
    assert 112.7 < diane.start < diane.end < 113.6
    assert "no no" not in done.transcript.text


@pytest.mark.slow
def test_loops_survive_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = loaded("faster-whisper", dataclasses.replace(TINY, batch_size=1))
    speech = (Span(0.0, 25.0), Span(30.0, 55.0))
    work = Work(Path("loop"), np.zeros(60 * RATE, np.float32), 60.0, speech=speech)

    def looping(work: Work, batch: list[Span], language: str) -> list[list[Segment]]:
        starts = [batch[0].start + n / 10 for n in range(200)]
        words = tuple(Word(start, start + 0.1, " no", 0.9) for start in starts)
        return [[Segment(words[0].start, words[-1].end, " no" * 200, words)]]

    monkeypatch.setattr(stage, "decode", looping)
    monkeypatch.setattr(stage, "_decode_alone", lambda *_: [])
    checkpoint = Lines(1)
    with pytest.raises(CutError):
        stage.run(dataclasses.replace(work, checkpoint=checkpoint), SILENT)
    resumed = stage.run(dataclasses.replace(work, checkpoint=checkpoint), SILENT)

    assert resumed.notes == ("the recogniser repeated itself, and the repeats are cut, at 0.0 s, 30.0 s",)
    assert resumed.transcript == stage.run(work, SILENT).transcript


def spoken(text: str) -> list[Word]:
    return [Word(float(n), n + 0.5, f" {word}", 0.9) for n, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("he said no no no", "he said no no no"),
        ("no no no no", "no no no"),
        ("Well, no. No! no, NO no and so", "Well, no. No! no, and so"),
        ("a b a b a b a b a b a", "a b a b a b a"),
        ("x " * 3 + "a b " * 9 + "c", "x x x a b a b a b c"),
        ("one two three", "one two three"),
        ("", ""),
    ],
)
def test_cutting_repeats(text: str, expected: str) -> None:
    kept = cut_repeats(spoken(text))
    assert "".join(word.word for word in kept).strip() == expected
    assert all(one.start < other.start for one, other in pairwise(kept))


def test_nobody_speaks() -> None:
    stage = engine("faster-whisper", TINY)  # never loaded: it need not be asked
    done = stage.run(Work(Path("silence"), np.zeros(RATE, np.float32), 1.0, notes=("earlier",)), SILENT)

    assert done.transcript == Transcript(None, None, 1.0, ())
    assert done.notes == ("earlier", "no speech was found")


def test_note_of_the_reader_names_ten_places() -> None:
    assert Heard("en", 1.0, [], cut=[1.0, 2.25]).notes() == [
        "the recogniser repeated itself, and the repeats are cut, at 1.0 s, 2.2 s"
    ]
    assert Heard("en", 1.0, [], again=[1.0] * 12).notes()[0].endswith("1.0 s and 2 more places")
    assert Heard("en", 1.0, []).notes() == []
