"""ensure() in real scripts, run by a real interpreter."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, ROOT

ENSURE = "from launcher.shim import ensure\n"
# What was there at exec: /proc/self/environ never changes afterwards.
AT_EXEC = """
import sys
at_exec = dict(pair.split("=", 1) for pair in open("/proc/self/environ").read().split("\\0") if pair)
print(at_exec.get("RUN_APP_PROFILE"), at_exec.get("MALLOC_ARENA_MAX"), sys.argv[1:])
"""
Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(home: dict[str, str], tmp_path: Path) -> Script:
    """Call it with a script's text and what stands before and behind its name on the command line."""

    def run(
        text: str, *arguments: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "script.py").write_text(text)
        words = [PYTHON, *options, *([] if "-m" in options else ["script.py"]), *arguments]
        paths = {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            words, env=home | paths | (env or {}), cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    return run


def test_the_script_runs_again_once_under_the_profile(script: Script) -> None:
    before = "import os; print('run', os.getpid())\n"
    done = script(f"{before}{ENSURE}print(ensure('wsl'))\n{AT_EXEC}", "a b", "--", "-p")
    first, second, answer, shown = done.stdout.splitlines()
    assert first == second
    assert (answer, shown) == ("True", "wsl 1 ['a b', '--', '-p']")
    assert done.returncode == 0


def test_the_old_way_left_glibc_as_it_was(script: Script) -> None:
    """The document's setup_cuda_env set os.environ at import: too late, as the environment at exec shows."""
    done = script(f"import os; os.environ['MALLOC_ARENA_MAX'] = '4'\n{AT_EXEC}")
    assert done.stdout == "None None []\n"


def test_interpreter_options_and_m_are_kept(script: Script, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    shown = "print(__name__, sys.flags.utf8_mode, sys._xoptions, sys.warnoptions, __spec__.name)\n"
    (package / "module.py").write_text(f"{ENSURE}ensure('wsl')\n{AT_EXEC}{shown}")
    done = script("", "x", options=("-X", "utf8", "-X", "mine=1", "-W", "error", "-m", "package.module"))
    first, second = done.stdout.splitlines()
    assert first == "wsl 1 ['x']"
    assert second == "__main__ 1 {'utf8': True, 'mine': '1'} ['error'] package.module"


def test_a_command_of_c_is_kept(script: Script) -> None:
    done = script("", "", options=("-c", f"{ENSURE}ensure('wsl')\n{AT_EXEC}"))
    assert done.stdout == "wsl 1 ['script.py', '']\n"


@pytest.mark.parametrize("asked", ["auto", "cpu", "cpu,wsl", "auto,cpu", "./own.env"])
def test_no_profile_loops(script: Script, tmp_path: Path, asked: str) -> None:
    (tmp_path / "own.env").write_text("X=1\n")
    done = script(f"print('run')\n{ENSURE}ensure({asked!r})\nensure({asked!r})\nprint('done')")
    assert done.stdout == "run\nrun\ndone\n"


def test_it_does_nothing_where_the_profile_is_already_in_effect(script: Script) -> None:
    for asked in ("cpu", "auto"):
        text = f"print('run')\n{ENSURE}print(ensure({asked!r}))"
        done = script(text, options=("-P", "-m", "launcher", "-p", "cpu", "--", PYTHON, "script.py"))
        assert (done.stdout, done.stderr) == ("run\nTrue\n", "")


def test_under_another_profile_it_changes_over_and_says_so(script: Script) -> None:
    text = f"{ENSURE}ensure('wsl')\n{AT_EXEC}"
    done = script(text, options=("-P", "-m", "launcher", "-p", "cpu", "--", PYTHON, "script.py"))
    assert done.stdout == "wsl 1 []\n"
    assert "inside profile cpu, now wsl" in done.stderr


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("import sys, types; sys.modules['torch'] = types.ModuleType('torch')", "torch is already imported"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(0.3,), daemon=True).start()",
            "threads are already running",
        ),
    ],
)
def test_where_running_again_would_lose_something_it_says_why_and_goes_on(
    script: Script, before: str, says: str
) -> None:
    done = script(f"print('run')\n{before}\n{ENSURE}print(ensure('wsl'))")
    assert (done.returncode, done.stdout) == (0, "run\nFalse\n")
    assert done.stderr.count("\n") == 1
    assert f"profile wsl is not in effect: {says}" in done.stderr
    assert "call ensure() before all else, or start by: run-app -p wsl -- python ...\n" in done.stderr


# A real kernel is asked in turn to remember something, to ensure a profile, and what it still knows.
NOTEBOOK = """
import os
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(env={**os.environ, "HOME": os.getcwd()})
try:
    for cell in (
        "import os; known = os.getpid()",
        "from launcher.shim import ensure; print(ensure('wsl'))",
        "print(known == os.getpid(), os.environ.get('RUN_APP_PROFILE'))",
    ):
        client.execute_interactive(cell, timeout=60)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def test_a_notebooks_kernel_is_left_alone_and_told_how_to_start(script: Script, tmp_path: Path) -> None:
    env = {"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    done = script(NOTEBOOK, env=env)
    assert done.stdout == "False\nTrue None\n", done.stderr
    says = (
        "profile wsl is not in effect: a notebook's kernel cannot start itself again; start Jupyter by: run-app -p wsl"
    )
    assert says in done.stderr
    done = script(NOTEBOOK, options=("-P", "-m", "launcher", "-p", "wsl", "--", PYTHON, "script.py"), env=env)
    assert done.stdout == "True\nTrue wsl\n", done.stderr


@pytest.mark.parametrize("options", [("-i",), ("-m", "IPython", "--no-banner")])
def test_an_interactive_interpreter_keeps_what_it_knows(
    home: dict[str, str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "script.py").write_text(f"print('run')\n{ENSURE}print(ensure('wsl'))\n")
    done = subprocess.run(
        [PYTHON, *options, "script.py"],
        input="",
        env=home | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("run\nFalse\n"), done.stderr
    assert "an interactive interpreter would lose what it knows; start it by: run-app -p wsl -- " in done.stderr


def test_a_program_from_a_pipe_is_not_run_again(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"{ENSURE}print(ensure('wsl'))\n")
    words = ["bash", "-c", '"$0" <(cat script.py)', PYTHON]
    env = home | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
    assert "came from stdin or a pipe, which cannot be read twice; put it into a file" in done.stderr


def test_a_program_from_stdin_is_not_run_again(home: dict[str, str], tmp_path: Path) -> None:
    for words in ([], ["-"]):
        done = subprocess.run(
            [PYTHON, *words],
            input=f"{ENSURE}print(ensure('wsl'))",
            env=home | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "False\n"
        assert "came from stdin" in done.stderr


def test_workers_started_by_spawn_are_left_alone(script: Script) -> None:
    body = """
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(abs, (-1,)))
        pool.close()
        pool.join()
"""
    done = script(f"{ENSURE}print('ensured', ensure('cpu'))\n{body}")
    assert sorted(done.stdout.split("\n")[:-1]) == ["1", "ensured True", "ensured True"], done.stderr
    without = script(f"import sys\nsys.modules['torch'] = sys\n{ENSURE}ensure('cpu')\n{body}")
    assert without.stdout == "1\n", without.stderr


def test_a_wrong_profile_ends_the_script_with_one_line(script: Script, tmp_path: Path) -> None:
    (tmp_path / "bad.env").write_text("A=1\nA=2\n")
    for asked, says in (("nosuch", "no profile 'nosuch'"), ("./bad.env", "bad.env:2: A already stands in line 1")):
        done = script(f"{ENSURE}ensure({asked!r})\nprint('went on')")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert says in done.stderr


def test_signals_and_exit_code_are_the_scripts_own(script: Script) -> None:
    assert script(f"{ENSURE}ensure('cpu')\nraise SystemExit(42)").returncode == 42
    assert script(f"{ENSURE}ensure('cpu')\nimport os; os.kill(os.getpid(), 15)").returncode == -signal.SIGTERM


def test_two_profiles_asked_for_in_turn_are_no_loop(script: Script) -> None:
    done = script(f'{ENSURE}ensure("cpu")\nensure("wsl")\nensure("cpu")\nprint("once")\n')
    assert done.stdout == "once\n", done.stderr
    assert "profile cpu was laid aside" in done.stderr


def test_a_profile_that_is_only_wished_for_is_not_in_effect(script: Script) -> None:
    done = script(f"{ENSURE}print(ensure('wsl'))\n{AT_EXEC}", env={"RUN_APP_PROFILE": "wsl"})
    assert done.stdout == "True\nwsl 1 []\n", done.stderr


@pytest.mark.parametrize("asked", ["gpu48", "wsl", "gpu48,wsl", "", "auto"])
def test_a_part_of_what_is_in_effect_is_in_effect(script: Script, asked: str) -> None:
    text = f"print('run')\n{ENSURE}print(ensure({asked!r}))\n{AT_EXEC}"
    done = script(text, options=("-P", "-m", "launcher", "-p", "gpu48,wsl", "--", PYTHON, "script.py"))
    assert done.stdout == "run\nTrue\ngpu48,wsl 1 []\n", done.stderr


@pytest.mark.parametrize("asked", ["wsl,gpu48", "gpu48,cpu"])
def test_another_order_or_one_more_is_another_profile(script: Script, asked: str) -> None:
    text = f"{ENSURE}ensure({asked!r})\n{AT_EXEC}"
    done = script(text, options=("-P", "-m", "launcher", "-p", "gpu48,wsl", "--", PYTHON, "script.py"))
    assert done.stdout.startswith(f"{asked} "), done.stderr


def test_without_a_name_it_is_the_exported_choice_or_auto(script: Script) -> None:
    text = f"{ENSURE}print(ensure())\n{AT_EXEC}"
    assert script(text, env={"RUN_APP_PROFILE": "cpu,wsl"}).stdout == "True\ncpu,wsl 1 []\n"
    assert "auto picked" in script(text).stderr


def test_what_one_program_asked_for_is_nothing_to_its_children(script: Script, tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(f"{ENSURE}print(ensure('cpu'))\n{AT_EXEC}")
    child = "import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'])\n"
    done = script(f"{ENSURE}ensure('cpu')\nensure('wsl')\n{child}")
    assert done.stdout == "True\ncpu 1 []\n", done.stderr
    assert done.stderr.count("laid aside") == 1  # said by the parent, of its own first wish


def test_a_script_that_no_longer_stands_where_it_was_started_is_not_run_again(script: Script, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = f"import os; os.chdir('data')\n{ENSURE}print(ensure('wsl'))\n"
    done = script(text)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert f"{tmp_path}/script.py was started from another current folder; call ensure() before all else" in done.stderr


def test_under_pytest_the_streams_are_not_the_programs_own(script: Script, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(f"{ENSURE}def test_x():\n    assert ensure('wsl') is False\n")
    done = script("", options=("-m", "pytest", "-q", "-p", "no:cacheprovider", "-rP"))
    assert done.returncode == 0, done.stdout
    says = "profile wsl is not in effect: pytest has taken the program's streams; start it by: run-app -p wsl -- pytest"
    assert says in done.stdout


def test_what_a_script_above_asked_for_is_nothing_to_a_start_of_its_own(script: Script) -> None:
    start = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-P', '-m', 'launcher', '-p', 'cpu', '--', {PYTHON!r}"
    )
    inner = f"{ENSURE}ensure('wsl')\n{AT_EXEC}"
    done = script(f"{ENSURE}ensure('wsl')\n{start}, '-c', {inner!r}])\n")
    assert done.stdout == "wsl 1 []\n", done.stderr
