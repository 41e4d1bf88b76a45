"""What this interpreter took from a variable of its own: `interpreter.py PYTHONFAULTHANDLER`."""

from __future__ import annotations

import faulthandler
import json
import sys
from collections.abc import Callable

READERS: dict[str, Callable[[], object]] = {
    "PYTHONFAULTHANDLER": faulthandler.is_enabled,
    "PYTHONUNBUFFERED": lambda: getattr(sys.stdout, "write_through", False),
    "PYTHONDONTWRITEBYTECODE": lambda: sys.dont_write_bytecode,
    "PYTHONOPTIMIZE": lambda: sys.flags.optimize,
    "PYTHONDEVMODE": lambda: sys.flags.dev_mode,
    "PYTHONUTF8": lambda: sys.flags.utf8_mode,
    "PYTHONNOUSERSITE": lambda: sys.flags.no_user_site,
    "PYTHONVERBOSE": lambda: sys.flags.verbose,
    # By its flag, not by a hash: those are never twice the same without it.
    "PYTHONHASHSEED": lambda: sys.flags.hash_randomization,
    "PYTHONIOENCODING": lambda: f"{sys.stdout.encoding}:{sys.stdout.errors}",
    "PYTHONWARNINGS": lambda: sys.warnoptions,
    "PYTHONPYCACHEPREFIX": lambda: sys.pycache_prefix,
    "PYTHONPATH": lambda: sys.path,
    "PYTHONINTMAXSTRDIGITS": lambda: sys.get_int_max_str_digits(),
}
"""By what each can be seen."""

if __name__ == "__main__":
    print(json.dumps({"is": READERS[sys.argv[1]]()}))
