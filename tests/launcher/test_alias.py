"""What `run-app alias` prints, read by a real shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, Run

# Completes the words given as a terminal would hand them over, and shows the answers.
COMPLETE = '_run_app; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.fixture
def lines(run_app: Run, tmp_path: Path) -> Path:
    done = run_app("alias", "bash")
    assert done.returncode == 0, done.stderr
    (tmp_path / "aliases").write_text(done.stdout)
    return tmp_path / "aliases"


def bash(script: str, home: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    words = ["bash", "--norc", "-O", "expand_aliases", "-c", script]
    return subprocess.run(words, env=home, cwd=tmp_path, capture_output=True, text=True, timeout=60)


def test_the_aliases_start_each_profile_by_an_absolute_path(lines: Path, home: dict[str, str], tmp_path: Path) -> None:
    script = f"source {lines}\n" + "\n".join(
        f"{name} -- sh -c 'echo $RUN_APP_PROFILE'" for name in ("run-cpu", "run-gpu48", "run-wsl", "run-app -p cpu,wsl")
    )
    done = bash(script, home | {"PATH": "/usr/bin:/bin"}, tmp_path)
    assert done.stdout.splitlines() == ["cpu", "gpu48", "wsl", "cpu,wsl"], done.stderr


def test_a_folder_with_a_space_is_quoted(home: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "python").symlink_to(PYTHON)
    (folder / "run-app").write_text("#!/bin/sh\necho ran $*\n")
    (folder / "run-app").chmod(0o755)
    program = "import sys; sys.executable = sys.argv.pop(1); from launcher.cli import entry; sys.exit(entry())"
    words = [PYTHON, "-c", program, str(folder / "python"), "alias"]
    printed = subprocess.run(words, env=home, capture_output=True, text=True, check=True).stdout
    done = bash(f"{printed}\nrun-cpu x", home, tmp_path)
    assert done.stdout == "ran --profile cpu x\n", done.stderr


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["-p", "w"], ["wsl"]),
        (["--profile", "cpu,w"], ["cpu,wsl"]),
        (["--profile", "=", "bl"], ["blackwell96"]),
        (["-p", "gpu", ""], None),
        (["--pr"], ["--profile", "--print", "--print=sh", "--print=json"]),
        (["-p", "cpu", "tran"], ["transcribe"]),
        (["-p", "cpu", "transcribe", "a"], [""]),
        (["alias", "z"], ["zsh"]),
        (["--keep", "XDG_CONF"], ["XDG_CONFIG_HOME"]),
        (["--", "mkfif"], ["mkfifo"]),
        (["--env-file", "x"], [""]),
        (["--print", "=", "j"], ["json"]),
    ],
)
def test_completion(
    lines: Path, home: dict[str, str], tmp_path: Path, words: list[str], answers: list[str] | None
) -> None:
    array = " ".join(f"'{word}'" for word in ["run-app", *words])
    done = bash(f"source {lines}; COMP_WORDS=({array}); COMP_CWORD={len(words)}; {COMPLETE}", home, tmp_path)
    assert done.stderr == ""
    if answers is None:
        assert {"transcribe", "profiles", "--print"} <= set(done.stdout.splitlines())
    else:
        assert set(done.stdout.splitlines()) == set(answers)


def test_another_shell_is_refused(run_app: Run) -> None:
    done = run_app("alias", "fish")
    assert done.returncode == 2
    assert done.stderr == "run-app: alias fish: it is run-app alias bash, or run-app alias zsh\n"


def test_zsh_reads_its_lines(run_app: Run, home: dict[str, str], tmp_path: Path) -> None:
    printed = run_app("alias", "zsh").stdout
    assert "bashcompinit" in printed
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    words = ["zsh", "-f", "-c", f"setopt aliases\n{printed}\neval 'run-cpu -- true' && echo fine"]
    done = subprocess.run(words, env=home, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("fine\n"), done.stderr
