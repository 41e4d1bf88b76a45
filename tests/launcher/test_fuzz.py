"""Never a traceback, never a half environment, whatever bytes a profile holds."""

import subprocess
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 400), pytest.param(2, 20_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_any_bytes_are_a_start_or_one_line(home: dict[str, str], seed: int, count: int) -> None:
    words = [PYTHON, str(Path(__file__).with_name("fuzzing.py")), str(seed), str(count)]
    done = subprocess.run(words, env=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    # Neither all refused nor all started: the inputs reach both ends.
    assert " 0: " in done.stdout.replace("{0: ", " 0: ")
    assert "2: " in done.stdout
