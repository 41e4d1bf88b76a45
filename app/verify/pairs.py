"""Which versions do not fit each other, or this card: the table, and what it says of an installation.

Only metadata is read: importing the wrong pair is what may abort.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from app.diagnosis import FITTING, misfit
from app.verify import Check, Status

WATCHED = (
    "torch torchcodec torchaudio ctranslate2 faster-whisper whisperx pyannote.audio silero-vad gradio onnxruntime "
    "huggingface-hub python-dotenv av"
).split()
"""Distributions whose versions the report shows."""

STABLE_TORCHAUDIO = (2, 11)
"""torchaudio's own table: each release fits the torch of its own minor version alone; 2.11 is built against torch's
stable ABI, and fits 2.11 and every later torch."""

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-migraphx")
"""Distributions that bring one and the same package, `onnxruntime`."""

Version = tuple[int, ...]


class Known(NamedTuple):
    """A fault that some versions of a package have."""

    id: str
    package: str
    first: Version
    """Of this version and newer; (): of all."""
    mended: Version
    """The first version without it; (): none yet."""
    status: Status
    what: str
    fine: str
    """What is said of a version without it."""
    todo: str
    beside: str = ""
    """Only with this package; "": with any."""
    capability: Version = ()
    """Only on a card of this compute capability and newer; (): without a card, too."""
    compute_type: str = ""
    """Only for compute types that begin so, and for auto; "": for all."""


KNOWN = (
    Known(
        "gradio-redirect",
        "gradio",
        (),
        (6, 20),
        "WARN",
        "its /gradio_api/file=http://... sends whoever follows such a link to any other site (gradio#13593)",
        "its /gradio_api/file= no longer redirects (from 6.20 on)",
        "pip install 'gradio>=6.22,<7' 'huggingface-hub>=1.16'",
    ),
    Known(
        "pyav",
        "av",
        (19,),
        (),
        "FAIL",
        "from 19 on av.open takes no metadata_errors, which run-app and faster-whisper 1.2 pass: nothing is decoded",
        "older than 19, as faster-whisper 1.2 needs it",
        "pip install 'av>=14,<19'",
        beside="faster-whisper",
    ),
    Known(
        "ctranslate2-int8",
        "ctranslate2",
        (),
        (4, 7),
        "FAIL",
        "before 4.7 int8 fails on compute capability 12 with CUBLAS_STATUS_NOT_SUPPORTED (CTranslate2#1865)",
        "int8 works from 4.7 on",
        "pip install 'ctranslate2>=4.7,<5', or --compute-type float16",
        capability=(12, 0),
        compute_type="int8",
    ),
)


def fits(versions: Mapping[str, str], card: Version | None = None, compute_type: str = "auto") -> list[Check]:
    """What the table says of these installed versions, of a card's compute capability and of a compute type.

    What is not installed is not spoken of; neither is a fault of other packages' company.
    """
    checks = [*_torchcodec(versions), *_torchaudio(versions), *_runtimes(versions)]
    for known in KNOWN:
        here = versions.get(known.package)
        if here is None or (known.beside and known.beside not in versions):
            continue
        subject, facts = f"{known.package} {here}", {"version": here}
        if known.capability and card is None:
            checks.append(Check(known.id, subject, "SKIP", "no card here that it would have to fit", "", facts))
        elif (card or ()) >= known.capability and compute_type.startswith((known.compute_type, "auto")):
            bad = numbers(here) >= known.first and not (known.mended and numbers(here) >= known.mended)
            status, found = (known.status, known.what) if bad else ("OK", known.fine)
            checks.append(Check(known.id, subject, status, found, known.todo if bad else "", facts))
    return checks


def _torchcodec(versions: Mapping[str, str]) -> list[Check]:
    torch, codec = versions.get("torch"), versions.get("torchcodec")
    if torch is None or codec is None:
        return []
    subject, facts = f"torch {torch} with torchcodec {codec}", {"torch": torch, "torchcodec": codec}
    if found := misfit(versions):
        said = (
            f"they do not fit: {found.cause.rpartition(': ')[2]}; where FFmpeg's libraries are installed, its import "
        )
        said += "aborts with std::bad_alloc, or fails"
        return [Check("torch-torchcodec", subject, "FAIL", said, found.remedy or "", facts)]
    if numbers(torch)[:2] < FITTING[0][0] or not numbers(codec):
        return [Check("torch-torchcodec", subject, "SKIP", "nothing is known of this pair", "", facts)]
    return [Check("torch-torchcodec", subject, "OK", "they fit", "", facts)]


def _torchaudio(versions: Mapping[str, str]) -> list[Check]:
    torch, audio = versions.get("torch"), versions.get("torchaudio")
    if torch is None or audio is None:
        return []
    subject, facts = f"torch {torch} with torchaudio {audio}", {"torch": torch, "torchaudio": audio}
    minor, its = numbers(torch)[:2], numbers(audio)[:2]
    if its == minor or min(minor, its) >= STABLE_TORCHAUDIO:
        return [Check("torch-torchaudio", subject, "OK", "they fit", "", facts)]
    late = minor >= STABLE_TORCHAUDIO
    takes, pin = ("2.11 or newer", ">=2.11") if late else (f"{_dotted(minor)} alone", f"=={_dotted(minor)}.*")
    found = f"they do not fit: torch {_dotted(minor)} takes torchaudio {takes}"
    return [Check("torch-torchaudio", subject, "FAIL", found, f"pip install 'torchaudio{pin}'", facts)]


def _runtimes(versions: Mapping[str, str]) -> list[Check]:
    here = [name for name in RUNTIMES if name in versions]
    said = " and ".join(f"{name} {versions[name]}" for name in here)
    if not here:
        return []
    if len(here) == 1:
        return [Check("onnxruntime-twice", said, "OK", "the only one that brings the package onnxruntime")]
    found = "they write into one folder, and whichever came last is used, in part: a card is most often lost so"
    mend = f"pip uninstall -y {' '.join(here)} && pip install onnxruntime"
    return [Check("onnxruntime-twice", said, "WARN", found, mend)]


def numbers(version: str) -> Version:
    """The release of a version: 2.8.0+cu128 is (2, 8, 0)."""
    return tuple(map(int, re.findall(r"\d+", (re.match(r"[\d.]*", version) or [""])[0])))


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
