"""Each library imported in a child of its own: what that costs, or why it died of it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from app.diagnosis import LESS, explain_error, installed_versions, misfit
from app.surroundings import read_surroundings
from app.verify import Check, Seen, Status, Task
from app.verify.child import TIMEOUT_S, Ended, run
from app.verify.requirements import version_of


class Library(NamedTuple):
    """What a child imports, as the app does."""

    package: str
    modules: tuple[str, ...]
    extra: str
    """Of run-app, which brings it."""
    allows: str
    needs_mib: int
    """Its peak, measured and rounded up."""


class _Verdict(NamedTuple):
    id: str
    status: Status
    found: str
    todo: str


WAVEFORMS = "run-app never needs it: it hands pyannote.audio waveforms"

LIBRARIES = (
    Library("whisperx", ("whisperx.asr", "whisperx.alignment"), "app", "alignment of words, --engine whisperx", 1150),
    Library("pyannote.audio", ("pyannote.audio",), "app", "telling speakers apart", 1050),
    Library("torchcodec", ("torchcodec",), "app", "nothing here", 850),
    Library("torchaudio", ("torchaudio",), "app", "alignment of words", 700),
    Library("silero-vad", ("silero_vad",), "app", "--vad silero", 700),
    Library("torch", ("torch",), "app", "alignment of words, telling speakers apart, --engine whisperx", 700),
    Library("gradio", ("gradio",), "app", "the web page", 250),
    Library("faster-whisper", ("faster_whisper",), "asr", "transcribing", 150),
    Library("ctranslate2", ("ctranslate2",), "asr", "transcribing", 100),
)
"""The longest first: they run side by side."""

QUIET = {"PYANNOTE_METRICS_ENABLED": "0", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Where nothing else is said: to be looked at is no use that a library may report."""

_OBJECT = re.compile(
    r"(\S+\.so[\w.]*): (invalid ELF header|wrong ELF class: \w+|file too short|ELF file's phentsize not the expected)"
)
_ABSENT = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


def tasks(seen: Seen) -> list[Task]:
    return [Task(f"import {one.package}", partial(look, one, seen.environment), one.needs_mib) for one in LIBRARIES]


def look(library: Library, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> list[Check]:
    """Import it in this environment. A library that is not there is no fault."""
    version = version_of(library.package)
    subject = f"import {library.package}"
    if version is None and not _findable(library.modules[0]):
        found = f"not installed; it would allow {library.allows}"
        return [Check("not-installed", subject, "SKIP", found, f"pip install 'run-app[{library.extra}]'")]
    probe = [sys.executable, "-P", "-X", "faulthandler", "-m", "app.verify.probes.imported"]
    patience = f"{0.8 * timeout_s:g}"
    ended = run([*probe, patience, *library.modules], QUIET | dict(environment), timeout_s=timeout_s)
    said = ended.said if isinstance(ended.said, dict) else {}
    facts = {
        "version": version,
        "code": ended.code,
        "cpu_s": round(ended.cpu_s, 2),
        "peak_mib": round(ended.peak / 2**20),
        **said,
    }
    shown = version or "of no known version"
    if ended.code == 0 and "seconds" in said:
        found = f"{shown}, {said['seconds']:.1f} s, {said['mib'] or '?'} MiB"
        return [Check("import", subject, "OK", found, "", facts)]
    verdict = _explain(library, version, ended, said)
    found = f"{shown}: {verdict.found}"
    return [Check(verdict.id, subject, verdict.status, found, verdict.todo, facts)]


def _findable(module: str) -> bool:
    """Without its metadata: a build of one's own. Nothing of it runs."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ValueError, ImportError):
        return False
    return spec is not None and spec.origin is not None


def _explain(library: Library, version: str | None, ended: Ended, said: Mapping[str, object]) -> _Verdict:
    """Of an import that ended badly: the entry that tells of it, how bad it is, why, and what mends it."""
    whole = f"pip install 'run-app[{library.extra}]'"
    known = version not in (None, "?")
    anew = f"pip install --force-reinstall --no-deps '{library.package}=={version}'" if known else whole
    if ended.timed_out:
        return _endless(library, ended)
    text, death = str(said.get("text", "")), ended.death
    cause, remedy = (death.cause, death.remedy) if death else ("it printed nothing", None)
    if remedy and LESS in remedy:  # what is said of work with a model
        remedy = remedy.removesuffix(f", or take {LESS}") if remedy != LESS else ""
        remedy = remedy or f"end what else takes memory: this import takes about {library.needs_mib} MiB"
    id = "torch-torchcodec" if "do not fit" in cause else "import"
    if "error" not in said:
        how = death.what.removeprefix("the worker ") if death else "ended"
        place = f", at {death.where}" if death and death.where else ""
        return _Verdict(id, "FAIL", f"its import {how}{place}: {cause}", remedy or anew)
    if "libtorchcodec" in text:
        return _codec(text, library)
    if found := _OBJECT.search(text):
        mend = f"take {found[1]} away, or its folder out of LD_LIBRARY_PATH; if {library.package} brought it: {anew}"
        return _Verdict(
            "library-damaged", "FAIL", f"{found[1]} is no library that this machine can load: {found[2]}", mend
        )
    if remedy:
        return _Verdict(id, "FAIL", f"its import failed: {cause}", remedy)
    line = " ".join(text.split("\n")[0].split()) or "no word of why"
    foreign = re.search(r"No module named '([\w.]+)'", text)
    own = foreign is not None and foreign[1].partition(".")[0] in {one.partition(".")[0] for one in library.modules}
    elsewhere = said["error"] == "ImportError" or (foreign is not None and not own) or _ABSENT.search(text)
    return _Verdict("import", "FAIL", f"its import failed: {said['error']}: {line}", whole if elsewhere else anew)


def _endless(library: Library, ended: Ended) -> _Verdict:
    """The probe's log says where it stood, shortly before it was killed."""
    stands = re.search(r'^  File "(?:.*/site-packages/)?(.+)", line (\d+) in', ended.log, re.M)
    found = f"its import did not end within {ended.seconds:.0f} s" + (f", at {stands[1]}:{stands[2]}" if stands else "")
    if limits := read_surroundings().limits:
        found += f"; {' and '.join(map(str, limits))}, and just below what it needs libraries wait for ever"
        return _Verdict("import", "FAIL", found, f"ulimit {' '.join(f'{limit.option} unlimited' for limit in limits)}")
    todo = f"try again when the machine is idle; if it hangs again, report it to {library.package}, with that line"
    return _Verdict("import", "FAIL", found, todo)


def _codec(text: str, library: Library) -> _Verdict:
    """It found no FFmpeg, or does not fit its torch, or something else."""
    if pair := misfit(installed_versions()):
        return _Verdict("torch-torchcodec", "FAIL", f"its import failed: {pair.cause}", pair.remedy or "")
    absent = set(_ABSENT.findall(text))
    if absent and all(name.startswith(("libav", "libsw")) for name in absent) and "undefined symbol" not in text:
        found = f"it finds no shared libraries of FFmpeg (no {min(absent)}); {WAVEFORMS}"
        return _Verdict("torchcodec-ffmpeg", "SKIP", found, "apt install ffmpeg, if another program of yours needs it")
    reason = next((line.strip() for line in text.splitlines() if re.search(r"undefined symbol|\.so", line)), "")
    status: Status = "WARN" if library.package == "torchcodec" else "FAIL"
    remedy = explain_error(text, read_surroundings()) or "pip install 'run-app[app]'"
    return _Verdict("import", status, f"its import failed: {reason or text.splitlines()[0]}; {WAVEFORMS}", remedy)
