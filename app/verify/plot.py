"""The memory curve of `verify --startup` as a picture."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from app.commands import need
from app.errors import UsageError
from app.verify import Check, Seen
from app.verify.child import run
from app.verify.loading import StartUp

MODULE = "app.verify.probes.plot"


def check(path: Path) -> None:
    """Say before the models are loaded what would keep the picture from being written. Raises UsageError."""
    need("--plot", "app", "matplotlib")
    folder = path.absolute().parent
    if path.suffix != ".png":
        raise UsageError(f"--plot {path}: the picture is a PNG: its name must end with .png")
    if not folder.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {folder}")
    if path.is_dir():
        raise UsageError(f"--plot {path}: that is a folder")
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--plot {path}: it can't be written there ({error.strerror})") from None


def write(found: StartUp, path: Path, seen: Seen) -> Check:
    """Draw it, in a child; the check says how that went."""
    profile = f"profile {','.join(seen.profiles)}" if seen.profiles else "no profile"
    data = {
        "curve": found.curve,
        "marks": [(at, stage) for at, stage in found.marks if not stage or stage in {row.stage for row in found.rows}],
        "title": f"Memory while the models are loaded, {profile}",
    }
    if not found.curve:
        return Check("startup-plot", f"--plot {path}", "SKIP", "nothing was loaded: no curve to draw")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        words = [sys.executable, "-P", "-X", "faulthandler", "-m", MODULE, file.name, str(path.absolute())]
        ended = run(words, seen.environment)
    if ended.code:
        said = (ended.log.strip().splitlines() or ["nothing was printed"])[-1]
        reason = ended.death.line if ended.code < 0 and ended.death else said
        return Check("startup-plot", f"--plot {path}", "FAIL", reason, "name another file, or leave --plot out")
    return Check("startup-plot", f"--plot {path}", "OK", f"{path.stat().st_size / 1024:,.0f} KiB written")
