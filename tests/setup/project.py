"""A small project of its own around a copy of the scripts: real bash, real venv, real pip; only uv is a double."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

BASE_PYTHON = Path(sys.executable).resolve()

TOOLS = (
    "awk bash cat chmod cmp cp cut df dirname du env find flock grep head ln mkdir mktemp mv readlink rm sh "
    "sleep sort stat tail touch tr uname"
).split()
"""All that the scripts may need besides Python; what is not here is not on the PATH of the tests."""

UV_DOUBLE = r"""#!/bin/bash
echo "$*" >>"$UV_CALLS"
bin=$(dirname "$0")
program() { printf '#!/bin/bash\n%s\n' "$2" >"$bin/$1"; chmod +x "$bin/$1"; }
case "$1 ${2-}" in
"--version ") echo "uv 0.0.1" ;;
"pip sync")
    case "${UV_DOUBLE-}" in
    real) exec "$REAL_UV" "$@" ;;
    slow) sleep 1 ;;
    hang) echo $$ >"$UV_CALLS.pid"; exec sleep 60 ;;
    ?*) echo "$UV_DOUBLE" >&2; exit 2 ;;
    esac
    [[ $* != *requirements-test.lock* ]] || for tool in ruff mypy pytest; do
        program "$tool" "{ printf '%s' $tool; for a; do printf ' <%s>' \"\$a\"; done; echo; } >>\"\$UV_CALLS.tools\"
            [[ \${FAILING-} != $tool ]]"
    done ;;
"pip install") program run-app 'printf "<%s>" "$PWD" "$@"; exit "${RUN_APP_CODE:-0}"' ;;
esac
"""
"""Writes down how it was called; its install makes a run-app that prints its folder and arguments."""


def uv_wheel(folder: Path) -> str:
    """A wheel of the double in `folder`. Returns its sha256."""
    path = folder / "uv-0.0.1-py3-none-any.whl"
    files = {
        "uv-0.0.1.data/scripts/uv": UV_DOUBLE,
        "uv-0.0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: uv\nVersion: 0.0.1\n",
        "uv-0.0.1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},\n"
        for name, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in (*files.items(), ("uv-0.0.1.dist-info/RECORD", record)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16  # a plain file that pip keeps executable
            wheel.writestr(entry, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock(requirement: str, sha256: str) -> str:
    return f"{requirement} \\\n    --hash=sha256:{sha256}\n"


def where_is(tool: str) -> Path:
    path = shutil.which(tool)
    assert path, f"the scripts need {tool}"
    return Path(path)


@dataclass
class Project:
    """`root` has a space in it; `bin` is all of PATH; `env` holds nothing of the machine's settings."""

    home: Path
    root: Path = field(init=False)
    bin: Path = field(init=False)
    calls_log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.home / "a project"
        self.bin = self.home / "bin"
        self.calls_log = self.home / "calls"
        wheels = self.home / "wheels"
        for folder in (self.bin, wheels):
            folder.mkdir()
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for tool in TOOLS:
            (self.bin / tool).symlink_to(where_is(tool))
        (self.bin / "python3").symlink_to(BASE_PYTHON)
        sha256 = uv_wheel(wheels)
        self.write("requirements.lock", lock("other==1", "0" * 64) + lock("uv==0.0.1", sha256))
        self.write("requirements-test.lock", "pytest==1\n")
        self.write("pyproject.toml", '[project]\nname = "run-app"\n')
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "UV_CALLS": str(self.calls_log),
            "VENV_DISK_MB": "100",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
        }

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def program(self, name: str, text: str) -> None:
        """A program on PATH, in place of what was there."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def python_double(self, name: str, change: str) -> None:
        """`name` on PATH: the real interpreter, which `change` makes look like another one when it is examined."""
        code = f"import platform, sys; {change}; exec(sys.argv[1])"
        self.program(name, f"exec '{BASE_PYTHON}' -I -c '{code}' \"$3\"")

    def start(self, *args: str, script: str = "run", cwd: str | Path = "", **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "scripts" / script, *args],
            cwd=cwd or self.home,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Where the tests run in some script's background SIGINT is ignored, and a shell hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(
        self, *args: str, script: str = "run", cwd: str | Path = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, script=script, cwd=cwd, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def change(self, name: str) -> None:
        """Another content, the same meaning."""
        with (self.root / name).open("a") as file:
            file.write("# changed\n")

    def calls(self) -> list[str]:
        """What uv was asked since the last time this was asked, its version aside."""
        lines = self.calls_log.read_text().splitlines() if self.calls_log.exists() else []
        self.calls_log.unlink(missing_ok=True)
        return [" ".join(line.split()[:2]) for line in lines if line != "--version"]
