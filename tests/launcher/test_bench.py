"""That the benchmarks of profiles and starts still run, and what they conclude."""

import pickle
import runpy
import subprocess
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, ROOT


def test_contestants_are_compared_within_each_round() -> None:
    """Rounds of an idle, a busy and a very busy machine; a ratio of medians would say 4.0."""
    bench = runpy.run_path(str(ROOT / "scripts/bench_launcher"))
    ours, bare = ([bench["Cost"](cpu, cpu, 1.0) for cpu in rounds] for rounds in ((2, 8, 20), (1, 2, 10)))
    assert bench["times"](ours, bare, "cpu") == 2
    assert f"| run-app | 2.00 | {8000:.1f} |" in bench["table"]({"bare": bare, "run-app": ours}, "bare")[-1]


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PYTHON, *words], capture_output=True, text=True, cwd=ROOT)


def test_too_few_rounds_are_not_judged() -> None:
    done = bench("scripts/bench_launcher", "--rounds", "1")
    assert done.returncode == 1
    assert "1 rounds, fewer than 30" in (done.stdout + done.stderr).splitlines()[-1]
    done = bench("scripts/bench_launcher", "--rounds", "1", "--quick")
    assert "not judged: " in done.stdout or "a bound does not hold" in done.stderr


def test_a_run_app_that_does_not_work_is_not_judged(tmp_path: Path) -> None:
    broken = tmp_path / "run-app"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    (tmp_path / "python").symlink_to(PYTHON)
    words: list[str | Path] = [tmp_path / "python", ROOT / "scripts/bench_launcher", "--rounds", "1", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("not judged: run-app --profile cpu, ")


@pytest.mark.slow
def test_the_worker_of_bench_profiles_does_a_job(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    profiles = runpy.run_path(str(ROOT / "scripts/bench_profiles"))
    speech = profiles["write_speech"](tmp_path / "speech.wav", 5)
    (tmp_path / "job").write_bytes(pickle.dumps(profiles["make_job"]("tiny.en", speech, "faster-whisper", 2)))
    done = bench("scripts/bench_profiles", "--worker", tmp_path / "job")
    assert float(done.stdout) > 50, done.stderr
