"""What the OpenMP libraries of torch and CTranslate2 took from the environment: `openmp.py 2`.

They are opened by their files, without torch. 2 is the number that is expected: where all cores could give the same,
this process keeps to one core first. With OMP_DISPLAY_ENV=verbose each tells more on stderr, after its own line.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import sys
from pathlib import Path

PLACES = {"torch": ("torch/lib", "torch.libs"), "CTranslate2": ("ctranslate2.libs",)}


def found() -> dict[str, Path]:
    """Each one's libgomp, where it is installed and brings one."""
    files: dict[str, Path] = {}
    for name, folders in PLACES.items():
        spec = importlib.util.find_spec(name.lower())
        for package in spec.submodule_search_locations or () if spec else ():
            for folder in folders:
                for file in sorted((Path(package).parent / folder).glob("libgomp*.so*")):
                    files.setdefault(name, file)
    return files


def keep_to_one_core() -> None:
    """So that the number of cores, which OpenMP takes by default, is not the expected number by chance."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    """Open each, and ask it."""
    if sys.argv[1] != "1":
        keep_to_one_core()
    threads = {}
    for name, file in found().items():
        os.write(2, f"library {name}\n".encode())
        threads[name] = ctypes.CDLL(str(file)).omp_get_max_threads()
    print(json.dumps({"threads": threads} if threads else {"fault": "neither torch nor CTranslate2 is installed"}))


if __name__ == "__main__":
    main()
