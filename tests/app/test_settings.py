from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.errors import UsageError
from app.languages import CODES
from app.settings import COMPUTE_TYPES, DEVICES, Settings, read_settings
from launcher import checks


def test_a_profile_decides() -> None:
    environment = {
        "RUN_APP_MODEL": "large-v3",
        "RUN_APP_DEVICE": "cuda",
        "RUN_APP_COMPUTE_TYPE": "float16",
        "RUN_APP_BATCH_SIZE": "32",
        "RUN_APP_RESIDENT": "True",
        "OMP_NUM_THREADS": "6,2",
    }

    assert read_settings(environment) == Settings("large-v3", "cuda", "float16", 32, 6, True)


def test_without_a_profile_there_is_a_default_for_all() -> None:
    settings = read_settings({})

    assert (settings.model, settings.device, settings.compute_type, settings.resident) == (
        "base",
        "auto",
        "auto",
        False,
    )
    assert settings.threads == min(len(os.sched_getaffinity(0)), 8)


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("RUN_APP_BATCH_SIZE", "many", "must be an integer of at least 1"),
        ("RUN_APP_BATCH_SIZE", "0", "must be an integer of at least 1"),
        ("RUN_APP_DEVICE", "gpu", "must be one of auto, cpu, cuda"),
        ("RUN_APP_COMPUTE_TYPE", "fp16", "must be one of auto, int8"),
        ("RUN_APP_RESIDENT", "true", "must be True or False"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, right: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings({variable: value})

    assert str(caught.value).startswith(f"{variable}={value}: ")
    assert right in str(caught.value)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, app.cli\n"
        "try: app.cli.main(['transcribe', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'av', 'rich', 'ctranslate2', 'faster_whisper', 'huggingface_hub', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("usage: run-app transcribe")
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_the_installation_lacks_is_one_line_with_the_extra() -> None:
    # As after a plain `pip install run-app`: nothing but the launcher's own needs.
    code = (
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name in ('faster_whisper', 'rich') else find(name, *a)\n"
        "import app.cli; sys.exit(app.cli.main(['transcribe', 'x.wav']))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr == (
        "run-app: transcribe needs faster_whisper, rich, not installed here: pip install 'run-app[asr]'\n"
    )


def test_the_launcher_lets_pass_what_the_app_takes() -> None:
    assert set(checks.WORDS["RUN_APP_COMPUTE_TYPE"]) == set(COMPUTE_TYPES)
    assert set(checks.WORDS["RUN_APP_DEVICE"]) == set(DEVICES)


def test_the_languages_are_whispers() -> None:
    code = "from faster_whisper.tokenizer import _LANGUAGE_CODES; print(*_LANGUAGE_CODES)"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set(CODES) == set(known)


def test_a_number_of_threads_that_is_none_is_passed_over() -> None:
    assert read_settings({"OMP_NUM_THREADS": "²"}) == read_settings({})
