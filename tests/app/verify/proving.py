"""Variables proved in real processes: started with them by exec, without them, or given them by Python too late."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.verify import Check, Seen
from app.verify.proofs import Asked
from app.verify.variables import PROOFS

TELL = """
import dataclasses, json
from app.commands.verify import read
from app.verify.variables import tasks
print(json.dumps([dataclasses.asdict(check) for task in tasks(read()) for check in task.run()]))
"""
TOKEN = "hf_abcdefghijklmnop"
NEEDS = {
    "HF": "huggingface_hub",
    "PYANNOTE": "pyannote",
    "GRADIO": "gradio",
    "TOKENIZERS": "tokenizers",
    "OMP": "ctranslate2",
    "GOMP": "ctranslate2",
}

Values = dict[str, str]


def named(values: Mapping[str, str]) -> Values:
    """As the launcher tells what it set."""
    return {"RUN_APP_SETTINGS": ",".join(values), "RUN_APP_PROFILE": "test"}


def verified(environment: Values, late: Mapping[str, str] | None = None, under: str = ":") -> dict[str, Check]:
    """The checks of a process that was started so, by the variable; `late` it gives itself after its start, `under` is
    a command of the shell that comes before it.
    """
    lines = f"import os\nos.environ.update({dict(late or {})!r})\n{TELL}"
    command = ["bash", "-c", f'{under} && exec "$@"', "bash", sys.executable, "-P", "-c", lines]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout
    return {check["subject"].partition("=")[0]: Check(**check) for check in json.loads(done.stdout)}


def proof(name: str, value: str, environment: Values) -> Check:
    """The proof of this value for processes that are started with `environment`, whatever that holds."""
    return PROOFS[name].run(Asked(PROOFS[name].id, name, value, Seen(environment, {}, (name,), ("test",))))


def need(name: str) -> None:
    library = NEEDS.get(name.partition("_")[0])
    if library and not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")


def compile_library(folder: Path, name: str, source: str) -> Path:
    """A shared library of these lines of C."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    (folder / "source.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / name, folder / "source.c", "-ldl"], check=True)
    return folder / name
