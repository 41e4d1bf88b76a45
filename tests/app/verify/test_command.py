"""The whole command, as a person starts it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.conftest import RunApp
from tests.app.test_monitor import on_terminal
from tests.app.verify.proving import Values
from tests.app.verify.test_plot import assert_is_a_picture
from tests.app.verify.test_startup import FAULTS, MIB


@pytest.mark.slow
def test_the_whole_command(run_app: RunApp, environment: dict[str, str], tmp_path: Path) -> None:
    environment["FORCE_COLOR"] = "1"  # even so, what moves on a terminal goes into no file

    done = run_app("verify", "--startup", "--json", "--plot", "curve.png")

    assert done.stderr == ""
    report = json.loads(done.stdout)
    checks = {check["id"]: check for check in report["checks"] if check["section"] == "startup"}
    assert checks["startup"]["status"] == "OK", checks
    assert checks["startup-plot"]["status"] == "OK", checks
    rows = {row["stage"]: row for row in report["startup"]["rows"]}
    assert list(rows) == ["start", "vad", "asr", "diarize"]
    # docs of the weights: base is 145 MB in float16, and kept in 8 bits; diarization brings torch.
    assert 50 * MIB < rows["asr"]["rss"]["peak"] - rows["start"]["rss"]["before"] < 700 * MIB
    assert 500 * MIB < rows["diarize"]["rss"]["peak"] < 3000 * MIB
    for row in rows.values():
        assert row["rss"]["peak"] >= max(row["rss"]["before"], row["rss"]["after"])
    assert all(rows[stage]["load_s"] > 0.01 for stage in ("vad", "asr", "diarize"))
    assert report["startup"]["largest_jump"].startswith("diarize, RSS +")
    assert_is_a_picture((tmp_path / "curve.png").read_bytes())
    failed = any(check["status"] == "FAIL" for check in report["checks"])
    assert done.returncode == int(failed)


@pytest.mark.slow
def test_an_abort_fails_the_whole_command(run_app: RunApp, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    environment |= {"PYTHONPATH": str(tmp_path), "FAULTS": "diarize:abort"}

    done = run_app("verify", "--startup")

    assert done.returncode == 1
    assert re.search(r"^FAIL  diarize: the worker died of SIGABRT at \d+ MiB", done.stdout, re.M), done.stdout
    assert re.search(r"^ ?asr +\S.* \d+\.\d\d +\d+ +\d+ +\d+ *$", done.stdout, re.M), done.stdout
    assert re.search(r"^ ?diarize +failed ", done.stdout, re.M)


def test_a_terminal_is_shown_what_is_being_looked_at(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    """What a pipe gets is seen where the whole command is run: nothing."""
    with on_terminal([*command, "verify"], environment, tmp_path) as terminal:
        terminal.until("looking at import ")
        terminal.type("\x03")
        assert terminal.end() == 130

    assert terminal.shown.rindex("\x1b[?25h") > terminal.shown.rindex("looking at"), "the cursor is back"


@pytest.mark.slow
def test_the_whole_command_after_python_set_them(plain: Values) -> None:
    """As the document's setup_cuda_env.py does it, in the process that runs verify."""
    script = (
        "import os; os.environ['MALLOC_ARENA_MAX'] = '1'\n"
        "from app.cli import main\n"
        "raise SystemExit(main(['verify', '--json']))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], env=plain, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1, done.stderr
    checks = [check for check in json.loads(done.stdout)["checks"] if check["subject"] == "MALLOC_ARENA_MAX=1"]
    assert [(check["id"], check["status"]) for check in checks] == [("set-too-late", "FAIL")]
