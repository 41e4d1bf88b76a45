"""What shapes the dataset: every threshold of Emilia-Pipe, typed, each with where it comes from.

`Paper`: He et al., Emilia: A Large-Scale, Extensive, Multilingual, and Diverse Dataset for Speech Generation (2025,
arXiv 2501.15907), section III; it is the long form of their paper of 2024 (arXiv 2407.05361). `Pipe`: its published
scripts, preprocessors/Emilia of the Amphion repository, for what the paper leaves open.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from app.errors import UsageError
from app.languages import CODES

SAMPLE_RATE = 24_000
"""Of the standardised recording and of the dataset, mono (Paper, standardisation). All times of the pipeline are
counted in these samples: sums over them are exact.
"""

ALL_LANGUAGES = ("all",)


def _setting(default: Any, doc: str, *choices: str, least: float | None = None, most: float | None = None) -> Any:
    metadata = {"doc": doc, "choices": choices, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class EmiliaSettings:
    """The defaults are Emilia's, but for those that `compat` brings back."""

    target_dbfs: float = _setting(-20.0, "RMS level that a recording is brought to, in dBFS (Paper)", most=0.0)
    gain_limit_db: float = _setting(3.0, "at most so much louder or quieter (Paper)", least=0.0)
    peak: str = _setting(
        "limit",
        "limit: the gain stops where the peak reaches full scale. normalise: the peak is put there, whatever the "
        "level was (Paper: it undoes the loudness)",
        "limit",
        "normalise",
    )

    separation_model: str = _setting(
        "",
        "an ONNX model of the UVR-MDX kind, by its path or a known name; empty: none (Pipe: UVR-MDX-NET-Inst_HQ_3)",
    )
    separation_gives: str = _setting(
        "auto",
        "what that model gives, auto: what is known of its name; of the instrumental the voice is what is left (Pipe: "
        "instrumental)",
        "auto",
        "instrumental",
        "vocals",
    )
    separation_n_fft: int = _setting(0, "its FFT's samples, 0: what is known of its name (Pipe: 6144)", least=0)
    separation_hop: int = _setting(1024, "samples between its frames (Pipe)", least=64)
    separation_denoise: bool = _setting(
        True, "run it on the sound and on its negative, and take half the difference: its own noise falls out (Pipe)"
    )

    overlaps: str = _setting(
        "drop", "where several speak at once: drop, or keep, for the one who has the turn (Pipe)", "drop", "keep"
    )
    longest_turn_s: float = _setting(20.0, "turns up to this pass; longer ones are cut at silences (Pipe)", least=1.0)
    unbroken: str = _setting(
        "equal",
        "speech over longest_s without a silence: in equal parts, or in parts of longest_s and a rest (Pipe)",
        "equal",
        "rest",
    )
    shortest_s: float = _setting(3.0, "of a segment (Paper)", least=0.1)
    longest_s: float = _setting(30.0, "of a segment (Paper)", least=1.0, most=30.0)
    merge_below_s: float = _setting(3.0, "a shorter one joins the one before, of the same speaker (Pipe)", least=0.0)
    merge_gap_s: float = _setting(2.0, "unless the silence between is this long (Pipe)", least=0.0)
    merge_span_s: float = _setting(30.0, "or both together would be this long (Pipe)", least=0.0)

    languages: tuple[str, ...] = _setting(
        ("en", "zh", "de", "fr", "ja", "ko"), "ISO 639-1 codes that are kept, or all (Paper)"
    )
    prompt: str = _setting("", "text that the recogniser takes for what was said before (Pipe: filler words)")
    language_probability_above: float = _setting(
        0.8, "a segment of a less probable language is dropped (Paper)", least=0.0, most=1.0
    )

    dnsmos_min: float = _setting(3.0, "P.835 OVRL, 1 to 5 (Paper)", least=0.0, most=5.0)
    characters_min: int = _setting(2, "in a segment's text, without spaces and punctuation (Pipe)", least=0)
    iqr_factor: float = _setting(
        1.5, "seconds a character may lie this many interquartile ranges outside the quartiles (Paper)", least=0.0
    )
    rate_over: str = _setting(
        "language",
        "what the quartiles are of: all segments of a language, of the corpus, or of the recording (Paper)",
        "language",
        "corpus",
        "file",
    )

    audio_format: str = _setting("mp3", "of the segments (Pipe: mp3)", "mp3", "flac")
    mp3_kbps: int = _setting(128, "of the mp3 (Pipe sets none: its encoder then takes 32)", least=32, most=160)

    def compat(self) -> EmiliaSettings:
        """The original's choices where ours differ on purpose; docs/emilia.md lists them."""
        return dataclasses.replace(
            self, peak="normalise", overlaps="keep", unbroken="rest", rate_over="file", mp3_kbps=32
        )

    def check(self) -> None:
        """Raises UsageError where two values do not fit together."""
        if 0 < self.separation_n_fft < 256:
            raise UsageError(f"separation_n_fft = {self.separation_n_fft}: must be 0 or at least 256")
        if self.shortest_s >= self.longest_s:
            raise UsageError(f"shortest_s = {self.shortest_s:g} must be below longest_s = {self.longest_s:g}")


SETTINGS = {field.name: field for field in dataclasses.fields(EmiliaSettings)}
_TYPES = get_type_hints(EmiliaSettings)


def read_config(file: Path, base: EmiliaSettings) -> EmiliaSettings:
    """`base` with what this TOML file sets. Raises UsageError that names the file, the key and what would be right."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except ValueError as error:  # no UTF-8, or no TOML: tomllib names line and column
        raise UsageError(f"{file}: not a TOML file: {error}") from None
    return changed(base, data, f"{file}: ")


def changed(base: EmiliaSettings, data: Mapping[str, Any], where: str = "") -> EmiliaSettings:
    """`base` with these values, checked. Raises UsageError that begins with `where`."""
    values = {}
    for key, value in data.items():
        if key not in SETTINGS:
            raise UsageError(f"{where}unknown key {key!r}; known are {', '.join(SETTINGS)}")
        values[key] = _checked(key, value, where)
    settings = dataclasses.replace(base, **values)
    try:
        settings.check()
    except UsageError as error:
        raise UsageError(f"{where}{error}") from None
    return settings


def _checked(key: str, value: Any, where: str) -> Any:
    wanted, rules = _TYPES[key], SETTINGS[key].metadata

    def wrong(right: str) -> UsageError:
        return UsageError(f"{where}{key} = {value!r}: must be {right}")

    if get_args(wanted):  # the languages
        codes = [value] if isinstance(value, str) else value
        if not isinstance(codes, list | tuple) or not all(isinstance(code, str) for code in codes) or not codes:
            raise wrong('a list of ISO 639-1 codes, or "all"')
        codes = tuple(dict.fromkeys(code.lower() for code in codes))
        for code in codes:
            if code not in CODES and codes != ALL_LANGUAGES:
                raise wrong(f'codes that Whisper knows, as en, es, zh, or "all" alone; it does not know {code!r}')
        return codes
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not wanted:
        kinds = {float: "a number", int: "a whole number", str: "a text in quotes", bool: "true or false"}
        raise wrong(kinds[wanted])
    if rules["choices"] and value not in rules["choices"]:
        raise wrong(f"one of {', '.join(rules['choices'])}")
    least, most = rules["least"], rules["most"]
    if wanted in (int, float) and not (
        (least is None or value >= least) and (most is None or value <= most) and abs(value) < 1e9
    ):
        bounds = (f"at {name} {bound:g}" for name, bound in (("least", least), ("most", most)) if bound is not None)
        raise wrong(" and ".join(bounds) or "a finite number")
    return value
