"""scripts/test: the same .venv with the test tools, then lint, types and pytest."""

from pathlib import Path

from tests.setup.project import Project

LINT = ["ruff <check> <.>", "ruff <format> <--check> <.>", "mypy"]
FAST = "pytest <-m> <not slow>"
WHOLE = "<-n> <2> <--dist> <worksteal>"


def tools(project: Project) -> list[str]:
    """Which tools ran since the last time this was asked, with their arguments."""
    path = Path(f"{project.calls_log}.tools")
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_it_adds_the_test_set_and_runs_everything_but_the_slow_tests(ready: Project) -> None:
    result = ready.run(script="test")
    assert result.returncode == 0, result.stderr
    assert tools(ready) == [*LINT, f"{FAST} {WHOLE}"]
    assert "requirements.lock requirements-test.lock" in ready.calls_log.read_text()
    ready.calls()

    assert ready.run("x").stdout == f"<{ready.home}><x>"
    assert ready.run(script="test").stderr == ""
    assert ready.calls() == []


def test_slow_selects_everything(ready: Project) -> None:
    ready.run("--slow", script="test")
    assert tools(ready) == [*LINT, f"pytest {WHOLE}"]


def test_arguments_go_to_pytest_alone(ready: Project) -> None:
    ready.run("-k", "two words", "-x", script="test")
    assert tools(ready) == [f"{FAST} <-k> <two words> <-x>"]
    ready.run("--slow", "-x", script="test")
    assert tools(ready) == ["pytest <-x>"]


def test_a_path_is_one_of_the_callers_folder(ready: Project) -> None:
    folder = ready.root / "tests"
    folder.mkdir(exist_ok=True)
    (folder / "test_x.py").touch()
    ready.run("test_x.py::test_y", script="test", cwd=folder)
    assert tools(ready) == [f"{FAST} <{folder}/test_x.py::test_y>"]
    ready.run("tests/test_x.py", script="test", cwd=folder)
    assert tools(ready) == [f"{FAST} <tests/test_x.py>"]


def test_a_word_that_is_also_a_folder_stays_a_word(ready: Project) -> None:
    ready.run("-k", "scripts", script="test", cwd=ready.root)
    assert tools(ready) == [f"{FAST} <-k> <scripts>"]


def test_the_first_failure_ends_it_with_its_code(ready: Project) -> None:
    assert ready.run(script="test", FAILING="ruff").returncode == 1
    assert tools(ready) == LINT[:1]


def test_a_changed_test_lock_concerns_the_tests_alone_and_the_set_stays(ready: Project) -> None:
    ready.run(script="test")
    ready.calls()
    ready.write("requirements-test.lock", "pytest==2\n")
    assert ready.run("x").stderr == ""
    assert "bringing .venv up to date" in ready.run(script="test").stderr
    ready.change("requirements.lock")
    ready.calls()
    ready.run("x")
    assert "requirements-test.lock" in ready.calls_log.read_text()
