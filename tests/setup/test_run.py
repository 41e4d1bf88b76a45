"""scripts/run: what a first, a second and a disturbed call do."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.setup.project import BASE_PYTHON, Project


def wait_for(path: Path) -> str:
    for _ in range(300):
        if path.exists() and path.read_text():
            return path.read_text().strip()
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")


def installs(project: Project) -> list[str]:
    return [call for call in project.calls() if call == "pip sync"]


def test_the_first_call_installs_and_becomes_run_app(project: Project) -> None:
    arguments = ["--profile", "cpu", "", "two words", "*", "--", "-x", "a\nb", "$HOME"]
    result = project.run(*arguments, cwd=project.bin, RUN_APP_CODE="7")
    assert result.returncode == 7
    assert result.stdout == "".join(f"<{text}>" for text in [str(project.bin), *arguments])
    first, last = result.stderr.splitlines()
    assert re.search(r"making \.venv with Python 3\.1\d\.\d+: about 4\.\d GB to download .*, 0\.1 GB on disk", first)
    assert re.search(r"\.venv is ready after \d+ s", last)
    assert project.calls() == ["pip sync", "pip install"]


def test_the_second_call_is_silent_and_starts_neither_python_nor_pip_nor_uv(ready: Project) -> None:
    trap = ready.home / "trap"
    poisoned = [ready.venv / "bin" / name for name in ("python", "pip", "uv")]
    for path in poisoned:
        path.rename(f"{path}.away")
        path.write_text(f"#!/bin/bash\ntouch '{trap}'\n")
        path.chmod(0o755)
    try:
        started = time.perf_counter()
        result = ready.run("x", PATH=f"{ready.venv / 'bin'}:{ready.bin}")
        print(f"the second call: {1000 * (time.perf_counter() - started):.0f} ms")
    finally:
        for path in poisoned:
            Path(f"{path}.away").rename(path)
    assert result.stdout == f"<{ready.home}><x>"
    assert result.stderr == ""
    assert not trap.exists()


def test_it_is_found_through_a_link_from_any_folder(ready: Project, tmp_path: Path) -> None:
    link = tmp_path / "start"
    link.symlink_to(ready.root / "scripts" / "run")
    result = subprocess.run([link, "x"], cwd=tmp_path, env=ready.env, capture_output=True, text=True)
    assert result.stdout == f"<{tmp_path}><x>"
    assert result.stderr == ""


def test_a_changed_lock_brings_the_same_venv_up_to_date(ready: Project) -> None:
    (ready.venv / "kept").touch()
    ready.change("requirements.lock")
    result = ready.run("x")
    assert "bringing .venv up to date" in result.stderr
    assert ready.calls() == ["pip sync", "pip install"]
    assert (ready.venv / "kept").exists()
    assert ready.run("x").stderr == ""


def test_a_changed_pyproject_installs_run_app_again_and_needs_no_network(ready: Project) -> None:
    ready.change("pyproject.toml")
    assert "bringing .venv up to date" in ready.run("x").stderr
    assert ready.calls() == ["pip install"]
    assert ready.run("x").stderr == ""


@pytest.mark.parametrize("broken", ["bin/run-app", ".ready", ".locked"])
def test_a_missing_piece_is_repaired(ready: Project, broken: str) -> None:
    (ready.venv / broken).unlink()
    assert ready.run("x").stdout == f"<{ready.home}><x>"
    assert (ready.venv / broken).exists()


@pytest.mark.slow
def test_a_missing_interpreter_is_a_new_venv(ready: Project) -> None:
    (ready.venv / "bin" / "python").unlink()
    result = ready.run("x")
    assert "making .venv" in result.stderr
    assert result.stdout == f"<{ready.home}><x>"
    assert installs(ready) == ["pip sync"]


@pytest.mark.slow
def test_a_moved_checkout_gets_a_venv_of_its_own(ready: Project) -> None:
    ready.root = ready.root.rename(ready.root.with_name("moved"))
    result = ready.run("x")
    assert "making .venv" in result.stderr
    assert str(ready.venv) in (ready.venv / "bin" / "pip").read_text()


def test_ctrl_c_ends_everything_and_the_next_call_starts_over(ready: Project) -> None:
    (ready.venv / "old").touch()
    ready.change("requirements.lock")
    process = ready.start("x", UV_DOUBLE="hang")
    uv = int(wait_for(Path(f"{ready.calls_log}.pid")))
    os.kill(process.pid, signal.SIGINT)  # the shell that waits for make-venv.sh
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("scripts/run: interrupted")
    assert not Path(f"/proc/{uv}").exists()
    ready.calls()

    result = ready.run("x")
    assert result.stdout == f"<{ready.home}><x>"
    assert "making .venv" in result.stderr
    assert installs(ready) == ["pip sync"]
    assert not (ready.venv / "old").exists()


@pytest.mark.slow
def test_two_first_calls_at_once_install_once_with_the_first_python_that_fits(project: Project) -> None:
    project.python_double("python3", "sys.version_info = (3, 9, 2)")
    project.program("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    (project.bin / "python3.12").symlink_to(BASE_PYTHON)
    processes = [project.start(name, UV_DOUBLE="slow") for name in ("a", "b")]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [out for out, _ in outputs] == [f"<{project.home}><a>", f"<{project.home}><b>"]
    assert sum("another call is making .venv; waiting for it" in err for _, err in outputs) == 1
    assert not any("pyenv" in err for _, err in outputs)
    assert project.calls() == ["pip sync", "pip install"]
    assert (project.venv / "bin" / "python").resolve() == BASE_PYTHON


@pytest.mark.slow
def test_an_install_that_outlives_its_killed_shell_keeps_others_waiting(ready: Project) -> None:
    ready.change("requirements.lock")
    pid_file = Path(f"{ready.calls_log}.pid")
    pid_file.unlink(missing_ok=True)
    first = ready.start("x", UV_DOUBLE="hang")
    uv = int(wait_for(pid_file))
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = ready.start("y")
    with pytest.raises(subprocess.TimeoutExpired):
        second.communicate(timeout=1)
    os.kill(uv, signal.SIGKILL)
    out, err = second.communicate(timeout=60)
    assert out == f"<{ready.home}><y>"
    assert "another call is making .venv; waiting for it" in err
    assert "making .venv with Python" in err
