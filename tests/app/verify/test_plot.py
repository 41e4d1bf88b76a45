"""The memory curve of `verify --startup` as a picture."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.app.conftest import RunApp

DRAW = """
import json, sys
from pathlib import Path
from app.commands.verify import read
from app.memory import Reading
from app.verify import plot
from app.verify.loading import Row, StartUp

rows = [Row(stage, stage, 1.0) for stage in ("vad", "asr")]
curve = [(at / 10, (100 + at * 10) << 20, int(sys.argv[2]) << 20) for at in range(50)]
found = StartUp([], rows, False, curve, [(1.0, "vad"), (2.0, ""), (2.5, "asr")])
print(json.dumps(vars(plot.write(found, Path(sys.argv[1]), read()))))
"""


def assert_is_a_picture(png: bytes) -> None:
    """Not empty, and not of one colour."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 800
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


def draw(command: list[str], environment: dict[str, str], file: Path, vram: int = 0) -> Mapping[str, Any]:
    words = [*command, "--", command[0], "-P", "-c", DRAW, str(file), str(vram)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check: Mapping[str, Any] = json.loads(done.stdout.replace('"facts": {}', '"facts": 0'))
    return check


@pytest.mark.slow
def test_the_picture(command: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    files = [tmp_path / "host.png", tmp_path / "card.png"]

    checks = [draw(command, environment, file, vram) for file, vram in zip(files, (0, 300), strict=True)]

    assert [check["status"] for check in checks] == ["OK", "OK"]
    pictures = [file.read_bytes() for file in files]
    for picture in pictures:
        assert_is_a_picture(picture)
    assert len(set(pictures)) == 2, "the card's memory is in it"


@pytest.mark.slow
def test_a_full_disk_costs_the_picture_alone(command: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "curve.png"
    file.symlink_to("/dev/full")

    check = draw(command, environment, file)

    assert check["status"] == "FAIL"
    assert check["found"] == f"{file}: No space left on device"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("curve.jpg", "must end with .png"),
        ("curve", "must end with .png"),
        ("none/curve.png", "there is no folder"),
        ("folder.png", "that is a folder"),
        ("/proc/curve.png", "it can't be written there"),
    ],
)
def test_a_picture_that_can_not_be_is_a_line(run_app: RunApp, tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / "folder.png").mkdir()

    done = run_app("verify", "--startup", "--plot", file)

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert said in line
