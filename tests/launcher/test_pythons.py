"""${SITE_PACKAGES} is the folder of the Python that will run: ours is nothing to another one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, Run

Profile = Callable[..., Path]
Shown = Callable[..., str]
REAL = Path(PYTHON).resolve()
SHIM = """#!/usr/bin/env bash
set -e
[ -n "$PYENV_DEBUG" ] && set -x

program="${{0##*/}}"

export PYENV_ROOT="{root}"
exec "{root}/libexec/pyenv" exec "$program" "$@"
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def shown(run_app: Run, profile: Profile) -> Shown:
    """Call it with a command; what ${SITE_PACKAGES} is for it, and whatever was said."""
    profile("X=${SITE_PACKAGES}")

    def show(*command: str | Path, env: dict[str, str] | None = None, **options: object) -> str:
        done = run_app("-p", "mine", "--print=sh", "--", *command, env=env, **options)
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("export X=")]
        return str(line).removeprefix("export X=").rstrip(";") + str(done.stderr)

    return show


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A real one, in a folder whose name has a blank."""
    folder = tmp_path / "a venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def site(prefix: Path) -> str:
    (found,) = prefix.glob("lib/python3*/site-packages")
    return str(found)


@pytest.fixture
def own(shown: Shown) -> str:
    return shown("true")


def test_of_a_venv_by_its_python_or_a_script_of_it(shown: Shown, venv: Path, tmp_path: Path, own: str) -> None:
    quoted = f"'{site(venv)}'"
    python = venv / "bin/python"
    link = tmp_path / "venv"
    link.symlink_to(venv)
    script(link / "bin/plain", f"#!{link}/bin/python\n")
    script(venv / "bin/long", f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n")
    env = {"PATH": f"{venv}/bin:{os.environ['PATH']}"}
    script(tmp_path / "env", "#!/usr/bin/env python3\n")
    script(tmp_path / "split", "#!/usr/bin/env -S PYTHONUTF8=1 python3 -X dev\n")
    for command in (python, "python3", venv / "bin/long", tmp_path / "env", tmp_path / "split"):
        assert shown(command, env=env) == quoted, command
    assert shown(link / "bin/plain") == site(link)
    assert shown(PYTHON, env=env) == own


def test_of_a_venv_made_of_copies(shown: Shown, tmp_path: Path) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--copies", "--without-pip", tmp_path / "copies"], check=True)
    assert shown(tmp_path / "copies/bin/python") == site(tmp_path / "copies")


def test_of_every_python_of_this_machine_it_is_what_that_one_says(shown: Shown, tmp_path: Path) -> None:
    """The paths a real interpreter imports from are the judge."""
    pythons = {file for folder in ("/usr/bin", "/usr/local/bin") for file in Path(folder).glob("python3.[0-9]*")}
    pythons |= {REAL, *REAL.parents[2].glob("*/bin/python3.[0-9]*")}
    pythons = {file for file in pythons if file.name[8:].isdigit()}
    ask = "import sys, os; print([p for p in sys.path if p.endswith('-packages') and os.path.isdir(p)])"
    for python in sorted(pythons):
        env = {"HOME": str(tmp_path)}
        folders = eval(subprocess.run([python, "-c", ask], env=env, capture_output=True, check=True).stdout)
        if folders:
            assert shown(python) in folders
        for folder in folders:
            if Path(folder, "nvidia").is_dir():
                assert Path(shown(python), "nvidia").is_dir()


def fake(prefix: Path, *folders: str) -> Path:
    """A file that looks like an installed Python 3.9, and the folders it would look into."""
    for folder in folders:
        (prefix / folder).mkdir(parents=True)
    return script(prefix / "bin/python3.9", "\x7fELF")


def test_debians_own_python_keeps_its_packages_elsewhere(shown: Shown, tmp_path: Path) -> None:
    usr = tmp_path / "usr"
    python = fake(usr, "lib/python3/dist-packages", "lib/python3.9/site-packages", "local/lib/python3.9/site-packages")
    assert shown(python) == f"{usr}/lib/python3/dist-packages"
    installed = usr / "local/lib/python3.9/dist-packages"
    installed.mkdir()
    assert shown(python) == str(installed)
    # Where the libraries are decides.
    (usr / "lib/python3/dist-packages/nvidia").mkdir()
    assert shown(python) == f"{usr}/lib/python3/dist-packages"
    user = tmp_path / ".local/lib/python3.9/site-packages"
    (user / "nvidia").mkdir(parents=True)
    assert shown(python) == str(user)
    assert shown(python, env={"PYTHONNOUSERSITE": "1"}) == f"{usr}/lib/python3/dist-packages"


def test_of_a_venv_it_is_the_venvs_and_the_systems_only_where_it_says_so(shown: Shown, tmp_path: Path) -> None:
    base = fake(tmp_path / "opt", "lib/python3.9/site-packages/nvidia")
    fake(tmp_path / "venv", "lib/python3.9/site-packages").unlink()
    python, config = tmp_path / "venv/bin/python", tmp_path / "venv/pyvenv.cfg"
    python.symlink_to(base)
    for system, prefix in (("false", "venv"), ("true", "opt")):
        config.write_text(f"home = {base.parent}\ninclude-system-site-packages = {system}\nversion = 3.9.2\n")
        assert shown(python) == f"{tmp_path}/{prefix}/lib/python3.9/site-packages"


def test_what_another_python_lacks_is_dropped_and_never_taken_from_ours(
    run_app: Run, profile: Profile, tmp_path: Path
) -> None:
    python = fake(tmp_path / "opt")
    path = profile("LD_LIBRARY_PATH=${SITE_PACKAGES}/nvidia/cublas/lib")
    done = run_app("-p", "mine", "--print=sh", "--", python)
    absent = tmp_path / "opt/lib/python3.9/site-packages/nvidia/cublas/lib"
    assert done.stderr == f"run-app: {path}:1: not installed, so left out of LD_LIBRARY_PATH: {absent}\n"
    assert "LD_LIBRARY_PATH" not in done.stdout


@pytest.fixture
def pyenv(tmp_path: Path) -> Path:
    """What pyenv leaves on a disk: shims, and versions with their programs."""
    root = tmp_path / "pyenv"
    for version in ("3.9.2", "3.9.18", "3.10.1"):
        fake(root / "versions" / version, "lib/python3.9/site-packages")
        (root / f"versions/{version}/bin/python").symlink_to("python3.9")
    script(root / "versions/3.9.18/bin/tool", f"#!{root}/versions/3.9.18/bin/python3.9\n")
    for program in ("python", "tool"):
        script(root / "shims" / program, SHIM.format(root=root))
    (root / "version").write_text("3.10.1\n")
    return root


def test_a_shim_of_pyenv_is_followed(shown: Shown, pyenv: Path, tmp_path: Path) -> None:
    def packages(version: str) -> str:
        return f"{pyenv}/versions/{version}/lib/python3.9/site-packages"

    env = {"PATH": f"{pyenv}/shims:{os.environ['PATH']}"}
    assert shown("python", env=env) == packages("3.10.1")
    (tmp_path / ".python-version").write_text("# ours\n\n3.9.2\n")
    below = tmp_path / "below"
    below.mkdir()
    assert shown("python", env=env, cwd=below) == packages("3.9.2")
    assert shown("python", env=env, cwd="/") == packages("3.10.1")
    # The newest, as numbers go; and the first that has the program.
    assert shown("python", env=env | {"PYENV_VERSION": "3.9"}) == packages("3.9.18")
    assert shown("tool", env=env | {"PYENV_VERSION": "3.10.1:3.9.18"}) == packages("3.9.18")


def test_pyenvs_system_is_the_next_on_the_path(shown: Shown, pyenv: Path, venv: Path) -> None:
    env = {"PATH": f"{pyenv}/shims:{venv}/bin:{os.environ['PATH']}", "PYENV_VERSION": "system"}
    assert shown("python", env=env) == f"'{site(venv)}'"


@pytest.mark.parametrize("wrapper", [SHIM.format(root="/no/pyenv"), '#!/bin/sh\nexec asdf exec python "$@"\n', ""])
def test_a_python_that_cannot_be_seen_gets_none_and_says_so(
    run_app: Run, profile: Profile, tmp_path: Path, wrapper: str
) -> None:
    path = profile("LD_LIBRARY_PATH=${SITE_PACKAGES}/nvidia/cublas/lib")
    python = script(tmp_path / "bin/python", wrapper)
    if not wrapper:
        # As mise does it: one program under the names of all.
        script(tmp_path / "bin/mise", "\x7fELF")
        python.unlink()
        python.symlink_to("mise")
    done = run_app("-p", "mine", "--print=sh", "--", "python", env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert "LD_LIBRARY_PATH" not in done.stdout
    first, second = done.stderr.splitlines()
    assert first.startswith("run-app: python: which Python it starts cannot be seen from its file")
    assert second == f"run-app: {path}:1: not installed, so left out of LD_LIBRARY_PATH: /dev/null/nvidia/cublas/lib"


def test_what_is_no_python_gets_ours(shown: Shown, tmp_path: Path, own: str) -> None:
    shell = script(tmp_path / "tool", "#!/bin/sh\n")
    config = script(tmp_path / "python3-config", "#!/bin/sh\n")
    loop = script(tmp_path / "bin/node", "#!/usr/bin/env node\n")
    assert {shown(command) for command in (shell, config, "sh", "/no/such/python")} == {own}
    assert shown(loop, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}) == own
