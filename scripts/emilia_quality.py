"""What `emilia` keeps of speech whose voices, texts and edges are known, and of what is no speech. For
scripts/bench_emilia.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from emilia_reference import Stretch, beyond, common, errors, fitting, sounds, total, united
from emilia_runs import emilia
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from tests.app.sounds import RATE, tone, write_wav
from tests.app.voices import FOUR_VOICES, PAUSE_WITHIN_S, Prompt, Reading, read_out

ES = "es_MX_f_Allison"
EN, FR, IT, RU = FOUR_VOICES
FIVE = (*FOUR_VOICES, ES)
EDGE_S = 0.1
"""An edge so near to the end of a stretch of speech does not cut it."""
CHANGE_S = 0.5
"""So near to where a second voice begins or ends, an edge is there for its sake."""
SHORTEST_S = 3.0
"""What is shorter can be no segment."""
NORMALISE = {"en": EnglishTextNormalizer()}
OTHERS = BasicTextNormalizer(remove_diacritics=True)


def talks() -> dict[str, Reading]:
    """By file name; about eight minutes."""
    found = {f"five-{n}.wav": read_out(FIVE, 75, n) for n in range(3)}
    found["long-0.wav"] = read_out([EN, ES], 70, 10, turn_s=(25, 45))
    found["long-1.wav"] = read_out([FR, IT, RU], 70, 11, turn_s=(25, 45))
    found["overlapping.wav"] = read_out([EN, FR, IT], 70, 12, turn_s=(6, 12), between_s=(-2.0, -1.0))
    return found


def write_no_speech(folder: Path) -> dict[str, str]:
    """What no segment should be of, by file name in words."""
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * RATE).astype(np.float32)
    one, other = (read_out([voice], 20, 20).waveform for voice in (EN, IT))
    length = min(len(one), len(other))
    write_wav(folder / "silence.wav", np.zeros(20 * RATE, np.float32))
    write_wav(folder / "noise.wav", noise)
    write_wav(folder / "tones.wav", (tone(20, hertz=262) + tone(20, hertz=330) + tone(20, hertz=392)) / np.float32(3))
    write_wav(folder / "second.wav", one[RATE : 2 * RATE])
    write_wav(folder / "both.wav", (one[:length] + other[:length]) / np.float32(2))
    (folder / "corrupt.mp3").write_bytes(bytes(range(256)) * 64)
    return {
        "silence.wav": "20 s of digital silence",
        "noise.wav": "20 s of white noise",
        "tones.wav": "20 s of a chord",
        "second.wav": "one second of speech",
        "both.wav": f"{length / RATE:.0f} s of two voices at once",
        "corrupt.mp3": "16 KiB of no sound",
    }


def print_quality(folder: Path, *, compat: bool) -> None:
    source = folder / "in"
    source.mkdir()
    said = talks()
    for name, talk in said.items():
        write_wav(source / name, talk.waveform)
    others = write_no_speech(source)
    columns: dict[str, Outcome] = {}
    for title, more in (("default", []), *([("--compat", ["--compat"])] if compat else [])):
        out = folder / title.strip("-")
        emilia(folder, source, out, *more, codes="1")  # the corrupt one
        columns[title] = Outcome(said, out)
    seconds = sum(talk.duration for talk in said.values())
    number = sum(len(talk.prompts) for talk in said.values())
    print(f"{number} prompts, {seconds / 60:.1f} minutes in {len(said)} recordings, {len(FIVE)} voices and languages\n")
    table = [dict(outcome.rows()) for outcome in columns.values()]
    print("| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name in table[0]:
        print(f"| {name} | " + " | ".join(column.get(name, "") for column in table) + " |")
    print(f"\n{RULES}\n")
    print("| file | | " + " | ".join(columns) + " |\n|---|---|" + "---|" * len(columns))
    for name, what in others.items():
        print(f"| {name} | {what} | " + " | ".join(each.became(name) for each in columns.values()) + " |")
    print(flush=True)


RULES = f"""\
A segment's voice is the one that speaks longest in it; purity is its share of the speech. A speaker is counted by its
number, without the language in its name; Allison's English and Spanish may be one speaker or two. What could have been
kept are turns of {SHORTEST_S:.0f} s and more, without what another voice speaks into. A segment's reference is the
text of its prompts; of one that an edge cuts in two, the words from the side that is in, as many as fit best, which
is kind to the recogniser: the first line of word error leaves such segments out. Speech is a stretch of a prompt
without a pause of over {PAUSE_WITHIN_S} s. An edge in it, over {EDGE_S} s from both its ends, cuts a word where the
50 ms before and those after are both louder than a tenth of the speech; not so within {CHANGE_S} s of a second
voice's beginning or end, which has to cut somewhere."""


@dataclass
class Errors:
    """Of words."""

    wrong: int = 0
    words: int = 0

    def add(self, reference: str, heard: str) -> None:
        self.wrong += errors(reference, heard)
        self.words += len(reference.split())

    def __str__(self) -> str:
        return f"{self.wrong / self.words:.3f} of {self.words}" if self.words else "no words"


@dataclass
class Kept:
    """A kept segment beside what is known of its stretch."""

    row: dict[str, Any]
    talk: Reading
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Of each voice's speech in it."""

    def __post_init__(self) -> None:
        for prompt in self.talk.prompts:
            if inside := sum(common(self.stretch, each) for each in prompt.speech):
                self.seconds[prompt.voice] += inside

    @property
    def stretch(self) -> Stretch:
        return self.row["start"], self.row["end"]

    @property
    def voice(self) -> str:
        return max(self.seconds, key=lambda voice: self.seconds[voice], default="")

    @property
    def purity(self) -> float:
        return self.seconds[self.voice] / sum(self.seconds.values()) if self.seconds else 0.0

    def prompts(self) -> Iterator[tuple[Prompt, bool, bool]]:
        """Those in it, and whether it cuts off their beginning, and their end."""
        start, end = self.stretch
        for prompt in self.talk.prompts:
            if common(self.stretch, (prompt.start, prompt.end)) > EDGE_S:
                yield prompt, prompt.start < start - EDGE_S, prompt.end > end + EDGE_S


class Outcome:
    """A finished run over the talks."""

    def __init__(self, said: dict[str, Reading], out: Path) -> None:
        self._said = said
        self._stats = json.loads((out / "stats.json").read_text())
        self._rows = [json.loads(line) for line in (out / "segments.jsonl").read_text().splitlines()]
        self._kept = [
            Kept(row, said[row["source"]]) for row in self._rows if row["dropped"] is None and row["source"] in said
        ]

        found = {name: alone(talk) for name, talk in said.items()}
        self._possible = {name: single for name, (single, _) in found.items()}
        self._overlapped = {name: several for name, (_, several) in found.items()}

    def rows(self) -> Iterator[tuple[str, str]]:
        """The table's lines."""
        kept = self._kept
        if not kept:
            yield "kept segments", "0"
            return
        yield "kept segments", f"{len(kept)}"
        long = sum(end - start for every in self._possible.values() for start, end in every)
        got = sum(common(each.stretch, one) for each in kept for one in self._possible[each.row["source"]])
        whole = sum(each.row["duration"] for each in kept)
        both = sum(common(each.stretch, one) for each in kept for one in self._overlapped[each.row["source"]])
        yield "seconds kept", f"{whole:.1f}"
        yield "of what could have been kept", f"{got:.1f} of {long:.1f} s, {got / long:.1%}"
        for reason, lost in self._lost().items():
            yield f"segments dropped: {reason}", f"{len(lost)}, {sum(lost):.1f} s"
        yield "two voices at once within kept segments", f"{both:.1f} of {total(self._overlapped):.1f} s"
        purity = [each.purity for each in kept]
        impure = sum(each < 0.99 for each in purity)
        yield "purity: mean, worst", f"{np.mean(purity):.2%}, {min(purity):.1%}"
        yield "segments below 99 % purity", f"{impure}"
        right = sum(each.voice[:2] == each.row["language"] for each in kept)
        yield "language right", f"{right} of {len(kept)}"
        yield from self._word_errors()
        yield from self._edges()
        yield from self._speakers()

    def became(self, name: str) -> str:
        """Of a file of no speech."""
        for each in self._stats["failed"]:
            if each["path"] == name:
                return f"failed: {each['reason'].replace('|', '/').rpartition(name)[2].lstrip(': ')}"
        lengths = [row["duration"] for row in self._rows if row["source"] == name and row["dropped"] is None]
        if lengths:
            return f"**{len(lengths)} segments, {sum(lengths):.1f} s**"
        judged = Counter(row["dropped"] for row in self._rows if row["source"] == name)
        dropped = ", ".join(f"{number} {reason}" for reason, number in judged.items())
        return f"none: {self._stats['no_segments'][name]}" + (f" ({dropped})" if dropped else "")

    def _lost(self) -> dict[str, list[float]]:
        found: defaultdict[str, list[float]] = defaultdict(list)
        for row in self._rows:
            if row["dropped"] and row["source"] in self._said:
                found[row["dropped"]].append(row["duration"])
        return dict(sorted(found.items()))

    def _word_errors(self) -> Iterator[tuple[str, str]]:
        whole, every = Errors(), Errors()
        by_language: defaultdict[str, Errors] = defaultdict(Errors)
        cut = 0
        for each in self._kept:
            normalise = NORMALISE.get(each.voice[:2], OTHERS)
            heard = normalise(each.row["text"])
            prompts = [(normalise(prompt.text), *edges) for prompt, *edges in each.prompts()]
            reference = fitting(prompts, heard)
            every.add(reference, heard)
            by_language[each.voice[:2]].add(reference, heard)
            if any(before or after for _, before, after in prompts):
                cut += 1
            else:
                whole.add(reference, heard)
        yield "segments that cut a prompt", f"{cut}"
        yield "word error, segments of whole prompts", str(whole)
        yield "word error, all", str(every)
        for language, found in sorted(by_language.items()):
            yield f"- {language}", str(found)

    def _edges(self) -> Iterator[tuple[str, str]]:
        outside: list[float] = []
        within: list[float] = []
        where = Counter(dict.fromkeys(("near", "voices", "pause", "sound"), 0))
        for each in self._kept:
            speech = united(one for prompt in each.talk.prompts for one in prompt.speech)
            changes = [at for one in self._overlapped[each.row["source"]] for at in one]
            for at, first in zip(each.stretch, (True, False), strict=True):
                away = beyond(at, speech, first=first)
                if away >= 0:
                    outside.append(away)
                    continue
                within.append(-away)
                if -away <= EDGE_S:
                    where["near"] += 1
                elif any(abs(at - change) <= CHANGE_S for change in changes):
                    where["voices"] += 1
                else:
                    where["sound" if sounds(each.talk.waveform, at) else "pause"] += 1
        for name, found in (("outside", outside), ("inside", within)):
            yield f"edges {name} of speech", f"{len(found)}"
            if found:
                middle, most = np.percentile(found, (50, 90))
                yield f"- {name}, by s: median, 90th percentile, worst", f"{middle:.2f}, {most:.2f}, {max(found):.2f}"
        yield f"- inside, up to {EDGE_S} s from its end", f"{where['near']}"
        yield "- inside, where another voice begins or ends", f"{where['voices']}"
        yield "- inside, in a pause too short to divide a prompt", f"{where['pause']}"
        yield "- inside, through sound: a word is cut", f"{where['sound']}"

    def _speakers(self) -> Iterator[tuple[str, str]]:
        by_speaker: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        by_voice: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for each in self._kept:
            speaker = each.row["speaker"].rpartition("_")[2]  # without the language: one voice in two is one still
            by_speaker[each.row["source"], speaker][each.voice] += 1
            by_voice[each.row["source"], each.voice].add(speaker)
        mixed = sum(len({person(voice) for voice in voices}) > 1 for voices in by_speaker.values())
        yield "speakers of a recording, of them more than one voice", f"{len(by_speaker)}, {mixed}"
        split = sum(len(speakers) > 1 for speakers in by_voice.values())
        yield "voices of a recording, of them more than one speaker", f"{len(by_voice)}, {split}"


def person(voice: str) -> str:
    """`en_US_f_Allison` and `es_MX_f_Allison` are recorded by one woman."""
    return voice.rpartition("_")[2]


def alone(talk: Reading) -> tuple[list[Stretch], list[Stretch]]:
    """Stretches of one voice that a segment could be of, and those where two speak."""
    turns = []
    for _, group in itertools.groupby(talk.prompts, key=lambda prompt: prompt.voice):
        every = list(group)
        turns.append((every[0].start, every[-1].end))
    overlaps = united(
        (max(one[0], other[0]), min(one[1], other[1]))
        for one, other in itertools.combinations(turns, 2)
        if common(one, other)
    )
    single: list[Stretch] = []
    for start, end in turns:
        for from_, to in overlaps:
            if common((start, end), (from_, to)):
                single.append((start, from_))
                start = to
        single.append((start, end))
    return [each for each in single if each[1] - each[0] >= SHORTEST_S], overlaps
