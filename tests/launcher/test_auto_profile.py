"""What auto makes of a machine, told by a stand-in for nvidia-ml-py or for nvidia-smi: no card is needed."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, RUN_APP, Run

BLACKWELL_96 = "NVIDIA RTX PRO 6000 Blackwell,97887,12.0"
BLACKWELL_48 = "NVIDIA RTX PRO 5000 Blackwell,48935,12.0"
ADA_48 = "NVIDIA RTX 6000 Ada Generation,49140,8.9"
L40S = "NVIDIA L40S,46068,8.9"
A6000 = "NVIDIA RTX A6000,49140,8.6"
GEFORCE_24 = "NVIDIA GeForce RTX 4090,24564,8.9"
PASCAL = "NVIDIA GeForce GTX 1080 Ti,11264,6.1"
P100 = "Tesla P100,16384,6.0"
H200 = "NVIDIA H200,143771,9.0"
SHARED = "NVIDIA GB10,,12.1"

PYNVML = """
import time
class NVMLError(Exception): pass
class Memory:
    def __init__(self, mib): self.total = int(mib) << 20
CARDS = {cards!r}
def nvmlInit(): {init}
def nvmlDeviceGetCount(): return len(CARDS)
def nvmlDeviceGetHandleByIndex(index): return (index, *CARDS[index].split(","))
def nvmlDeviceGetName(card): return card[1]
def nvmlDeviceGetUUID(card): return f"GPU-{{card[0]}}{{card[0]}}aa-bb"
def nvmlDeviceGetMemoryInfo(card):
    if not card[2]: raise NVMLError("Not Supported")
    return Memory(card[2])
def nvmlDeviceGetCudaComputeCapability(card): return tuple(map(int, card[3].split(".")))
"""
SMI = """#!/bin/sh
test "$1" = --query-gpu=index,name,memory.total,compute_cap,uuid || exit 1
{body}
"""
# Runs the real entry with the kernel of another machine, and less patience.
DRIVER = (
    "import os, sys; release = sys.argv.pop(1); import launcher.hardware as h; h.TIMEOUT_S = 0.4;"
    "os.uname = lambda: type('U', (), {'release': release}); from launcher.cli import entry; sys.exit(entry())"
)
LINUX, WSL = "6.8.0-45-generic", "5.15.153.1-Microsoft-standard-WSL2"
SHOW = ("--", "sh", "-c", 'echo "$RUN_APP_PROFILE $RUN_APP_COMPUTE_TYPE ${CUDA_VISIBLE_DEVICES-unset}"')
Auto = Callable[..., tuple[str, str]]


@pytest.fixture
def auto(run_app: Run, tmp_path: Path) -> Auto:
    """Call it with the cards; the program's line and what run-app said come back."""

    def run(
        *cards: str,
        by: str = "nvml",
        init: str = "pass",
        smi: str = "",
        release: str = LINUX,
        devices: str | None = None,
        words: tuple[str, ...] = (),
        program: tuple[str, ...] = SHOW,
    ) -> tuple[str, str]:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "modules").mkdir(exist_ok=True)
        module = PYNVML.format(cards=cards, init=init) if by == "nvml" else "raise ImportError"
        (tmp_path / "modules/pynvml.py").write_text(module)
        lines = [f"echo '{i}, {', '.join(card.split(','))}, GPU-{i}{i}aa-bb'" for i, card in enumerate(cards)]
        if by == "smi" or smi:
            (tmp_path / "bin/nvidia-smi").write_text(SMI.format(body=smi or "\n".join(lines)))
            (tmp_path / "bin/nvidia-smi").chmod(0o755)
        # Two stand-ins of one size, written within a second, would share their .pyc.
        env = {"PYTHONPATH": str(tmp_path / "modules"), "PYTHONDONTWRITEBYTECODE": "1"}
        env["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
        env |= {} if devices is None else {"CUDA_VISIBLE_DEVICES": devices}
        done = run_app(env=env, args=[PYTHON, "-P", "-c", DRIVER, release, *words, *program])
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if "auto picked" in line]
        return done.stdout.strip(), "\n".join(said).removeprefix("run-app: ")

    return run


@pytest.mark.parametrize("by", ["nvml", "smi"])
@pytest.mark.parametrize(
    ("card", "profile"),
    [
        (BLACKWELL_96, "blackwell96"),
        (H200, "blackwell96"),
        (BLACKWELL_48, "gpu48"),
        (ADA_48, "gpu48"),
        (L40S, "gpu48"),
        (A6000, "gpu48"),
        (GEFORCE_24, "gpu"),
    ],
)
def test_memory_chooses_the_profile_whatever_the_architecture(auto: Auto, by: str, card: str, profile: str) -> None:
    shown, said = auto(card, by=by)
    name, mib, capability = card.split(",")
    assert shown == f"{profile} float16 unset"
    assert said == f"auto picked {profile}: {name}, {mib} MiB, compute capability {capability}"


def test_an_old_card_gets_a_compute_type_it_has(auto: Auto) -> None:
    assert auto(PASCAL)[0] == "gpu int8 unset"
    shown, said = auto(P100)
    assert shown == "gpu float32 unset"
    assert said.endswith("no float16 before 7.0: float32")


def test_a_card_that_tells_no_memory_is_the_smallest(auto: Auto) -> None:
    shown, said = auto(SHARED)
    assert shown == "gpu float16 unset"
    assert said == "auto picked gpu: NVIDIA GB10, memory unknown, compute capability 12.1"


def test_under_wsl_profile_wsl_is_laid_over_it(auto: Auto) -> None:
    shown, said = auto(BLACKWELL_96, release=WSL)
    assert shown == "blackwell96,wsl float16 unset"
    assert said.startswith("auto picked blackwell96,wsl: NVIDIA RTX PRO 6000")
    assert said.endswith("; under WSL")
    assert auto(release=WSL)[0] == "cpu,wsl int8 unset"


def test_no_card_is_cpu_and_says_why(auto: Auto) -> None:
    assert auto() == ("cpu int8 unset", "auto picked cpu: no card (neither NVML nor nvidia-smi shows one)")
    assert auto(BLACKWELL_96, init="raise NVMLError('Driver Not Loaded')")[0] == "cpu int8 unset"
    assert auto(by="none", smi="echo 'NVIDIA-SMI has failed'; exit 9")[0] == "cpu int8 unset"


def test_nvidia_smi_answers_where_nvml_fails(auto: Auto) -> None:
    smi = f"echo '0, {ADA_48.replace(',', ', ')}, GPU-00aa'"
    assert auto(init="raise NVMLError('Library Not Found')", smi=smi)[0] == "gpu48 float16 unset"


@pytest.mark.parametrize("hanging", [{"init": "time.sleep(60)"}, {"by": "none", "smi": "exec sleep 60"}])
def test_a_driver_that_hangs_does_not_take_the_start_with_it(auto: Auto, hanging: dict[str, str]) -> None:
    begin = time.monotonic()
    shown, said = auto(BLACKWELL_96, **hanging)
    assert time.monotonic() - begin < 10
    assert shown == "cpu int8 unset"
    assert said == "auto picked cpu: no card (the driver gave no answer within 0.4 s)"


def test_of_different_cards_the_largest_comes_first(auto: Auto) -> None:
    shown, said = auto(GEFORCE_24, BLACKWELL_96)
    assert shown == "blackwell96 float16 1,0"
    assert said.endswith("(the largest of 2, put first by CUDA_VISIBLE_DEVICES=1,0)")
    assert auto(BLACKWELL_96, GEFORCE_24)[0] == "blackwell96 float16 unset"
    assert auto(ADA_48, ADA_48) == (
        "gpu48 float16 unset",
        "auto picked gpu48: NVIDIA RTX 6000 Ada Generation, 49140 MiB, compute capability 8.9 (card 0 of 2)",
    )


@pytest.mark.parametrize(
    ("devices", "profile"),
    [
        ("0", "gpu"),
        ("1", "blackwell96"),
        ("0,1", "gpu"),
        ("1,0", "blackwell96"),
        (" 1", "blackwell96"),
        ("GPU-11aa", "blackwell96"),
        ("", "cpu"),
        ("-1", "cpu"),
        ("7,1", "cpu"),
        ("MIG-0c757cd7-e942", "gpu"),
    ],
)
def test_cuda_visible_devices_is_respected(auto: Auto, devices: str, profile: str) -> None:
    shown, said = auto(GEFORCE_24, BLACKWELL_96, devices=devices)
    assert shown.split()[0] == profile
    assert shown.split()[2:] == devices.split()
    assert f"by CUDA_VISIBLE_DEVICES={devices}" in said


@pytest.mark.parametrize("inherited", [None, "0"])
@pytest.mark.parametrize("where", ["--set", "--env-file", "local.env", "profile before", "profile behind"])
def test_cuda_visible_devices_counts_whoever_sets_it(
    auto: Auto, profile: Callable[..., Path], tmp_path: Path, where: str, inherited: str | None
) -> None:
    path = profile("CUDA_VISIBLE_DEVICES=${THE_CARD:-1}\n", "card")
    words = {
        "--set": ("--set", "CUDA_VISIBLE_DEVICES=1"),
        "--env-file": ("--env-file", str(path)),
        "local.env": (),
        "profile before": ("-p", "card,auto"),
        "profile behind": ("-p", "auto,card"),
    }[where]
    if where == "local.env":
        path.rename(tmp_path / "config/run-app/local.env")
        page, _ = auto(GEFORCE_24, BLACKWELL_96, devices=inherited, words=("profiles",), program=())
        assert "auto picks blackwell96: " in page
    shown, said = auto(GEFORCE_24, BLACKWELL_96, devices=inherited, words=words)
    assert shown.replace(",card", "").replace("card,", "") == "blackwell96 float16 1"
    assert said.endswith("(by CUDA_VISIBLE_DEVICES=1)")


def test_cuda_visible_devices_may_be_made_of_other_names(auto: Auto, profile: Callable[..., Path]) -> None:
    profile("LAST=${DIGIT:-0}\nGPU=${LAST}\nCUDA_VISIBLE_DEVICES=${GPU}\nAFTER=${RUN_APP_MODEL}", "card")
    cards = (GEFORCE_24, BLACKWELL_96)
    assert auto(*cards, words=("-p", "auto,card"))[0] == "blackwell96,card float16 0".replace("blackwell96", "gpu")
    profile("DIGIT=1\n", "digit")
    assert auto(*cards, words=("-p", "auto,digit,card"))[0] == "blackwell96,digit,card float16 1"
    assert auto(*cards, words=("-p", "auto,card", "--set", "GPU=1"))[0] == "gpu,card float16 0"
    assert auto(*cards, devices="1", words=("-p", "auto,card", "--unset", "CUDA_VISIBLE_DEVICES"))[0].startswith("gpu,")


def test_cuda_visible_devices_that_is_kept_or_unset_counts_as_that(auto: Auto, profile: Callable[..., Path]) -> None:
    profile("CUDA_VISIBLE_DEVICES=0", "card")
    cards, name = (GEFORCE_24, BLACKWELL_96), "CUDA_VISIBLE_DEVICES"
    # The program will see the first card first, and nothing may say otherwise.
    shown, said = auto(*cards, devices="1", words=("--unset", name))
    assert shown == "gpu float16 unset"
    assert said.endswith("(card 0 of 2)")
    assert auto(*cards, words=("--unset", name))[0] == "gpu float16 unset"
    assert auto(*cards, devices="1", words=("--keep", name))[0] == "blackwell96 float16 1"
    assert auto(*cards, words=("--keep", name))[0] == "blackwell96 float16 1,0"
    assert auto(*cards, devices="1", words=("-p", "card,auto", "--keep", name))[0] == "card,blackwell96 float16 1"


def test_a_profile_named_after_auto_wins(auto: Auto) -> None:
    assert auto(BLACKWELL_96, words=("-p", "auto,cpu"))[0] == "blackwell96,cpu int8 unset"


def test_a_named_profile_asks_no_card(auto: Auto) -> None:
    assert auto(BLACKWELL_96, init="time.sleep(60)", words=("-p", "cpu")) == ("cpu int8 unset", "")


def test_asking_leaves_the_program_no_child_to_wait_for(run_app: Run) -> None:
    program = "import os\ntry: print(os.waitpid(-1, os.WNOHANG))\nexcept ChildProcessError: print('none')"
    assert run_app("--", PYTHON, "-c", program).stdout == "none\n"


def test_wsl_alone_leaves_device_and_model_to_the_app(run_app: Run) -> None:
    done = run_app("-p", "wsl", "--", "sh", "-c", "echo ${RUN_APP_DEVICE-unset} ${RUN_APP_MODEL-unset}")
    assert done.stdout == "unset unset\n"


@pytest.mark.parametrize(
    ("words", "inner", "asked"),
    [
        ((), (), "auto"),
        (("-p", "auto,wsl"), (), "auto,wsl"),
        (("-p", "cpu"), (), ""),
        ((), (*RUN_APP, "--"), "auto"),
        ((), (*RUN_APP, "-p", "cpu", "--set", "X=1", "--"), ""),
        (("-p", "gpu48"), (*RUN_APP, "-p", "auto", "--"), "auto"),
    ],
)
def test_the_program_can_tell_that_auto_was_asked_for(
    auto: Auto, words: tuple[str, ...], inner: tuple[str, ...], asked: str
) -> None:
    """On another machine it is to be asked again. A profile named within decides from there on."""
    program = ("--", *inner, "sh", "-c", 'echo "$RUN_APP_PROFILE|$RUN_APP_ASKED"')
    shown, _ = auto(BLACKWELL_96, words=words, program=program)
    assert shown.partition("|")[2] == asked
    assert "auto" not in shown.partition("|")[0]
