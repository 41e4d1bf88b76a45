"""Whether each variable of the profile was there at exec, and took effect.

What is only set from inside Python comes too late for whoever reads at exec, and is never ticked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from app.verify import Check, Seen, Task
from app.verify.probes.interpreter import READERS
from app.verify.proofs import Asked, allocator, cuda, glibc, libraries, loader, openmp, read, show, start_with
from launcher.checks import ALLOCATORS, SETTINGS

TORCH_MIB = 700
"""What `import torch` takes."""
LIBRARIES_MIB = 300
"""cuBLAS and cuDNN, opened."""


@dataclass(frozen=True)
class Proof:
    """How a variable is proved."""

    id: str
    run: Callable[[Asked], Check]
    reader: str
    """Who reads it, and when: `glibc reads it at exec`."""
    at_exec: bool = False
    """Whether it does nothing at all when it is set later."""
    needs_mib: int = 60


def _no_card(why: str) -> Callable[[Asked], Check]:
    return lambda asked: asked.unobservable(why)


DRIVER = "the CUDA driver reads it at cuInit"
LOADER = "the loader reads it at exec"
GLIBC = "glibc reads it at exec"
LIBGOMP = "libgomp reads it when it loads"
TORCHES = {"OMP_NUM_THREADS": "openmp-threads"} | dict.fromkeys(ALLOCATORS, "allocator-settings")
"""Those that torch is asked about, all in one process: their ids."""
PROOFS: dict[str, Proof] = {
    "MALLOC_ARENA_MAX": Proof("malloc-arenas", glibc.arenas, GLIBC, True),
    "MALLOC_MMAP_THRESHOLD_": Proof("malloc-mmap", glibc.mmap, GLIBC, True),
    "MALLOC_TRIM_THRESHOLD_": Proof("malloc-trim", glibc.trim, GLIBC, True),
    "GLIBC_TUNABLES": Proof("glibc-tunables", glibc.tunables, GLIBC, True),
    "LD_LIBRARY_PATH": Proof("library-path", loader.library_path, LOADER, True, LIBRARIES_MIB),
    "LD_PRELOAD": Proof("preload", loader.preload, LOADER, True),
    "OMP_WAIT_POLICY": Proof("openmp-wait", openmp.waiting, LIBGOMP),
    "GOMP_SPINCOUNT": Proof("openmp-wait", openmp.spinning, LIBGOMP),
    "CUDA_DEVICE_ORDER": Proof("cuda-devices", cuda.devices, DRIVER),
    "CUDA_VISIBLE_DEVICES": Proof("cuda-devices", cuda.devices, DRIVER),
    "CUDA_MODULE_LOADING": Proof("cuda-loading", cuda.loading, DRIVER),
    "CUDA_CACHE_MAXSIZE": Proof(
        "cuda-cache", _no_card("the driver shows no limit; only ~/.nv/ComputeCache grows to it"), DRIVER
    ),
    "CT2_CUDA_ALLOCATOR": Proof(
        "ct2-allocator", _no_card("CTranslate2 shows no allocator"), "CTranslate2 reads it at its first use of a card"
    ),
    "PYANNOTE_METRICS_ENABLED": Proof(
        "telemetry", libraries.answer, "pyannote.audio reads it each time it would report"
    ),
    "GRADIO_ANALYTICS_ENABLED": Proof("telemetry", libraries.answer, "Gradio reads it when a page is built"),
    "TOKENIZERS_PARALLELISM": Proof("tokenizers-threads", libraries.tokenizers, "tokenizers reads it with each batch"),
    **{
        f"HF_{name}": Proof(id, libraries.answer, "huggingface_hub reads it when it is imported")
        for name, id in (
            ("HUB_DISABLE_TELEMETRY", "telemetry"),
            *((name, "hub-settings") for name in ("HUB_OFFLINE", "HOME", "HUB_CACHE", "TOKEN")),
        )
    },
    **{name: Proof("python-settings", libraries.answer, "Python reads it when it starts", True) for name in READERS},
    **{
        f"RUN_APP_{name}": Proof("app-settings", libraries.app_setting, "the app reads it when it starts")
        for name in SETTINGS
    },
}
INHERITED = ("MALLOC_", "GLIBC_TUNABLES", "LD_", *ALLOCATORS)
"""What is looked at even where no profile set it: a wrong one does harm long after the start."""
OTHERS_READ = {
    "OMP_NUM_THREADS": LIBGOMP,
    **dict.fromkeys(ALLOCATORS, "torch reads it when it loads, and once when it initialises CUDA"),
}


def tasks(seen: Seen) -> list[Task]:
    """One for each variable, and one for those that torch is asked about."""
    if not seen.settings:
        checks = [Check("no-profile", "profile", "SKIP", "none set a variable here", "run-app --profile NAME verify")]
    else:
        checks = []
    known = {*PROOFS, *TORCHES}
    names = [*seen.settings, *sorted(name for name in known - {*seen.settings} if name in seen.environment)]
    names = [name for name in names if name in seen.settings or name.startswith(INHERITED)]
    late = [name for name in sorted(seen.late) if name in known or name in seen.settings]
    checks += [too_late(seen, name) for name in late]
    lost = [name for name in names if name not in seen.environment and name not in late]
    checks += [_lost(name) for name in lost]
    found = [Task("variables", partial(list, checks))] if checks else []
    provable = [name for name in names if name not in late and name not in lost]
    if torches := [_asked(seen, name) for name in provable if name in TORCHES]:
        found.append(Task("variables that torch reads", partial(_by_torch, torches), TORCH_MIB))
    for name in provable:
        if name not in TORCHES:
            needs = PROOFS[name].needs_mib if name in PROOFS else 1
            found.append(Task(name, partial(_prove, _asked(seen, name)), needs))
    return found


def _asked(seen: Seen, name: str) -> Asked:
    id = TORCHES.get(name) or (PROOFS[name].id if name in PROOFS else "other-variables")
    return Asked(id, name, seen.environment[name], seen)


def _prove(asked: Asked) -> list[Check]:
    proof = PROOFS.get(asked.name)
    return [proof.run(asked) if proof else asked.unobservable("no proof of it is known")]


def _by_torch(asked: list[Asked]) -> list[Check]:
    """The same process tells all of them."""
    threads = next((each.value.partition(",")[0] for each in asked if each.name == "OMP_NUM_THREADS"), "1")
    torch = read("pytorch", asked[0].seen.environment, threads)
    return [
        openmp.threads(each, torch) if each.name == "OMP_NUM_THREADS" else allocator.settings(each, torch)
        for each in asked
    ]


def too_late(seen: Seen, name: str) -> Check:
    """Set from inside Python, after the start."""
    id = "set-too-late"
    proof = PROOFS.get(name)
    reader = proof.reader if proof else OTHERS_READ.get(name, "who reads it is not known")
    value = seen.late[name]
    was = seen.environment.get(name)
    before = f"it was {show(seen, name, was)}" if was is not None else "there was none"
    todo = f"set it before the start: {start_with(seen, name, value)}"
    subject, found = f"{name}={show(seen, name, value)}", f"set after the start, at which {before}"
    if proof and proof.at_exec:
        return Check(id, subject, "FAIL", f"{found}: no effect, {reader}", todo)
    return Check(id, subject, "WARN", f"{found}: {reader}, and what did so before took no notice", todo)


def _lost(name: str) -> Check:
    todo = "start verify by run-app itself: sudo, env -i or a wrapper between the two takes variables away"
    return Check("lost-at-exec", name, "FAIL", "the profile set it, and it was not there at exec", todo)
