"""What torch's CUDA allocator made of its string. It is parsed without a card, as it is with one."""

from __future__ import annotations

from app.verify import Check
from app.verify.proofs import Asked, Reading
from launcher import allocator
from launcher.checks import ALLOCATORS

SHOWN = {
    "max_split_size_mb": "max_split_size",
    "garbage_collection_threshold": "garbage_collection_threshold",
    "expandable_segments": "expandable_segments",
    "pinned_num_register_threads": "pinned_num_register_threads",
    "release_lock_on_cudamalloc": "release_lock_on_cudamalloc",
    "pinned_use_cuda_host_register": "pinned_use_cuda_host_register",
}
"""Options, and where torch's snapshot shows them."""


def settings(asked: Asked, torch: Reading) -> Check:
    """The string, each option the snapshot shows, and the backend."""
    if torch.fault:
        if wrong := allocator.wrong_option(asked.name, asked.value, None):
            return asked.check("FAIL", f"no torch takes it: {wrong}", f"run-app --unset {asked.name}, or mend it")
        return asked.unobservable(torch.fault)
    said = torch.said
    version = f"torch {said['version']}"
    facts = {"torch": said}
    if said.get("without_cuda"):
        return asked.unobservable(f"{version} is built without CUDA")
    if said["initialised"]:
        return asked.unobservable(f"{version} initialised CUDA when it was asked", facts)
    if refused := said.get("refused"):
        todo = f"run-app --unset {asked.name}, or mend it where it is set (~/.bashrc, a .env file)"
        return asked.check("FAIL", f"{version} refuses it, at the first use of a card: {refused}", todo, facts)
    wanted = dict(allocator.options(asked.value))
    if not wanted:
        return asked.unobservable("it is empty, and so are torch's settings without it", facts)
    old, new = (asked.seen.environment.get(name) for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"))
    if old == new and asked.name == "PYTORCH_ALLOC_CONF":
        return asked.unobservable("PYTORCH_CUDA_ALLOC_CONF says the same, and torch does not tell which it read", facts)
    backend, shown = said.get("backend", ""), said.get("settings")
    if said.get("string", asked.value if backend != "native" else "") != asked.value:
        other = next(name for name in ALLOCATORS if name != asked.name)
        todo = f"run-app --unset {other}" if other in asked.seen.environment else f"put it into {other}"
        return asked.check("FAIL", f"no effect: {version} took the string '{said.get('string', '')}'", todo, facts)
    if wanted.get("backend", "native") != backend:
        return asked.check("FAIL", f"no effect: {version}'s backend is {backend}", "take backend: out of it", facts)
    parsed = [f"backend {backend}"]
    for option, value in wanted.items():
        if shown is None or (field := SHOWN.get(option)) not in shown:
            continue
        if not _equal(option, value, shown[field]):
            found = f"no effect: {version} took {option} as {shown[field]}, not {value}"
            return asked.check("FAIL", found, f"take {option} out of it, or another version of torch", facts)
        parsed.append(f"{option} {value}")
    if shown is None and backend == "native":
        return asked.unobservable(f"{version} shows no settings", facts)
    found = f"{version} parsed it: {', '.join(parsed)}"
    return asked.check("OK", f"{found} (no card was asked)", "", facts)


def _equal(option: str, value: str, shown: object) -> bool:
    if isinstance(shown, bool):
        return str(shown) == value
    if option == "max_split_size_mb":
        return shown == int(value) << 20
    return isinstance(shown, int | float) and abs(shown - float(value)) < 1e-6
