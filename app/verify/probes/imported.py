"""Imports modules, and says how long that took and what it left in memory, or what they raised."""

from __future__ import annotations

import faulthandler
import importlib
import json
import re
import sys
import time
from pathlib import Path


def main(patience: str, *modules: str) -> None:
    """After so many seconds the lines of Python that it stands at go to stderr, for whoever ends it then."""
    faulthandler.dump_traceback_later(float(patience))
    begin = time.monotonic()
    try:
        for module in modules:
            importlib.import_module(module)
    except BaseException as error:  # whatever a package raises is the finding
        print(json.dumps({"error": type(error).__name__, "text": str(error)}), flush=True)
        raise
    seconds = time.monotonic() - begin
    faulthandler.cancel_dump_traceback_later()
    resident = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    mib = int(resident[1]) / 1024 if resident else None
    print(json.dumps({"seconds": round(seconds, 2), "mib": mib and round(mib)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
