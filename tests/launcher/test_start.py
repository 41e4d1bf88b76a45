"""The start itself: which process, which arguments, which signals, which exit code."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, ROOT, Run

SHOW = "import json, sys; print(sys.argv[1:], sys.path)"


def test_the_program_keeps_the_pid_of_run_app(home: dict[str, str]) -> None:
    words = [PYTHON, "-m", "launcher", "-p", "cpu", "--", PYTHON, "-c", "import os; print(os.getpid())"]
    with subprocess.Popen(words, env=home, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
    assert int(out) == process.pid


@pytest.mark.parametrize("code", [0, 1, 2, 42, 126, 255])
def test_the_exit_code_is_the_programs_own(run_app: Run, code: int) -> None:
    assert run_app("-p", "cpu", "--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGSEGV"])
def test_the_parent_sees_the_signal_that_ended_the_program(run_app: Run, name: str) -> None:
    done = run_app("-p", "cpu", "--", "sh", "-c", f"kill -{name[3:]} $$")
    assert done.returncode == -getattr(signal, name)


def disposition(mask: str, number: int) -> bool:
    return bool(int(mask, 16) & (1 << (number - 1)))


def test_sigpipe_and_sigxfsz_are_at_their_default(run_app: Run) -> None:
    """Python ignores both for itself; the program must not inherit that."""
    status = run_app("-p", "cpu", "--", "grep", "SigIgn", "/proc/self/status").stdout.split()[1]
    assert int(status, 16) == 0


def test_a_signal_that_was_ignored_stays_ignored(run_app: Run) -> None:
    """It is what nohup and the & of a script rely on."""
    script = "trap '' HUP INT; exec \"$0\" -m launcher -p cpu -- grep SigIgn /proc/self/status"
    done = run_app("-p", "cpu", "--", "sh", "-c", script, PYTHON)
    ignored = done.stdout.split()[1]
    assert disposition(ignored, signal.SIGHUP)
    assert disposition(ignored, signal.SIGINT)
    assert not disposition(ignored, signal.SIGPIPE)


@pytest.mark.parametrize(
    "words",
    [
        ["plain"],
        ["two words", "tab\there", "new\nline", ""],
        ["--", "-p", "gpu", "--print", "--help"],
        ["$HOME", "`id`", "*", "'\"\\"],
        [b"caf\xe9", b"\xff\xfe"],
    ],
)
def test_arguments_arrive_verbatim(run_app: Run, words: list[str | bytes]) -> None:
    program = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    done = run_app("-p", "cpu", "--", PYTHON, "-c", program, *words, text=False)
    assert done.stdout == b"\0".join(map(os.fsencode, words))


def test_an_app_is_started_as_a_module_by_the_same_interpreter_without_the_current_directory(
    run_app: Run, tmp_path: Path
) -> None:
    """The stand-in `app` on PYTHONPATH shows what the real one would find; json.py and app.py lie in wait."""
    package = tmp_path / "elsewhere" / "app"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"{SHOW}\nprint(sys.executable, json.__file__)")
    here = tmp_path / "here"
    here.mkdir()
    for trap in ("json.py", "app.py", "launcher.py"):
        (here / trap).write_text("raise SystemExit('the current directory was imported')")
    words = ["-p", "cpu", "transcribe", "a b.wav", "--print"]
    done = run_app(*words, cwd=here, env={"PYTHONPATH": str(package.parent)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['transcribe', 'a b.wav', '--print']")
    assert str(here) not in done.stdout
    assert PYTHON in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "nothing to start"),
        (["--"], 2, "no COMMAND behind --"),
        (["--profil", "cpu", "x"], 2, "--profil: no such option"),
        (["--profile"], 2, "--profile needs a value"),
        (["-p", "cpu", "profiles"], 2, "profiles takes no options"),
        (["profiles", "x"], 2, "it takes no arguments"),
        (["--print=xml"], 2, "table, sh, json"),
        (["-p", "blackwel96", "x"], 2, "did you mean blackwell96?"),
        (["-p", "nosuch", "x"], 2, "there are base, blackwell96, cpu, gpu, gpu48, wsl"),
        (["-p", "./nosuch.env", "x"], 2, "nosuch.env: No such file or directory"),
        (["-p", "cpu", "--", "no-such-program"], 127, "no-such-program: command not found"),
        (["-p", "cpu", "--", "./no-such-program"], 127, "./no-such-program: command not found"),
        (["-p", "cpu", "--", "/etc/passwd"], 126, "/etc/passwd: not executable"),
        (["-p", "cpu", "--", "/etc"], 126, "/etc: a folder, not a program"),
        (["-p", "cpu", "--", ""], 127, "command not found"),
        (["-p", "cpu", "--", "/dev/null"], 126, "/dev/null: no regular file, not a program"),
        (["-p", "", "--", "true"], 2, "a profile without a name; -p NAME"),
        (["-p", "cpu,", "--", "true"], 2, "a profile without a name; -p NAME"),
    ],
)
def test_a_start_that_cannot_be_is_one_line_and_the_right_code(
    run_app: Run, words: list[str], code: int, says: str
) -> None:
    done = run_app(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert done.stderr.startswith("run-app: ")
    assert says in done.stderr


def test_a_script_the_kernel_cannot_run_is_126(run_app: Run, tmp_path: Path) -> None:
    for text, says in (("echo hi\n", "needs a #! line"), ("#!/no/such/interpreter\n", "does not exist")):
        script = tmp_path / "script"
        script.write_text(text)
        script.chmod(0o755)
        done = run_app("-p", "cpu", "--", "./script")
        assert done.returncode == 126
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_shipped_profiles_are_found_in_a_checkout() -> None:
    assert {path.stem for path in (ROOT / "env").glob("*.env")} == {"base", "cpu", "gpu", "gpu48", "blackwell96", "wsl"}


def test_print_starts_nothing_and_needs_no_app(run_app: Run, tmp_path: Path) -> None:
    done = run_app("-p", "wsl", "--print")
    assert done.returncode == 0
    assert "MALLOC_ARENA_MAX" in done.stdout
    assert "wsl.env:" in done.stdout
    run_app("-p", "cpu", "--print", "--", "touch", "started")
    assert not (tmp_path / "started").exists()


def test_the_environment_at_exec_is_the_inherited_one_and_the_profiles(run_app: Run, home: dict[str, str]) -> None:
    done = run_app("-p", "cpu", "--", "cat", "/proc/self/environ", env={"MINE": "1"})
    there = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
    assert there["RUN_APP_PROFILE"] == "cpu"
    names = there["RUN_APP_SETTINGS"].split(",")
    assert {"RUN_APP_MODEL", "RUN_APP_DEVICE", "PYANNOTE_METRICS_ENABLED", "TOKENIZERS_PARALLELISM"} <= set(names)
    assert there["RUN_APP_DEVICE"] == "cpu"
    assert there["MINE"] == "1"
    assert set(there) == {*home, "MINE", *names, "RUN_APP_PROFILE", "RUN_APP_SETTINGS"}


def test_later_profiles_win(run_app: Run) -> None:
    done = run_app("-p", "cpu,gpu48", "--", "sh", "-c", "echo $RUN_APP_PROFILE $RUN_APP_DEVICE")
    assert done.stdout == "cpu,gpu48 cuda\n"
    done = run_app("-p", "gpu48", "-p", "cpu", "--", "sh", "-c", "echo $RUN_APP_PROFILE $RUN_APP_DEVICE")
    assert done.stdout == "gpu48,cpu cpu\n"


def test_the_mend_of_a_mode_is_a_command_of_a_shell(run_app: Run, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    for name, mode, command in (
        ("tool", 0o644, "chmod +x "),
        ("x.env", 0o646, "chmod o-w "),
        ("x.env", 0o664, "chmod g-w "),
    ):
        file = tmp_path / "a b" / name
        file.write_text("X=1\n")
        file.chmod(mode)
        words = ("-p", "cpu", "--", str(file)) if name == "tool" else ("-p", str(file), "--", "true")
        said = run_app(*words).stderr
        subprocess.run(["sh", "-c", said[said.index(command) :]], check=True)
        assert file.stat().st_mode & 0o777 == {"tool": 0o755, "x.env": 0o644}[name]


@pytest.mark.parametrize("profiles", ["cpu,mine", "gpu48,wsl"])
@pytest.mark.parametrize("text", ["A=1\n", "# what\r\nA=1\r\n", "\ufeffA=1\n"], ids=["LF", "CRLF", "BOM"])
def test_nothing_heavy_is_imported_on_the_way_to_exec(
    home: dict[str, str], profile: Callable[..., Path], tmp_path: Path, text: str, profiles: str
) -> None:
    """-X importtime names every module the launcher's own process imported."""
    profile(text)
    start = f"import sys; sys.argv[1:] = ['-p', {profiles!r}, '--', 'true']; from launcher.cli import entry; entry()"
    # A checkout under umask 002.
    for folder in ("launcher", "env"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in (tmp_path / "env").iterdir():
        file.chmod(0o664)
    words = [PYTHON, "-P", "-X", "importtime", "-c", start]
    env = home | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=env)
    modules = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "launcher.profiles" in modules
    unwanted = {
        "launcher.hardware",
        "launcher.report",
        "app",
        "torch",
        "gradio",
        "dotenv",
        "argparse",
        "typing",
        "re",
        "logging",
        "pathlib",
        "enum",
        "json",
    }
    assert not modules & unwanted


def test_the_version_of_what_is_not_installed_is_no_traceback(home: dict[str, str]) -> None:
    """-S leaves site-packages out, and with it the package's metadata."""
    words = [PYTHON, "-S", "-c", "import sys; sys.argv[1:] = ['--version']; from launcher.cli import entry; entry()"]
    done = subprocess.run(words, env=home, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("run-app, not installed: only an installed package has a version\n", "")
