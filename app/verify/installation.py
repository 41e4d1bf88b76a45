"""The Python installation: versions, what importing each library costs or why it fails, FFmpeg, weights, the hub.

Nothing of it is imported here, and what is not installed is no fault: SKIP says what it would allow.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from app.verify import Check, Seen, Task, imports
from app.verify.child import Ended, run, run_python
from app.verify.pairs import RUNTIMES, fits
from app.verify.requirements import installed, twice, unmet, version_of

PYTHONS = ((3, 11), (3, 13))
"""First and last minor version that run-app is made for."""

CARD = """
import json, os
from launcher import hardware
found, _ = hardware.cards()
devices = os.environ.get("CUDA_VISIBLE_DEVICES")
found = found if devices is None else hardware.visible(found, devices)
print(json.dumps(found[0].capability if found else None))
"""


def tasks(seen: Seen) -> list[Task]:
    return [
        Task("Python", python, 1),
        Task("versions", partial(versions, seen.environment), 40),
        *imports.tasks(seen),
        Task("FFmpeg", partial(ffmpeg, seen.environment), 120),
        Task("weights", partial(weights, seen.environment), 100),
        Task("hub", partial(hub, seen.environment), 80),
    ]


def python(version: tuple[int, ...] = sys.version_info[:3], prefix: str = sys.prefix) -> list[Check]:
    """The interpreter that runs this."""
    first, last = (f"{major}.{minor}" for major, minor in PYTHONS)
    shown = ".".join(map(str, version))
    facts = {"version": shown, "executable": sys.executable, "prefix": prefix}
    if not PYTHONS[0] <= version[:2] <= PYTHONS[1]:
        todo = f"make the environment with Python {first} to {last}: PYTHON=/usr/bin/python{last} scripts/run"
        return [Check("python", f"Python {shown}", "FAIL", f"run-app is made for {first} to {last}", todo, facts)]
    if prefix != sys.base_prefix:
        found = f"{sys.executable}, in a virtual environment"
    elif Path(prefix, "conda-meta").is_dir():
        found = f"{sys.executable}, in a conda environment"
    elif Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        found = f"{sys.executable}, the system's own: what its package manager does changes run-app, too"
        return [Check("python", f"Python {shown}", "WARN", found, "python3 -m venv .venv, and install there", facts)]
    else:
        found = f"{sys.executable}, in no virtual environment"
    return [Check("python", f"Python {shown}", "OK", found, "", facts)]


def versions(environment: Mapping[str, str]) -> list[Check]:
    """By their metadata: what does not fit, what is there twice, what one package asks of another in vain."""
    here = installed(*RUNTIMES)
    said = run_python(CARD, environment).said
    card = tuple(said) if said else None
    checks = fits(here, card, environment.get("RUN_APP_COMPUTE_TYPE") or "auto")
    worse = [name for check in checks if check.status in ("FAIL", "WARN") for name in here if name in check.subject]
    listing = ", ".join(f"{name} {version}" for name, version in here.items())
    return [Check("versions", "versions", "OK", listing or "none", "", here), *checks, *twice(), *unmet(worse)]


def ffmpeg(environment: Mapping[str, str]) -> list[Check]:
    """PyAV brings its own libraries, and is all that run-app decodes with; the other two are for other programs."""
    ended = _probe("decoding", environment)
    said = ended.said if isinstance(ended.said, dict) else {}
    checks = []
    if version_of("av") is None:
        found = "PyAV is not installed; it would allow reading recordings"
        checks.append(Check("not-installed", "PyAV", "SKIP", found, "pip install 'run-app[asr]'"))
    elif said.get("decoded"):
        libraries = said["libraries"]
        found = f"{said['av']} with libavcodec {libraries.get('libavcodec')} of its own; decoded 1 s of a recording"
        checks.append(Check("pyav", "PyAV", "OK", found, "", libraries))
    else:
        mend = "pip install --force-reinstall 'av>=14,<19'"
        checks.append(Check("pyav", "PyAV", "FAIL", f"decodes nothing: {_why(ended)}", mend))
    return [*checks, _program(environment), _shared(said.get("shared"))]


def _program(environment: Mapping[str, str]) -> Check:
    what = "run-app does without it; whisperX's own command line needs it"
    path = shutil.which("ffmpeg", path=environment.get("PATH", os.defpath))
    if path is None:
        return Check("ffmpeg-program", "ffmpeg program", "SKIP", f"not there; {what}", "apt install ffmpeg")
    try:
        ended = run([path, "-version"], environment, timeout_s=10)
    except OSError as error:
        return Check(
            "ffmpeg-program", "ffmpeg program", "WARN", f"{path}: {error.strerror}; {what}", "apt install ffmpeg"
        )
    if ended.code:
        return Check("ffmpeg-program", "ffmpeg program", "WARN", f"{path}: {_why(ended)}; {what}", "apt install ffmpeg")
    first = " ".join(ended.output.partition("\n")[0].split()[:3])
    return Check("ffmpeg-program", "ffmpeg program", "OK", f"{path}, {first}; {what}")


def _shared(found: list[str] | None) -> Check:
    subject, what = "FFmpeg's shared libraries", "torchcodec needs them to be imported; run-app does without"
    if not found:
        return Check("torchcodec-ffmpeg", subject, "SKIP", f"none on the loader's path; {what}", "apt install ffmpeg")
    return Check("torchcodec-ffmpeg", subject, "OK", f"of FFmpeg {' and '.join(found)}; {what}")


def weights(environment: Mapping[str, str]) -> list[Check]:
    """Which are on this machine, and whether they are whole."""
    return _told("weights", "model", environment, 60)


def hub(environment: Mapping[str, str]) -> list[Check]:
    """Whether models could be downloaded; offline is a normal state."""
    return _told("reached", "hub", environment, 15)


def _told(probe: str, id: str, environment: Mapping[str, str], timeout_s: float) -> list[Check]:
    """The checks that a probe printed, or its death."""
    if version_of("huggingface-hub") is None:
        found = "not looked for: huggingface-hub, which keeps and downloads models, is not installed"
        return [Check("not-installed", id, "SKIP", found, "pip install 'run-app[asr]'")]
    ended = _probe(probe, environment, timeout_s)
    if ended.code == 0 and isinstance(ended.said, list):
        return [Check(**fields) for fields in ended.said]
    if ended.timed_out and probe == "reached":
        return [
            Check("hub", "hub", "SKIP", f"no answer within {ended.seconds:.0f} s; it would allow downloading models")
        ]
    remedy = ended.death.remedy if ended.death else None
    mend = remedy or "pip install --force-reinstall --no-deps huggingface-hub, or report it with this line"
    return [Check(id, id, "FAIL", f"looking for it failed: {_why(ended)}", mend)]


def _probe(name: str, environment: Mapping[str, str], timeout_s: float = 60) -> Ended:
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", f"app.verify.probes.{name}"]
    return run(command, imports.QUIET | dict(environment), timeout_s=timeout_s)


def _why(ended: Ended) -> str:
    if ended.timed_out:
        return f"no end within {ended.seconds:.0f} s"
    if ended.death is None:
        return "it said nothing"
    place = f", at {ended.death.where}" if ended.death.where else ""
    return f"{ended.death.what.removeprefix('the worker ')}{place}: {ended.death.cause}"
