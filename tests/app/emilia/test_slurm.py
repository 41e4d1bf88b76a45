"""scripts/slurm_emilia.sh, without Slurm: its tasks one after another, as a shell loop would do it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from tests.app.emilia.conftest import carriers
from tests.app.sounds import tone, write_wav

SCRIPT = Path(__file__).parents[3] / "scripts/slurm_emilia.sh"


def test_the_tasks_of_an_array_share_the_recordings_and_the_last_finds_them_done(
    environment: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        write_wav(tmp_path / "in" / f"{number}.wav", tone(1 + number / 10))
    options = "--model tiny.en --diarizer embedded --offline --steps standardise"
    starter = tmp_path / "run-app"  # the script splits RUN_APP at blanks, and our own path may have one
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    starter.chmod(0o755)
    ours = {"RUN_APP": str(starter), "OPTIONS": options, "SHARDS": "3"}
    done = tmp_path / "out/.run-app-emilia/done"
    counts = []
    for task in ("1", "2", "3", "0"):
        one = subprocess.run(
            [SCRIPT, "in", "out"],
            cwd=tmp_path,
            env=environment | carriers() | ours | {"SLURM_ARRAY_TASK_ID": task},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert one.returncode == 0, one.stderr
        assert ("(shard " in one.stderr) == (task != "0")
        counts.append(len(list(done.iterdir())))

    assert counts[2:] == [6, 6]
    assert 0 < counts[0] < 6
    assert "standardise:" not in one.stderr
