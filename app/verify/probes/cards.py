"""Prints, as JSON, what NVML or nvidia-smi tell of the cards, their driver and who uses them. No CUDA context."""

from __future__ import annotations

import json
from typing import Any

from app.errors import in_a_line
from launcher import hardware


def main() -> None:
    """Each part as far as it is told: a container and WSL hide processes, a card of shared memory its size."""
    found, why = hardware.cards()
    told: dict[str, Any] = {"why": why, "driver": None, "cuda": None}
    told["cards"] = [
        {"line": f"{card.index},{card.name},{card.mib},{'{}.{}'.format(*card.capability)},{card.uuid}"}
        for card in found
    ]
    if "no answer" not in why:
        try:
            _by_nvml(told)
        except Exception as error:  # no package, no driver, an old one without that call
            if not found:
                told["why"] = f"{why}; NVML says {in_a_line(error)}"
    print(json.dumps(told))


def _by_nvml(told: dict[str, Any]) -> None:
    import pynvml

    pynvml.nvmlInit()
    told["driver"] = _text(pynvml.nvmlSystemGetDriverVersion())
    told["cuda"] = pynvml.nvmlSystemGetCudaDriverVersion()
    for index, card in enumerate(told["cards"]):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        try:
            card["free"] = pynvml.nvmlDeviceGetMemoryInfo(handle).free >> 20
        except pynvml.NVMLError:
            pass
        users: dict[int, int] = {}
        for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
            try:
                for user in ask(handle):
                    users[user.pid] = max(users.get(user.pid, 0), (user.usedGpuMemory or 0) >> 20)
            except pynvml.NVMLError:
                continue
        card["users"] = [[_name(pynvml, pid), mib] for pid, mib in users.items()]


def _name(pynvml: Any, pid: int) -> str:
    try:
        path = _text(pynvml.nvmlSystemGetProcessName(pid))
    except pynvml.NVMLError:
        return f"process {pid}"
    return f"{path.rpartition('/')[2]} ({pid})"


def _text(told: str | bytes) -> str:
    return told.decode(errors="replace") if isinstance(told, bytes) else told


if __name__ == "__main__":
    main()
