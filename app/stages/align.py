"""Words placed by a wav2vec2 model that hears characters, with whisperX's search for the best path through them.

Of whisperX's `align` only that search is taken: the words here are known already, so nothing has to split the text
again, and nltk has nothing to download.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.audio import SAMPLE_RATE
from app.models.aligners import Aligner, AlignModel
from app.models.identity import identity
from app.stages import Report, Work
from app.stages.ladder import trouble
from app.transcript import Segment, Transcript, Word, from_dict

VERSION = 1
"""Goes up when the same words over the same samples would get other times."""
PAD_S = 0.25
"""Heard before and after a segment, as far as the neighbours leave room: its own bounds are the recogniser's guess."""
LEAST_SAMPLES = 400
"""wav2vec2's first layers see no less (25 ms)."""
WILDCARD = -1
"""In the place of a character that the model does not know: whatever it hears best there."""

Placed = tuple[float, float, float]
"""Start, end and score."""


class Align:
    """Better word times, where a model for the language is at hand."""

    name = "align"
    reads: tuple[str, ...] = ("decode", "asr")
    at_once = 1

    def __init__(self, aligner: Aligner, device: str, threads: int) -> None:
        self._aligner, self._device, self._threads = aligner, device, threads
        self._model: Any = None
        self._loaded: AlignModel | None = None
        self._dictionary: Mapping[str, int] = {}

    def shape(self) -> dict[str, object]:
        models = {model.language or "": identity(Path(model.path)) for model in self._aligner.models}
        return {"version": VERSION, "search": f"whisperx {version('whisperx')}", "pad_s": PAD_S, "models": models}

    def load(self, works: Sequence[Work] = ()) -> str:
        """Only the device is chosen: the language of a file says which model, and few of them fit at once."""
        import torch

        torch.set_num_threads(self._threads)
        if self._device != "cpu" and not torch.cuda.is_available():
            self._device = "cpu"
        models = self._aligner.models
        which = models[0].name if len(models) == 1 else f"wav2vec2 for {', '.join(str(m.language) for m in models)}"
        return f"{which} on {'cpu' if self._device == 'cpu' else 'cuda'}"

    def take_up(self, other: Any) -> bool:
        return isinstance(other, Align) and (other._aligner, other._threads) == (self._aligner, self._threads)

    def run(self, work: Work, report: Report) -> Work:
        transcript = work.transcript
        assert transcript is not None
        assert work.waveform is not None
        model, why = self._model_for(transcript)
        if model is None:
            return dataclasses.replace(work, notes=(*work.notes, why)) if why else work
        self._use(model)
        segments: list[Segment] = []
        before = 0.0
        following = [*(segment.start for segment in transcript.segments[1:]), work.duration]
        for segment, after in zip(transcript.segments, following, strict=True):
            start = min(segment.start, max(before, segment.start - PAD_S))
            end = max(segment.end, min(after, segment.end + PAD_S))
            before = segment.end
            piece = work.waveform[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
            segments.append(merge(segment, self._place(segment.words, piece, start)))
            report(end, work.duration)
        aligned = dataclasses.replace(transcript, segments=in_order(segments))
        return dataclasses.replace(work, transcript=aligned)

    def release(self) -> None:
        self._model = self._loaded = None

    def step_down(self, error: Exception) -> str | None:
        if self._device == "cpu" or trouble(error) != "card memory":
            return None
        self._device = "cpu"
        return "device cuda -> cpu"

    def pack(self, work: Work) -> Any:
        assert work.transcript is not None
        return dataclasses.asdict(work.transcript)

    def unpack(self, work: Work, data: Any) -> Work:
        return dataclasses.replace(work, transcript=from_dict(data))

    def _model_for(self, transcript: Transcript) -> tuple[AlignModel | None, str]:
        """The model for this transcript; or none, and why."""
        why = ""
        if not transcript.segments:
            return None, why
        if transcript.asr and transcript.asr.task == "translate":
            why = "the words are a translation: nothing in the recording to align them with"
        elif model := self._aligner.of(transcript.language):
            return model, why
        else:
            why = f"no alignment model for {transcript.language}: the word times are the recogniser's own"
        return None, why

    def _use(self, model: AlignModel) -> None:
        """Have this model loaded, and no other."""
        if self._loaded == model:
            return
        self.release()
        if model.kind == "torchaudio":
            from torchaudio import pipelines

            file = Path(model.path)
            if not file.is_file():  # the bundle would fetch it, without a word
                raise FileNotFoundError(f"{file} is gone")
            bundle = getattr(pipelines, model.name)
            self._model = bundle.get_model(dl_kwargs={"model_dir": str(file.parent)})
            labels = {label: place for place, label in enumerate(bundle.get_labels())}
        else:
            import json

            from transformers import Wav2Vec2ForCTC

            self._model = Wav2Vec2ForCTC.from_pretrained(model.path, local_files_only=True)
            labels = json.loads((Path(model.path) / "vocab.json").read_bytes())
        self._model.to(self._device_name())
        self._dictionary = {label.lower(): place for label, place in labels.items()}
        self._loaded = model

    def _device_name(self) -> str:
        return "cpu" if self._device == "cpu" else "cuda"

    def _emissions(self, piece: Any) -> Any:
        """Log probabilities of the characters: shape (frames, characters), on the processor. `piece`: (samples,)."""
        import torch

        assert self._loaded is not None
        batch = torch.from_numpy(piece.copy())[None]
        if self._loaded.kind == "transformers":  # as its feature extractor would; torchaudio's models do it themselves
            batch = (batch - batch.mean()) / torch.sqrt(batch.var(unbiased=False) + 1e-7)
        batch = torch.nn.functional.pad(batch, (0, max(0, LEAST_SAMPLES - batch.shape[1])))
        with torch.inference_mode():
            heard = self._model(batch.to(self._device_name()))
        logits = heard[0] if self._loaded.kind == "torchaudio" else heard.logits
        return torch.log_softmax(logits[0].float(), dim=-1).cpu()

    def _place(self, words: Sequence[Word], piece: Any, offset: float) -> list[Placed | None]:
        """Where each word is; None where the model has no character for it, or finds no path."""
        import torch
        from whisperx.alignment import backtrack, get_trellis, merge_repeats

        tokens, owners = spell([word.word for word in words], self._dictionary)
        if not any(token != WILDCARD for token in tokens) or not len(piece):
            return [None] * len(words)
        blank = next((self._dictionary[name] for name in ("[pad]", "<pad>") if name in self._dictionary), 0)
        emissions = self._emissions(piece)
        heard = emissions.clone()
        heard[:, blank] = -float("inf")
        # The wildcard is one more character.
        emissions = torch.cat([emissions, heard.max(dim=1, keepdim=True).values], dim=1)
        tokens = [emissions.shape[1] - 1 if token == WILDCARD else token for token in tokens]
        path = backtrack(get_trellis(emissions, tokens, blank), emissions, tokens, blank)
        if path is None:
            return [None] * len(words)
        seconds = len(piece) / SAMPLE_RATE / len(emissions)
        characters = merge_repeats(path, "?" * len(tokens))
        unknown = {owner for owner, token in zip(owners, tokens, strict=True) if token == emissions.shape[1] - 1}
        placed: list[Placed | None] = []
        for number in range(len(words)):
            own = [char for char, owner in zip(characters, owners, strict=True) if owner == number]
            if not own or number in unknown:
                placed.append(None)
                continue
            score = sum(char.score for char in own) / len(own)
            start, end = own[0].start * seconds + offset, own[-1].end * seconds + offset
            placed.append((round(start, 3), round(end, 3), round(float(score), 3)))
        return placed


def spell(words: Sequence[str], dictionary: Mapping[str, int]) -> tuple[list[int], list[int | None]]:
    """The words as the model's outputs, and for each output the number of its word, None between two words.

    A word of which the model knows some characters is spelled by those; of one it knows nothing of, digits say,
    each letter is a wildcard, so that its time is not given to its neighbours. Punctuation is not heard.
    """
    tokens: list[int] = []
    owners: list[int | None] = []
    for number, word in enumerate(words):
        letters = [letter for letter in word.lower() if letter != "|"]
        own = [dictionary[letter] for letter in letters if letter in dictionary]
        own = own or [WILDCARD for letter in letters if letter.isalnum()]
        if own and tokens and "|" in dictionary:
            tokens.append(dictionary["|"])
            owners.append(None)
        tokens += own
        owners += [number] * len(own)
    return tokens, owners


def merge(segment: Segment, placed: Sequence[Placed | None]) -> Segment:
    """The segment with its words where they were found; one that was not keeps its time, between its neighbours."""
    words: list[Word] = []
    for number, (word, place) in enumerate(zip(segment.words, placed, strict=True)):
        if place:
            words.append(dataclasses.replace(word, start=place[0], end=place[1], score=place[2]))
            continue
        after = next((other[0] for other in placed[number:] if other), float("inf"))
        before = words[-1].end if words else -float("inf")
        start = min(max(word.start, before), after)
        words.append(dataclasses.replace(word, start=start, end=max(start, min(word.end, after))))
    if not words:
        return segment
    return dataclasses.replace(segment, start=words[0].start, end=words[-1].end, words=tuple(words))


def in_order(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments with times that never go back: a word begins no earlier than the one before it."""
    latest = 0.0
    ordered: list[Segment] = []
    for segment in segments:
        words: list[Word] = []
        for word in segment.words:
            latest = max(latest, word.start)
            words.append(dataclasses.replace(word, start=latest, end=max(latest, word.end)))
        if words:
            segment = dataclasses.replace(segment, start=words[0].start, end=words[-1].end, words=tuple(words))
        ordered.append(segment)
    return tuple(ordered)
