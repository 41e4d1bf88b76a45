"""Faults that scripts/lab and test_lab.py plant, really, for verify to find: versions, limits, files, values."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.inputs import sample
from app.models import find_model

MIB, GIB = 2**20, 2**30
MISFIT = "torchcodec==0.8.1"
"""Beside torch 2.8 and FFmpeg's libraries it aborts at import, of std::bad_alloc."""
FOREIGN = "libcublas.so.12"
QUOTED = "'expandable_segments:True'"


class PlantingError(Exception):
    """Why a fault can't be had on this machine."""


@dataclass(frozen=True)
class Fault:
    name: str
    program: Sequence[str]
    """What meets it without verify: arguments to the interpreter."""
    named: Sequence[str]
    """Patterns: it is found where one line that is not OK holds them all."""
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()
    """The launcher's, beside the profile."""
    within: Sequence[str] = ()
    """Words before the command: they set a limit, then become it."""


SOUND = Fault("nothing", ("-c", "import torch, torchcodec, whisperx.asr"), ())


@dataclass(frozen=True)
class Report:
    """What verify said."""

    code: int
    checks: Sequence[Mapping[str, Any]]
    seconds: float

    def having(self, *status: str) -> list[Mapping[str, Any]]:
        return [check for check in self.checks if check["status"] in status]

    def naming(self, fault: Fault) -> Mapping[str, Any] | None:
        """The line that names it: one that fails before one that warns."""
        for check in [*self.having("FAIL"), *self.having("WARN")]:
            if all(re.search(pattern, in_words(check), re.I) for pattern in fault.named):
                return check
        return None


def in_words(check: Mapping[str, Any]) -> str:
    return f"{check['status']} {check['subject']}: {check['found']} -> {check['todo']} [{check['id']}]"


@dataclass(frozen=True)
class Lab:
    """An installation, and the environment it is used in."""

    python: Path
    environment: Mapping[str, str]
    profile: str = "cpu"

    def verify(self, fault: Fault = SOUND, timeout_s: float = 280) -> Report:
        """`run-app --profile cpu verify --json`, under this fault. AssertionError where no report comes of it."""
        begin = time.monotonic()
        try:
            done = self._run(fault, [*self._launcher(fault), "verify", "--json"], timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"verify did not end within {timeout_s:.0f} s") from None
        seconds = time.monotonic() - begin
        try:
            return Report(done.returncode, json.loads(done.stdout)["checks"], seconds)
        except ValueError:
            raise AssertionError(f"verify gave no report: {_last(done)}") from None

    def last_words(self, fault: Fault, timeout_s: float = 280) -> str:
        """How the program itself ends under this fault, and the last line it leaves."""
        arguments = list(fault.program)
        if arguments[0] == "run-app":
            arguments = [*self._launcher(fault), *arguments[1:]]
        try:
            return _last(self._run(fault, arguments, timeout_s))
        except subprocess.TimeoutExpired:
            return f"hangs for over {timeout_s:.0f} s"

    def _launcher(self, fault: Fault) -> list[str]:
        return ["-P", "-m", "launcher", "--profile", self.profile, *fault.options]

    def _run(self, fault: Fault, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*fault.within, str(self.python), *arguments],
            env={**self.environment, **fault.environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr.strip() or done.stdout.strip()).splitlines() if line.strip()]
    code = done.returncode if done.returncode <= 128 else 128 - done.returncode  # a shell's, for a signal
    how = f"exit {code}" if code >= 0 else signal.Signals(-code).name
    thrown = next((line for line in lines if line.startswith("terminate called")), None)
    said = thrown or (lines[-1] if lines else "nothing is printed")
    return f"{how}: {said}"


def address_space(size: int) -> Fault:
    """At most so many bytes of it."""
    return Fault(
        f"`ulimit -v` of {size / GIB:g} GiB",
        ("-c", "import torch, whisperx.asr"),
        (r"\[address-space\]", f"limited to {size / GIB:g} GiB", "ulimit -v unlimited"),
        within=("bash", "-c", 'ulimit -v "$0" && exec "$@"', str(size // 1024)),
    )


@contextmanager
def control_group(size: int) -> Iterator[Fault]:
    """A new one below our own, of at most so many bytes."""
    folder = _new_group(size)
    try:
        yield Fault(
            f"a cgroup of {size / MIB:.0f} MiB",
            ("-c", "import torch, whisperx.asr"),
            (r"\[cgroup-memory\]", f"limited to {size / MIB:.0f} MiB"),
            within=("bash", "-c", 'echo $$ >"$0" && exec "$@"', str(folder / "cgroup.procs")),
        )
    finally:
        for _ in range(50):
            try:
                folder.rmdir()
                break
            except OSError:  # the kernel has not yet buried its last process
                time.sleep(0.1)


def _new_group(size: int) -> Path:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    for controllers, path in (line.split(":", 2)[1:] for line in sorted(lines, reverse=True)):
        if controllers not in ("", "memory"):
            continue
        folder = Path("/sys/fs/cgroup", controllers, path.strip("/"), f"run-app-lab-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError as error:
            raise PlantingError(f"no control group can be made here: {error.strerror}") from None
        for limit in (folder / "memory.max", folder / "memory.limit_in_bytes"):
            if limit.exists():
                limit.write_text(str(size))
                return folder
        folder.rmdir()
    raise PlantingError("no control group that accounts for memory can be made here")


def foreign_library(folder: Path) -> Fault:
    """A library for aarch64, first on LD_LIBRARY_PATH: the loader passes over it and says nothing of its kind."""
    aarch64, shared = 183, 3
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", shared, aarch64, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)
    folder.mkdir()
    (folder / FOREIGN).write_bytes(header + bytes(4096))
    return Fault(
        f"`{FOREIGN}` for aarch64, first on LD_LIBRARY_PATH",
        ("-c", f"import ctypes; ctypes.CDLL('{FOREIGN}')"),  # as CTranslate2 opens it
        (r"\[library-path\]", re.escape(FOREIGN), "aarch64"),
        {"LD_LIBRARY_PATH": str(folder)},
    )


def literal_quotes() -> Fault:
    """As a .env file that was read by something naive leaves them; inherited, where the launcher only warns."""
    return Fault(
        "literal quotes in PYTORCH_CUDA_ALLOC_CONF",
        ("-c", "import torch; torch.cuda.is_available()"),
        (r"\[allocator-settings\]", f"PYTORCH_CUDA_ALLOC_CONF={QUOTED}"),
        {"PYTORCH_CUDA_ALLOC_CONF": QUOTED},
    )


def empty_model(folder: Path) -> Fault:
    """A model whose download ended before it began."""
    folder.mkdir()
    for file in find_model("tiny.en", offline=True).path.iterdir():
        (folder / file.name).write_bytes(b"" if file.name == "model.bin" else file.read_bytes())
    return Fault(
        "a `model.bin` of no bytes",
        ("run-app", "transcribe", str(sample())),
        (r"\[damaged-weights\]", r"model\.bin", "empty"),
        options=("--set", f"RUN_APP_MODEL={folder}"),
    )


def together(*faults: Fault) -> Fault:
    """All of these at once, where they don't hide each other."""
    return Fault(
        " and ".join(fault.name for fault in faults),
        (),
        (),
        {name: value for fault in faults for name, value in fault.environment.items()},
        [option for fault in faults for option in fault.options],
        [word for fault in faults for word in fault.within],
    )


def misfit(environment: Mapping[str, str] | None = None) -> Fault:
    """MISFIT is installed, by whoever makes this installation; or in a folder that this environment names."""
    return Fault(
        "torch 2.8 with torchcodec 0.8.1 and FFmpeg's libraries",
        ("-c", "import torchcodec"),
        (r"\[torch-torchcodec\]", r"torchcodec 0\.8\.1", r"torch 2\.8\.", r"torchcodec==0\.7\.\*"),
        environment or {},
    )


def install(uv: Path, where: Sequence[str], *wheels: str) -> None:
    """PlantingError where the index doesn't answer."""
    command = [str(uv), "pip", "install", "--quiet", *where, "--no-deps", *wheels]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PlantingError(f"{' '.join(wheels)} can't be had here: {(done.stderr.splitlines() or ['?'])[-1].strip()}")


def pin(check: Mapping[str, Any]) -> str:
    """What this line says to install: `torchcodec==0.7.*`."""
    words = shlex.split(re.sub(r"[;,].*", "", check["todo"]))
    return words[words.index("install") + 1]
