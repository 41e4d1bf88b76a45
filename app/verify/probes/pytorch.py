"""What torch took from the environment, without CUDA being initialised: `pytorch.py 2` (as openmp.py's number)."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any


def main() -> None:
    """Import it, and ask."""
    said: dict[str, Any] = {"fault": "torch is not installed"}
    if importlib.util.find_spec("torch"):
        if sys.argv[1] != "1":
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        said = ask()
    print(json.dumps(said))


def ask() -> dict[str, Any]:
    """Whatever it answers."""
    try:
        import torch
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        return {"fault": f"import of torch: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    said: dict[str, Any] = {"version": torch.__version__, "threads": torch.get_num_threads()}
    if torch.version.cuda is None:
        return {**said, "without_cuda": True}
    try:
        said["backend"] = torch.cuda.memory.get_allocator_backend()
        if hasattr(torch._C, "_accelerator_getAllocatorSettings"):
            said["string"] = torch._C._accelerator_getAllocatorSettings()
        if said["backend"] == "native":  # the other one has no snapshot
            said["settings"] = torch._C._cuda_memorySnapshot(None)["allocator_settings"]
            said.setdefault("string", said["settings"].get("PYTORCH_CUDA_ALLOC_CONF", ""))
    except (RuntimeError, ValueError) as error:
        said["refused"] = str(error).strip().partition("\n")[0]
    return {**said, "initialised": torch.cuda.is_initialized()}


if __name__ == "__main__":
    main()
