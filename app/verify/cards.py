"""The NVIDIA cards: what they are, whether the profile fits, whether driver and libraries can use them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from app.verify import Check, Seen, Status, Task, architectures, compute_cache, needs, wsl
from app.verify.child import Ended, run, run_python
from launcher import allocator, hardware

GENERATIONS = (
    ((13, 0), "newer than Blackwell"),
    ((10, 0), "Blackwell"),
    ((9, 0), "Hopper"),
    ((8, 9), "Ada"),
    ((8, 0), "Ampere"),
    ((7, 5), "Turing"),
    ((7, 0), "Volta"),
    ((6, 0), "Pascal"),
    ((0, 1), "Maxwell or older"),
)
NO_CARD = "one would run large-v3 or its turbo in float16, instead of base on the processor"
WSL_MENDED = (616, 92)
"""The driver with which expandable_segments was seen to work under WSL: pytorch/pytorch#192330."""
CUDA_OF_CTRANSLATE2 = 12
TIMEOUT_S = 30.0

_ARCHITECTURES = """
import json, torch
# get_arch_list() is empty wherever CUDA can't be initialised; this asks the library itself.
print(json.dumps([torch.__version__, torch._C._cuda_getArchFlags() or ""]))
"""


def tasks(seen: Seen, root: Path = Path("/")) -> list[Task]:
    """`root` is where /proc lies, which tells WSL."""
    return [
        Task("cards", lambda: checks(seen, root)),
        Task("torch's architectures", lambda: torch_checks(seen), 700),
    ]


@dataclass(frozen=True)
class Told:
    """What NVML said."""

    cards: list[hardware.Card]
    shown: list[hardware.Card]
    """Those that CUDA_VISIBLE_DEVICES lets CUDA see, in its order. The app takes the first."""
    more: Mapping[str, Mapping[str, Any]]
    """Free MiB and users, by index."""
    driver: str
    cuda: int
    """The newest CUDA that the driver knows, as 12080; 0 where it was not told."""
    why: str
    """Where there is no card, why."""


def ask(environment: Mapping[str, str]) -> Told | Ended:
    """By a child: NVML is a library of the driver's, and may abort or hang. Its death, where it died."""
    ended = run([sys.executable, "-P", "-m", "app.verify.probes.cards"], environment, timeout_s=TIMEOUT_S)
    said = ended.said
    if ended.code or not isinstance(said, dict):
        return ended
    return understand(said, environment)


def understand(said: Mapping[str, Any], environment: Mapping[str, str]) -> Told:
    """From the words of the probe."""
    cards = [hardware.Card(card["line"]) for card in said["cards"]]
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    shown = cards if devices is None else hardware.visible(cards, devices)
    more = {card.index: told for card, told in zip(cards, said["cards"], strict=True)}
    return Told(cards, shown, more, said["driver"] or "", said["cuda"] or 0, said["why"])


def checks(seen: Seen, root: Path = Path("/")) -> list[Check]:
    """Every card, and what decides over the one that the app would take: by NVML."""
    told = ask(seen.environment)
    if isinstance(told, Ended):
        said = told.death.line if told.death else f"NVML gave no answer within {TIMEOUT_S:g} s"
        return [Check("card", "cards", "FAIL", said, "install the driver anew, until nvidia-smi shows the card")]
    return judge(seen, told, root)


def judge(seen: Seen, told: Told, root: Path = Path("/")) -> list[Check]:
    """What that means for this profile."""
    if not told.shown:
        return [_none(seen, told)]
    card = told.shown[0]
    found = [*(_describe(one, told) for one in told.cards), _fits(seen, card)]
    if _idle(seen):
        return found
    found += [*_shared(seen, card, told), *_type(seen, card), *_driver(told)]
    if wsl.under(root):
        found.append(_wsl_driver(seen, told.driver))
    return found + compute_cache.checks(seen, card.capability)


def _none(seen: Seen, told: Told) -> Check:
    asked = seen.environment.get("RUN_APP_DEVICE") == "cuda"
    if told.cards:
        devices = seen.environment.get("CUDA_VISIBLE_DEVICES", "")
        said = f"CUDA_VISIBLE_DEVICES={devices} hides all {len(told.cards)}"
        return Check("no-card", "cards", "FAIL" if asked else "SKIP", said, "run-app --unset CUDA_VISIBLE_DEVICES")
    if asked:
        said = f"none ({told.why}), and the profile runs the models on one (RUN_APP_DEVICE=cuda)"
        return Check("no-card", "cards", "FAIL", said, "run-app --profile cpu, until nvidia-smi shows the card")
    return Check("no-card", "cards", "SKIP", f"none ({told.why}): {NO_CARD}")


def _idle(seen: Seen) -> bool:
    return seen.environment.get("RUN_APP_DEVICE") == "cpu"


def generation(capability: architectures.Capability) -> str:
    """NVIDIA's name for it: 9.0 is Hopper, whatever the card's memory."""
    return next((name for least, name in GENERATIONS if capability >= least), "generation unknown")


def _describe(card: hardware.Card, told: Told) -> Check:
    more = told.more[card.index]
    users = ", ".join(f"{name} {mib:,} MiB" if mib else name for name, mib in more.get("users", ()))
    said = f"{card} ({generation(card.capability)})"
    if told.driver:
        said += f", driver {told.driver}"
    if "free" in more:
        said += f"; {more['free']:,} MiB free"
    said += f", used by {users}" if users else ", used by nobody that NVML names" if "users" in more else ""
    if "RTX 6000 Ada" in card.name:
        said += "; the document's, with 96 GB and compute capability 9.0, does not exist"
    if card not in told.shown:
        said += "; hidden by CUDA_VISIBLE_DEVICES"
    facts = {"mib": card.mib, "capability": card.capability, "driver": told.driver, **more}
    return Check("card", f"card {card.index}", "OK", said, "", facts)


def _best(mib: int) -> int:
    """The place in hardware.PROFILES of the one that fits so much memory."""
    return next(place for place, (least, _) in enumerate(hardware.PROFILES) if mib >= least)


def _active(seen: Seen) -> int | None:
    """The place of the profile that holds; None where it is none of the cards' own."""
    names = [name for _, name in hardware.PROFILES]
    return next((names.index(name) for name in reversed(seen.profiles) if name in names), None)


def _instead(seen: Seen, place: int) -> str:
    """The command with the profile of this place for the one that holds."""
    names = [name for _, name in hardware.PROFILES]
    others = [name for name in seen.profiles if name not in (*names, "cpu")]
    return f"run-app --profile {','.join([names[place], *others])}"


def _fits(seen: Seen, card: hardware.Card) -> Check:
    best, active = _best(card.mib), _active(seen)
    name = hardware.PROFILES[best][1]
    subject = f"profile {','.join(seen.profiles) or 'none'}"
    if active is None:
        said = f"leaves the card idle; {name} would use it" if _idle(seen) else f"{name} fits the card"
        return Check("profile-fits", subject, "OK", said)
    if not card.mib:
        said = f"the card does not tell its memory, so that auto takes {name}"
        return Check("profile-fits", subject, "SKIP", said)
    least = hardware.PROFILES[active][0]
    if active < best:
        said = f"is for cards of {least:,} MiB and more; this one has {card.mib:,}, which {name} fits"
        return Check("profile-fits", subject, "WARN", said, _instead(seen, best))
    said = "fits the card" if active == best else f"fits the card; {name} would make more of it"
    return Check("profile-fits", subject, "OK", said)


def _shared(seen: Seen, card: hardware.Card, told: Told) -> list[Check]:
    """Where others leave less than the profile counts on."""
    free = told.more.get(card.index, {}).get("free")
    if free is None or not card.mib:
        return []
    active, left = _active(seen), _best(free)
    weights = needs.weights(seen.environment) or 0
    facts = {"free": free}
    if free * needs.MIB < 2 * weights:
        said = f"{free:,} MiB free: too little for {needs.model(seen.environment)} and a batch"
    elif active is not None and left > max(active, _best(card.mib)):
        said = f"{free:,} of {card.mib:,} MiB free: others leave what profile {hardware.PROFILES[left][1]} is made for"
    else:
        return []
    return [Check("card-shared", f"card {card.index}", "WARN", said, "end them (nvidia-smi names them)", facts)]


def _type(seen: Seen, card: hardware.Card) -> list[Check]:
    """Whether CTranslate2 can compute in the profile's type on this card."""
    kind = seen.environment.get("RUN_APP_COMPUTE_TYPE", "auto")
    if card.capability == (0, 0):
        return []
    least = (8, 0) if "bfloat16" in kind else (7, 0) if "float16" in kind else (0, 0)
    if card.capability >= least:
        return []
    said = "needs compute capability {}.{}".format(*least) + ", this card has {}.{}".format(*card.capability)
    fast = "float16" if card.capability >= (7, 0) else "int8" if card.capability == (6, 1) else "float32"
    todo = f"run-app --set RUN_APP_COMPUTE_TYPE={fast}"
    return [Check("compute-type", f"RUN_APP_COMPUTE_TYPE={kind}", "WARN", said, todo)]


def _driver(told: Told) -> list[Check]:
    if not told.cuda:
        return [Check("driver", "driver", "SKIP", "neither its version nor its CUDA is told", "nvidia-smi")]
    knows = f"{told.cuda // 1000}.{told.cuda % 1000 // 10}"
    wanted = max(CUDA_OF_CTRANSLATE2, _cuda_of_torch() or 0)
    facts = {"driver": told.driver, "cuda": knows, "wanted": wanted}
    said = f"{told.driver} knows CUDA {knows}"
    if told.cuda // 1000 < wanted:
        least = {12: "525.60", 13: "580.65"}.get(wanted, "the newest")
        said += f"; torch or CTranslate2 here are built for CUDA {wanted}, and can't start on it"
        return [Check("driver", "driver", "FAIL", said, f"install an NVIDIA driver of {least} or newer", facts)]
    return [Check("driver", "driver", "OK", f"{said}; the libraries here take CUDA {wanted}", "", facts)]


def _cuda_of_torch() -> int | None:
    """The CUDA that the installed torch is built for, from its files: it is not imported."""
    try:
        text = Path(str(metadata.distribution("torch").locate_file("torch/version.py"))).read_text()
    except (metadata.PackageNotFoundError, OSError):
        return None
    found = re.search(r"^cuda\b.*= '(\d+)\.", text, re.M)
    return int(found[1]) if found else None


def _wsl_driver(seen: Seen, driver: str) -> Check:
    id, subject = "wsl-driver", "driver under WSL"
    values = (seen.environment.get(name, "") for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"))
    on = any(("expandable_segments", "True") in allocator.options(value) for value in values)
    number = tuple(int(part) for part in re.findall(r"\d+", driver)[:2])
    mended = "{}.{}".format(*WSL_MENDED)
    if not number:
        return Check(id, subject, "SKIP", "its version is not told", "nvidia-smi")
    if number >= WSL_MENDED:
        return Check(id, subject, "OK", f"{driver}: expandable_segments works from {mended} on")
    if not on:
        return Check(id, subject, "OK", f"{driver}: before {mended} expandable_segments can fail; it is off here")
    said = f"{driver}: before {mended} expandable_segments:True can end in `CUDA driver error: unknown error`"
    profile = ",".join([*(name for name in seen.profiles if name != "wsl"), "wsl"])
    return Check(id, subject, "WARN", said, f"run-app --profile {profile}, or a driver of {mended} or newer")


def torch_checks(seen: Seen) -> list[Check]:
    """Whether torch was compiled for the card. Nothing where there is no card, or no torch, or no use for both."""
    if _idle(seen) or not needs.has_torch():
        return []
    told = ask(seen.environment)
    if isinstance(told, Ended) or not told.shown or told.shown[0].capability == (0, 0):
        return []
    card = told.shown[0]
    ended = run_python(_ARCHITECTURES, seen.environment)
    if ended.code or not isinstance(ended.said, list):
        said = ended.death.line if ended.death else "said nothing"
        return [Check("torch-architectures", "torch", "SKIP", f"its architectures are not told: {said}")]
    version, flags = ended.said
    return [judge_torch(version, flags, card, seen.environment)]


def judge_torch(version: str, flags: str, card: hardware.Card, environment: Mapping[str, str]) -> Check:
    """What its list of architectures means for this card."""
    built = architectures.from_flags(flags)
    said = f"{version} carries {built}; the card is " + "{}.{}".format(*card.capability)
    facts = {"flags": flags}
    way = built.runs(card.capability)
    no_jit = environment.get("CUDA_DISABLE_PTX_JIT", "0") not in ("", "0")
    status: Status = "OK" if way == "code" or (way == "ptx" and not no_jit) else "FAIL"
    if way == "ptx":
        said += ": compiled from PTX at first use" + (", which CUDA_DISABLE_PTX_JIT forbids" if no_jit else "")
    if not flags:
        said, status = f"{version} is built without CUDA", "FAIL"
    todo = "run-app --unset CUDA_DISABLE_PTX_JIT" if way == "ptx" else _other_build(card.capability)
    return Check("torch-architectures", "torch", status, said, todo if status != "OK" else "", facts)


def _other_build(capability: architectures.Capability) -> str:
    if capability < (7, 0):
        return "a torch build for CUDA 12.6, which still has such cards; or run-app --set RUN_APP_DEVICE=cpu"
    return "a newer torch, whose build has this card"
