"""What the launcher's tests share beside the fixtures."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
# As the console script starts it: the current directory is not on sys.path.
RUN_APP = [PYTHON, "-P", "-m", "launcher"]
Run = Callable[..., "subprocess.CompletedProcess[Any]"]
