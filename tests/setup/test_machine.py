"""A machine that lacks something: one line that says what, exit code 2, and nothing half-made that stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.project import Project, lock

UNREACHABLE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "PIP_NO_INDEX": "0",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "1",
    "UV_HTTP_RETRIES": "0",
}


def refusal(project: Project, **env: str) -> str:
    """The one line of a start that is refused before anything is begun."""
    result = project.run("x", **env)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("scripts/run: ")
    return line


def failure(project: Project, **env: str) -> str:
    """The last line of an install that fails midway."""
    project.change("requirements.lock")
    result = project.run("x", **env)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    _, line = result.stderr.splitlines()
    assert f"log: {project.venv / 'install.log'}" in line
    assert not (project.venv / ".ready").exists()
    return line


def forgive(project: Project) -> None:
    """The double has changed nothing: spare the next test the new venv, which takes seconds."""
    (project.venv / ".unfinished").unlink()


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 10, 14), (3, 14, 0)])
def test_a_python_that_does_not_fit_is_named(project: Project, version: tuple[int, int, int]) -> None:
    project.python_double("python3", f"sys.version_info = {version}")
    line = refusal(project)
    assert "Python 3.11, 3.12 or 3.13 is needed; found {}.{}.{}.".format(*version) in line
    assert "apt install python3 python3-venv" in line
    assert not (project.venv / "bin").exists()


@pytest.mark.parametrize("change", ['sys.abiflags = "t"', 'platform.libc_ver = lambda: ("", "")'])
def test_a_build_without_wheels_is_refused(project: Project, change: str) -> None:
    project.python_double("python3", change)
    assert "(not CPython for glibc 2.28 or newer)" in refusal(project)


def test_no_python_at_all(project: Project) -> None:
    (project.bin / "python3").unlink()
    assert "found none." in refusal(project)


def test_a_missing_venv_module_is_named_with_its_package(project: Project) -> None:
    project.python_double("python3", 'sys.version_info = (3, 12, 3); sys.modules["ensurepip"] = None')
    line = refusal(project)
    assert "Python 3.12.3 has no venv module" in line
    assert line.endswith("apt install python3.12-venv")


def test_python_chooses_one_and_no_other(project: Project) -> None:
    project.python_double("mine", "sys.version_info = (3, 8, 1)")
    assert "found under $PYTHON 3.8.1" in refusal(project, PYTHON="mine")
    assert "found under $PYTHON none" in refusal(project, PYTHON="/no/such/python")


def test_another_kind_of_machine_is_refused(project: Project) -> None:
    project.program("uname", "[[ $1 == -s ]] && echo Darwin || echo arm64")
    assert "Linux on x86_64 alone; this is Darwin on arm64" in refusal(project)


def test_a_folder_that_cannot_be_made(project: Project) -> None:
    project.venv.touch()
    assert "cannot write in" in refusal(project)


def test_too_little_room_is_said_before_anything_is_fetched(project: Project) -> None:
    line = refusal(project, VENV_DISK_MB="99000000")
    assert "not enough room: about 99000.0 GB are needed on the disk of" in line
    assert not (project.venv / "bin").exists()


def test_what_the_cache_holds_is_not_asked_for_again(ready: Project) -> None:
    cache = ready.home / "cache"
    cache.mkdir(exist_ok=True)
    (cache / "wheel").write_bytes(bytes(3_000_000))
    script = """
        source '{0}/scripts/machine.sh'; root='{0}'; venv='{0}/.venv'; cache='{1}'; disk_mb={2}
        gb() {{ echo "$1"; }}; free_mb() {{ echo {3}; }}; die() {{ echo "$*"; exit 2; }}; check_room"""
    held = int(subprocess.check_output(["du", "-skc", cache, ready.venv], text=True).split()[-2]) * 1024 // 10**6
    needed = 10 * held
    for free, code in ((needed - held + 2, 0), (needed - held - 2, 2)):
        command = script.format(ready.root, cache, needed, free)
        assert subprocess.run(["bash", "-c", command]).returncode == code


@pytest.mark.slow
def test_a_disk_that_fills_up_midway(ready: Project) -> None:
    said = "error: Failed to install: x\n  cause: failed to copy file: No space left on device (os error 28)"
    line = failure(ready, UV_DOUBLE=said)
    assert "the disk is full: .venv takes about 0.1 GB, and" in line
    assert "free" in line
    result = ready.run("x")
    assert "making .venv with Python" in result.stderr
    assert result.stdout == f"<{ready.home}><x>"


def test_no_network_for_pip(ready: Project) -> None:
    (ready.venv / "bin" / "uv").unlink()
    line = failure(ready, **UNREACHABLE)
    assert "no network: the package index cannot be reached" in line
    assert "UV_DEFAULT_INDEX" in line


def test_no_network_for_uv_leaves_an_older_venv_whole(ready: Project) -> None:
    uv = Path(sys.executable).with_name("uv")
    line = failure(ready, **UNREACHABLE, UV_DOUBLE="real", REAL_UV=str(uv), UV_CACHE_DIR=str(ready.home / "uv"))
    assert "no network: the package index cannot be reached" in line
    assert "bringing .venv up to date" in ready.run("x").stderr


@pytest.mark.parametrize(
    "said",
    [
        "cause: failed to lookup address information: Name or service not known",
        "cause: failed to lookup address information: Temporary failure in name resolution",
        "cause: error decoding response body",
        "cause: Connection reset by peer (os error 104)",
        "cause: operation timed out",
        "cause: invalid peer certificate: UnknownIssuer",
        "WARNING: Retrying after connection broken by 'ReadTimeoutError(...)'",
    ],
)
def test_a_network_fails_in_many_words(ready: Project, said: str) -> None:
    line = failure(ready, UV_DOUBLE=f"error: Failed to fetch: x\n  {said}")
    assert "no network: " in line
    assert said in line


def test_any_other_failure_shows_the_last_reason(ready: Project) -> None:
    line = failure(ready, UV_DOUBLE="error: Hash mismatch for `other==1`\n  cause: expected sha256:00")
    assert "packages could not be installed:   cause: expected sha256:00" in line
    forgive(ready)


def test_a_wheel_with_another_hash_is_not_installed(ready: Project) -> None:
    (ready.venv / "bin" / "uv").unlink()
    good = (ready.root / "requirements.lock").read_text()
    ready.write("requirements.lock", lock("uv==0.0.1", "0" * 64))
    result = ready.run("x")
    ready.write("requirements.lock", good)
    assert result.returncode == 2
    assert "uv could not be installed: " in result.stderr
    assert not (ready.venv / "bin" / "uv").exists()
    forgive(ready)
