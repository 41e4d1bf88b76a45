"""What this machine is: WSL or not, which cards, how much memory. Never opens a CUDA context."""

import os

from launcher import LauncherError, execute
from launcher import under_wsl as under_wsl
from launcher.profiles import Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# A card's memory decides, whatever its architecture (MiB by NVML; a "48 GB" card shows 46,068 to 49,140).
PROFILES = ((90_000, "blackwell96"), (44_000, "gpu48"), (0, "gpu"))
# A driver that hangs must not take the start with it.
TIMEOUT_S = 5.0
WSL_LIBRARIES = "/usr/lib/wsl/lib"
MOUNTS = "/proc/self/mounts"
QUERY = "--query-gpu=index,name,memory.total,compute_cap,uuid"


class Card:
    """One card as NVML or nvidia-smi describes it; memory 0 or capability (0, 0) where it would not say."""

    __slots__ = ("capability", "index", "mib", "name", "uuid")

    def __init__(self, line: str) -> None:
        fields = [field.strip() for field in line.split(",")]
        self.index, self.name, mib, capability, self.uuid = fields
        self.mib = int(mib) if mib.isdigit() else 0
        major, _, minor = capability.partition(".")
        self.capability = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)

    def __str__(self) -> str:
        mib = f", {self.mib} MiB" if self.mib else ", memory unknown"
        return self.name + mib + (", compute capability {}.{}".format(*self.capability) if self.capability[0] else "")


def on_windows_drive(path: str) -> bool:
    """Whether WSL shows `path` from a Windows drive, where every file may seem writable by all."""
    if not under_wsl():
        return False
    import re

    path = os.path.realpath(path)
    longest, kind = -1, ""
    with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point, its_kind = line.split(" ")[1:3]
            # The kernel writes a blank as \040.
            point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point).rstrip("/")
            # Of two mounts on one folder the later one is seen.
            if f"{path}/".startswith(f"{point}/") and len(point) >= longest:
                longest, kind = len(point), its_kind
    return kind in ("9p", "drvfs", "v9fs")


def cards() -> tuple[list[Card], str]:
    """Every card in NVML's order; and, where there is none, why.

    The question is put by a child process: a library that hangs in the kernel can be left behind, not awaited.
    """
    import select
    import time

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writer)
    os.close(writer)
    said = b""
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while True:
            if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
                os.kill(child, 9)
                # Stuck in the kernel it dies only when the driver lets go of it.
                for _ in range(50):
                    if os.waitpid(child, os.WNOHANG)[0]:
                        break
                    time.sleep(0.002)
                return [], f"the driver gave no answer within {TIMEOUT_S:g} s"
            if not (part := os.read(reader, 65536)):
                break
            said += part
    finally:
        os.close(reader)
    os.waitpid(child, 0)
    found = [Card(line) for line in said.decode(errors="replace").splitlines() if line.count(",") == 4]
    return found, "" if found else "neither NVML nor nvidia-smi shows one"


def _answer(writer: int) -> "NoReturn":
    """In the child: a line for each card into `writer`, by NVML or else by becoming nvidia-smi."""
    try:
        # In this order: where the streams were closed, the pipe itself may have become 0, 1 or 2.
        os.dup2(writer, 1)
        os.set_inheritable(1, True)
        sink = os.open(os.devnull, os.O_RDWR)
        os.dup2(sink, 0)
        os.dup2(sink, 2)
        lines = _by_nvml()
        if lines:
            os.write(1, "\n".join(lines).encode())
            os._exit(0)
        path = os.environ.get("PATH", os.defpath)
        environment = {**os.environ, "PATH": f"{path}:{WSL_LIBRARIES}", "LC_ALL": "C"}
        smi = execute.search("nvidia-smi", environment)
        os.execve(smi, [smi, QUERY, "--format=csv,noheader,nounits"], environment)
    except (OSError, LauncherError):
        pass
    finally:
        os._exit(1)


def _by_nvml() -> list[str]:
    try:
        import pynvml
    except ImportError:
        return []
    lines = []
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            card = pynvml.nvmlDeviceGetHandleByIndex(index)
            name, uuid = pynvml.nvmlDeviceGetName(card), pynvml.nvmlDeviceGetUUID(card)
            try:
                mib = pynvml.nvmlDeviceGetMemoryInfo(card).total >> 20
            except pynvml.NVMLError:
                # A card that shares the machine's memory has none of its own to tell.
                mib = 0
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(card)
            lines.append(f"{index},{name},{mib},{major}.{minor},{uuid}")
    except pynvml.NVMLError:
        return []
    return lines


def visible(found: list[Card], devices: str) -> list[Card]:
    """What CUDA would make of CUDA_VISIBLE_DEVICES: its order, and nothing behind an entry that is no card."""
    shown = []
    for word in map(str.strip, devices.split(",")):
        if word.startswith("MIG-"):
            # NVML lists whole cards; of a slice only its name is known here.
            shown.append(Card(f"{word},a slice of a card ({word}),,,{word}"))
            continue
        match = [
            card for card in found if word == card.index or (word.startswith("GPU-") and card.uuid.startswith(word))
        ]
        if not match:
            break
        shown.append(match[0])
    return shown


def choose(devices: str | None, *, settable: bool = True) -> tuple[list[str], list[Setting], str]:
    """The profiles that fit this machine, what only this card needs, and the reason in words.

    `devices` is the CUDA_VISIBLE_DEVICES that the program will see. Without one, it may be `settable` or not.
    """
    found, why = cards()
    settings: list[Setting] = []
    if devices is None:
        ranked = sorted(found, key=lambda card: -card.mib) if settable else found
        if ranked and ranked[0] is not found[0]:
            # The profile is sized for the largest card, and a program takes the first it sees.
            order = ",".join(card.index for card in ranked)
            settings.append(Setting("CUDA_VISIBLE_DEVICES", order, "auto"))
            why = f"the largest of {len(found)}, put first by CUDA_VISIBLE_DEVICES={order}"
        elif len(found) > 1:
            why = f"card {ranked[0].index} of {len(found)}"
    else:
        ranked = visible(found, devices)
        why = f"by CUDA_VISIBLE_DEVICES={devices}" if found else why
    if ranked:
        card = ranked[0]
        names = [next(name for least, name in PROFILES if card.mib >= least)]
        reason = f"{card}" + (f" ({why})" if why else "")
        if (0, 0) < card.capability < (7, 0):
            # CTranslate2: float16 needs 7.0, and of the older ones only 6.1 has fast integers.
            kind = "int8" if card.capability == (6, 1) else "float32"
            settings.append(Setting("RUN_APP_COMPUTE_TYPE", kind, "auto"))
            reason += f", no float16 before 7.0: {kind}"
    else:
        names, reason = ["cpu"], f"no card ({why})"
    if under_wsl():
        names.append("wsl")
        reason += "; under WSL"
    return names, settings, reason
