"""A section of the report, made in a process of its own: started by exec, under the limits that a test sets."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.verify import Check, needs

_LOOK = """
import dataclasses, importlib, json, sys
from pathlib import Path
from app.commands.verify import read

name, root, only, *more = sys.argv[1:]
tasks = importlib.import_module(f"app.verify.{name}").tasks(read("--fix-hints" in more), Path(root))
checks = [check for task in tasks if only in ("", task.name) for check in task.run()]
print(json.dumps([dataclasses.asdict(check) for check in checks]))
"""
with_torch = pytest.mark.skipif(not needs.has_torch(), reason="torch is not installed: nothing needs its memory")
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def look(
    section: str,
    *more: str,
    root: Path = Path("/"),
    only: str = "",
    after: str = ":",
    namespace: bool = False,
    environment: dict[str, str] | None = None,
) -> list[Check]:
    """What a section finds. A shell starts it after the command `after`, which sets limits, or mounts disks in a
    `namespace`. `only` names one of its tasks. The environment holds nothing but what is given.
    """
    words = [sys.executable, "-P", "-c", _LOOK, section, str(root), only, *more]
    shell = ["bash", "-c", f"{after} && exec {shlex.join(words)}"]
    done = subprocess.run(
        [*NAMESPACE, *shell] if namespace else shell,
        env={"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1"} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    if namespace and ("unshare" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [Check(**check) for check in json.loads(done.stdout)]


def the(checks: list[Check], id: str) -> Check:
    """The one check of this name; all that are not OK say what to do."""
    for check in checks:
        assert check.status in ("OK", "SKIP") or check.todo, check
        assert check.status != "OK" or not check.todo, check
    found = [check for check in checks if check.id == id]
    assert len(found) == 1, [(check.id, check.found) for check in checks]
    return found[0]


def of(checks: list[Check], subject: str) -> Check:
    (check,) = [check for check in checks if check.subject == subject]
    return check


def plant(folder: Path, package: str, code: str) -> dict[str, str]:
    """A package of this name that is found before the real one; the environment in which it is."""
    where = folder.joinpath(*package.split("."))
    where.mkdir(parents=True)
    (where / "__init__.py").write_text(code)
    return os.environ | {"PYTHONPATH": str(folder)}


def machine(
    root: Path,
    *,
    total: float = 31.2,
    available: float | None = None,
    swap: float = 8,
    processors: int = 16,
    release: str = "6.8.0-45-generic",
    overcommit: str = "0",
    promised: float = 0,
    group: float | None = None,
) -> Path:
    """A root that shows another machine; sizes in GiB."""
    kib = {
        "MemTotal": total,
        "MemAvailable": total * 0.9 if available is None else available,
        "SwapTotal": swap,
        "SwapFree": swap,
        "CommitLimit": swap + total / 2,
        "Committed_AS": promised,
    }
    files = {
        "proc/meminfo": "".join(f"{name}: {size * 2**20:12.0f} kB\n" for name, size in kib.items()),
        "proc/cpuinfo": "".join(f"processor\t: {number}\nmodel name\t: any\n\n" for number in range(processors)),
        "proc/sys/kernel/osrelease": f"{release}\n",
        "proc/sys/vm/overcommit_memory": f"{overcommit}\n",
        "proc/self/cgroup": "0::/job\n",
        "sys/fs/cgroup/job/memory.max": f"{'max' if group is None else int(group * 2**30)}\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "dev/shm").mkdir(parents=True, exist_ok=True)
    return root
