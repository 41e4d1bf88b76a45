"""Why a process died, or why an error came, in words: what it was, where, the cause as far as it is known, the remedy.

Only a process outside can say it. `std::bad_alloc` in C++ ends in abort(), which no `except` sees, and the kernel's
out-of-memory killer leaves nothing but a counter: so what limits memory is read before the start and after the death.
Nothing heavy is imported, least of all what is suspected.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import NamedTuple

from app.last_words import LastWords, read_log
from app.surroundings import Surroundings, in_words

TORCH_NEEDS = 4400 * 2**20
"""Address space in bytes that `import torch` takes (2.8 for CUDA 12.8, glibc 2.36): 4300 MiB are too few."""

FITTING = (((2, 8), (0, 6), (0, 7)), ((2, 9), (0, 8), (0, 9)), ((2, 10), (0, 10), (0, 10)), ((2, 11), (0, 11), None))
"""torch, the first and the last torchcodec that fit it, as (major, minor); the last line holds for newer torch too.

From torchcodec's README (its table of versions) and by trying them: with torch 2.8.0 and FFmpeg's libraries on the
loader's path, importing 0.8.1 and 0.9.1 aborts with std::bad_alloc, 0.10.0 gives an error that can be caught.
"""

LESS = "a smaller --batch-size or --model, or --compute-type int8"


def installed_versions() -> dict[str, str]:
    """Of torch and torchcodec, from their metadata: importing them is what may abort."""
    found = {}
    for name in ("torch", "torchcodec"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


class Finding(NamedTuple):
    """A cause that was recognised."""

    cause: str
    remedy: str | None
    memory: bool = False


def misfit(versions: Mapping[str, str]) -> Finding | None:
    """Whether these versions of torch and torchcodec are known not to fit; None where they do or nothing is known."""
    torch, codec = (_minor(versions.get(name, "")) for name in ("torch", "torchcodec"))
    rows = [row for row in FITTING if torch and row[0] <= torch]
    if not torch or not codec or not rows:
        return None
    _, first, last = rows[-1]
    if first <= codec and (last is None or codec <= last):
        return None
    takes, wanted = f"{_dotted(first)} or newer", f">={_dotted(first)}"
    if last is not None:
        takes, wanted = "-".join(dict.fromkeys(map(_dotted, (first, last)))), f"=={_dotted(last)}.*"
    return Finding(
        f"torchcodec {versions['torchcodec']} beside torch {versions['torch']}, which do not fit: "
        f"torch {_dotted(torch)} takes torchcodec {takes}",
        f"pip install 'torchcodec{wanted}'",
    )


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int]) -> str:
    return "{}.{}".format(*version)


@dataclass(frozen=True)
class Death:
    """What the end of a process means."""

    what: str
    """Exit code, or signal by name and the resident set at the end."""
    where: str | None
    """The last line of Python, where faulthandler could name it: `torch/_ops.py:1478 in load_library`."""
    cause: str
    """Only what is known."""
    remedy: str | None
    """The one thing to do."""
    memory: bool
    """It died for lack of memory: with less at a time it may live."""
    lost: bool = False
    """With its machine, or with who heard it there: its last words too may be lost."""

    @property
    def line(self) -> str:
        place = f", at {self.where}" if self.where else ""
        return f"{self.what}{place}: {self.cause}" + (f"; remedy: {self.remedy}" if self.remedy else "")


def explain(
    code: int,
    log: str,
    last_rss: int,
    before: Surroundings,
    after: Surroundings,
    *,
    versions: Mapping[str, str] | None = None,
) -> Death:
    """What the worker's death means.

    `code` as subprocess gives it (negative: the signal), `log` all that was printed, `last_rss` in bytes;
    `before` and `after` its life. `versions` of torch and torchcodec are by default those installed.
    """
    last = read_log(log)
    found = None
    if code == -signal.SIGKILL:
        found = _killed(before, after)
    elif code >= 0 or -code in (signal.SIGABRT, signal.SIGSEGV):  # others come from outside, whatever was said before
        found = _recognise(last.printed, last.stack or last.printed, before, versions)
    if code >= 0:
        what = f"the worker ended with exit code {code}"
        found = found or Finding(last.line or "nothing was printed", None)
    else:
        what = f"the worker died of {_signal_name(-code)} at {last_rss / 2**20:,.0f} MiB"
        found = found or _by_signal(-code, last, after)
    return Death(what, last.where, *found)


def explain_error(reason: str, around: Surroundings, *, versions: Mapping[str, str] | None = None) -> str | None:
    """A remedy for an error that was caught, by its text; None where none is known."""
    found = _recognise(reason, reason, around, versions)
    return found.remedy if found else None


# What libraries print when the system refuses them memory.
_REFUSED = re.compile(
    r"std::bad_alloc|failed to map segment from shared object|Memory allocation still failed|\w*MemoryError"
    r"|mkl_malloc: failed to allocate memory|Thread creation failed|pthread_create failed"
    r"|batch_size.{0,9} is probably too large"
    r"|[Cc]an(?:no|')t allocate memory|(?:Failed|Unable) to allocate"
)
_CODEC = re.compile(r"/torchcodec/|libtorchcodec")
_NOT_LOADED = re.compile("std::bad_alloc|undefined symbol|Could not load libtorchcodec|libtorchcodec loading traceback")
_FIXES = (
    ("No space left on device", "make room: df -h shows which disk is full, /tmp and /dev/shm are such too", False),
    # PyTorch's words, CTranslate2's and cuBLAS's.
    (
        r"CUDA\b.{0,24}out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        f"{LESS}; nvidia-smi shows who else holds the card's memory",
        True,
    ),
    ("CUBLAS_STATUS_NOT_SUPPORTED", "--compute-type float16, or ctranslate2 4.7 or newer", False),
    (
        r"lib(cublas|cudnn)\w*\.so.*(not found|cannot be loaded|cannot open)|Unable to load.*libcudnn",
        "pip install 'run-app[asr-cuda]', and start under a profile that puts it on LD_LIBRARY_PATH, as gpu does",
        False,
    ),
)


def _recognise(words: str, stack: str, around: Surroundings, versions: Mapping[str, str] | None) -> Finding | None:
    """By what was printed last, and by the lines of Python it came from."""
    reason = _NOT_LOADED.search(words)
    if reason and _CODEC.search(stack):
        aborted = reason[0] == "std::bad_alloc"
        if pair := misfit(installed_versions() if versions is None else versions):
            return pair._replace(cause=f"{'std::bad_alloc in' if aborted else 'failed'} import of {pair.cause}")
        if not aborted:
            return Finding("libtorchcodec can't be loaded", "install FFmpeg's shared libraries (apt install ffmpeg)")
    for line in words.splitlines():
        for pattern, remedy, memory in _FIXES:
            if re.search(pattern, line):
                return Finding(line.strip(), remedy, memory)
    refused = _REFUSED.search(words)
    return _refusal(refused[0], words + stack, around) if refused else None


def _refusal(symptom: str, text: str, around: Surroundings) -> Finding:
    """Memory was refused to somebody who asked for it: by which limit."""
    if around.limits:
        cause = " and ".join(map(str, around.limits))
        if around.limits[0].size < TORCH_NEEDS and around.limits[0].option == "-v" and re.search("torch|libcu", text):
            cause += f", and importing torch alone needs about {in_words(TORCH_NEEDS)}"
        lift = " ".join(f"{limit.option} unlimited" for limit in around.limits)
        remedy = f"ulimit {lift}"
        if any(limit.hard for limit in around.limits):
            remedy += " where it is set: ~/.bashrc, limits.conf, a systemd unit or a job scheduler"
        return Finding(f"{symptom}: {cause}", remedy, True)
    if around.strict:
        cause = f"{symptom}: the kernel promises no more memory than it can keep (vm.overcommit_memory=2)"
        return Finding(cause, "sysctl vm.overcommit_memory=0, or more swap", True)
    if re.search("Thread creation|pthread_create", symptom):
        return Finding(symptom, "fewer --threads, or more processes: ulimit -u, or the container's limit on pids")
    if "map segment" in symptom:
        cause = f"{symptom}, without a limit on memory: the library is cut short, or its disk is mounted noexec"
        return Finding(cause, "install it anew, on a disk that programs may run from")
    held = f"{in_words(around.total + around.swap)} with swap"
    cause = f"{symptom}, though nothing is limited: more was asked for at once than there is ({held}), or nonsense was"
    return Finding(cause, LESS, True)


def _killed(before: Surroundings, after: Surroundings) -> Finding:
    """SIGKILL leaves no words; the kernel counts its own."""
    group = _risen(before.group_kills, after.group_kills)
    machine = _risen(before.machine_kills, after.machine_kills)
    if group is None and machine is None:
        return Finding("most often that is the kernel, out of memory; here it counts no such kills", LESS, True)
    if not (machine if group is None else group):
        return Finding(
            "killed by SIGKILL from outside, no out-of-memory kill was counted",
            "see who sent it; earlyoom and systemd-oomd do when memory is short (journalctl)",
        )
    killer = "the kernel's out-of-memory killer ended it"
    if before.group_limit is not None and before.group_limit < before.total:
        limit = f"the cgroup's limit is {in_words(before.group_limit)}"
        remedy = "raise the memory limit of the container (docker run --memory) or unit (MemoryMax=)"
    elif before.wsl:
        limit = f"WSL has {in_words(before.total)} of memory, {in_words(before.swap)} of swap"
        remedy = "raise memory= in .wslconfig and run wsl --shutdown"
    else:
        free = f"{in_words(before.available)} of {in_words(before.total)} were free before"
        return Finding(f"{killer} ({free}, swap {in_words(before.swap)})", LESS, True)
    return Finding(f"{killer} ({limit})", f"{remedy}, or take {LESS}", True)


def _risen(before: int | None, after: int | None) -> bool | None:
    return None if before is None or after is None else after > before


# Which setting keeps a library from instructions that a CPU (or its emulation) lacks.
_PLAIN_CPU = {
    "faster_whisper": "CT2_FORCE_CPU_ISA=GENERIC",
    "whisperx": "CT2_FORCE_CPU_ISA=GENERIC",
    "torch": "ATEN_CPU_CAPABILITY=default",
}


_SIGNALS: dict[int, str] = {
    signal.SIGSEGV: "a library touched memory that isn't there",
    signal.SIGFPE: "a library divided by zero",
    signal.SIGXCPU: "the limit on CPU time was reached (ulimit -t)",
    signal.SIGSYS: "a system call that the sandbox forbids (seccomp)",
}


def _by_signal(number: int, last: LastWords, after: Surroundings) -> Finding:
    """What the signal alone tells."""
    package = last.where.partition("/")[0] if last.where and not last.where.startswith(("/", "<")) else None
    report = f"if it happens again, report it to {package}, with the log" if package else None
    match number:
        case signal.SIGABRT:
            said = last.line
            if thrown := re.search(r"instance of '(.+?)'(?:\n\s*what\(\):\s*(.*))?", last.printed):
                said = ": ".join(filter(None, thrown.groups()))
            return Finding(f"a library called abort(){f'; the last line it left: {said}' if said else ''}", report)
        case signal.SIGSEGV | signal.SIGFPE:
            return Finding(_SIGNALS[number], report)
        case signal.SIGILL:
            plain = _PLAIN_CPU.get(package or "")
            remedy = f"run-app --set {plain}" if plain else "a build of that library for this CPU"
            return Finding("an instruction that this CPU doesn't have", remedy)
        case signal.SIGBUS if after.shm_free is not None and after.shm_free < 2**20:
            return Finding("/dev/shm is full", "make room in /dev/shm (docker run --shm-size)")
        case signal.SIGBUS:
            return Finding("a file shrank or could not be read while it was mapped, or /dev/shm was full", None)
        case signal.SIGTERM | signal.SIGHUP | signal.SIGINT | signal.SIGQUIT:
            return Finding("ended from outside", None)
        case _:
            return Finding(_SIGNALS.get(number, "what sent it is not known"), None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time ones have no names
        return f"signal {number}"
