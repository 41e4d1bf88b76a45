"""What is said of cards that a stand-in for nvidia-ml-py shows: no card is needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from app.verify import Check, Seen, needs
from app.verify.cards import judge, understand
from tests.app.verify.looking import look, machine, the
from tests.launcher.test_auto_profile import ADA_48, BLACKWELL_96, GEFORCE_24, H200, PASCAL, PYNVML, SHARED

MORE = """
class Memory:
    def __init__(self, mib): self.total, self.free = int(mib) << 20, {free!r} << 20
class User:
    def __init__(self, pid, mib): self.pid, self.usedGpuMemory = pid, mib and mib << 20
def nvmlSystemGetDriverVersion(): return {driver!r}
def nvmlSystemGetCudaDriverVersion(): return {cuda}
def nvmlDeviceGetComputeRunningProcesses(card): return [User(*user) for user in {users!r}]
def nvmlDeviceGetGraphicsRunningProcesses(card): raise NVMLError("Not Supported")
def nvmlSystemGetProcessName(pid):
    if pid == 404: raise NVMLError("Not Found")
    return b"/usr/lib/xorg/Xorg"
"""
WSL2 = "5.15.153.1-microsoft-standard-WSL2"
Shown = Callable[..., list[Check]]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """Call it with the cards; what the section finds comes back."""

    def run(
        *cards: str,
        free: int = 12_000,
        users: tuple[tuple[int, int | None], ...] = (),
        driver: str = "575.57.08",
        cuda: int = 12090,
        init: str = "pass",
        release: str = "6.8.0-45-generic",
        profile: str = "",
        only: str = "cards",
        **environment: str,
    ) -> list[Check]:
        root = machine(tmp_path / "root", release=release)
        (tmp_path / "modules").mkdir(exist_ok=True)
        text = PYNVML.format(cards=cards, init=init) + MORE.format(free=free, users=users, driver=driver, cuda=cuda)
        (tmp_path / "modules/pynvml.py").write_text(text)
        environment = {"PYTHONPATH": str(tmp_path / "modules"), "RUN_APP_PROFILE": profile} | environment
        return look("cards", root=root, only=only, environment=environment)

    return run


def judged(
    card: str,
    *,
    free: int | None = None,
    driver: str = "575.57.08",
    cuda: int = 12090,
    profile: str = "",
    root: Path = Path("/"),
    **environment: str,
) -> list[Check]:
    """The same of one card, from the words of the probe: no process is started."""
    line = f"0,{card},GPU-0"
    said = {"why": "", "driver": driver, "cuda": cuda, "cards": [{"line": line, "users": []}]}
    said["cards"][0]["free"] = int(card.split(",")[1] or 0) if free is None else free  # type: ignore[index]
    seen = Seen(environment, {}, (), tuple(filter(None, profile.split(","))))
    return judge(seen, understand(said, environment), root)


@pytest.mark.parametrize(
    ("card", "generation"),
    [
        (BLACKWELL_96, "Blackwell"),
        (H200, "Hopper"),
        (ADA_48, "Ada"),
        (PASCAL, "Pascal"),
        (SHARED, "Blackwell"),
        ("NVIDIA RTX A6000,49140,8.6", "Ampere"),
        ("NVIDIA B200,183359,10.0", "Blackwell"),
        ("Tesla T4,15360,7.5", "Turing"),
    ],
)
def test_a_card_is_called_by_its_compute_capability(card: str, generation: str) -> None:
    check = the(judged(card), "card")
    name, mib, capability = card.split(",")

    assert check.status == "OK"
    size = f"{mib} MiB" if mib else "memory unknown"
    assert check.found.startswith(f"{name}, {size}, compute capability {capability} ({generation}), driver 575.57.08; ")
    assert ("does not exist" in check.found) == (card == ADA_48)


@pytest.mark.slow
def test_nvml_tells_who_uses_a_card(shown: Shown) -> None:
    check = the(shown(BLACKWELL_96, free=97_000, users=((7, 300), (404, None))), "card")
    assert check.found.endswith("; 97,000 MiB free, used by Xorg (7) 300 MiB, process 404")
    assert the(shown(BLACKWELL_96), "card").found.endswith(", used by nobody that NVML names")
    # One that shares the machine's memory tells neither size nor what is free.
    found = shown(SHARED)
    assert the(found, "card").found.startswith("NVIDIA GB10, memory unknown, compute capability 12.1 (Blackwell), ")
    assert "free" not in the(found, "card").found


def test_hopper_is_never_called_blackwell(shown: Shown) -> None:
    found = shown(H200, free=143_000, profile="blackwell96", RUN_APP_DEVICE="cuda")

    assert "Blackwell" not in " ".join(check.found for check in found)
    assert the(found, "profile-fits").found == "fits the card"


@pytest.mark.parametrize(
    ("card", "profile", "status", "said", "todo"),
    [
        (BLACKWELL_96, "blackwell96", "OK", "fits the card", ""),
        (BLACKWELL_96, "gpu48", "OK", "blackwell96 would make more of it", ""),
        (BLACKWELL_96, "", "OK", "blackwell96 fits the card", ""),
        (BLACKWELL_96, "mine", "OK", "blackwell96 fits the card", ""),
        (ADA_48, "blackwell96", "WARN", "is for cards of 90,000 MiB and more; this one has 49,140", "gpu48"),
        (ADA_48, "blackwell96,wsl", "WARN", "is for cards of 90,000 MiB", "gpu48,wsl"),
        (GEFORCE_24, "gpu48", "WARN", "is for cards of 44,000 MiB", "gpu"),
        (GEFORCE_24, "gpu", "OK", "fits the card", ""),
        (SHARED, "gpu", "SKIP", "does not tell its memory", ""),
    ],
)
def test_the_profile_is_held_against_the_card(card: str, profile: str, status: str, said: str, todo: str) -> None:
    check = the(judged(card, profile=profile), "profile-fits")

    assert check.status == status
    assert said in check.found
    assert check.todo == (f"run-app --profile {todo}" if todo else "")


def test_a_card_under_the_processor_s_profile_is_left_idle(shown: Shown) -> None:
    found = shown(ADA_48, profile="cpu", RUN_APP_DEVICE="cpu", CUDA_DISABLE_PTX_JIT="1")

    assert the(found, "profile-fits").found == "leaves the card idle; gpu48 would use it"
    assert [check.id for check in found] == ["card", "profile-fits"]


def test_two_cards_and_the_one_that_is_seen(shown: Shown) -> None:
    found = shown(GEFORCE_24, BLACKWELL_96, free=90_000, profile="blackwell96", CUDA_VISIBLE_DEVICES="1")

    cards = [check for check in found if check.id == "card"]
    assert [check.subject for check in cards] == ["card 0", "card 1"]
    assert cards[0].found.endswith("; hidden by CUDA_VISIBLE_DEVICES")
    assert "hidden" not in cards[1].found
    assert the(found, "profile-fits").status == "OK"
    first = shown(GEFORCE_24, BLACKWELL_96, free=24_000, profile="blackwell96")
    assert the(first, "profile-fits").status == "WARN"


def test_without_a_card_nothing_fails_but_a_profile_for_one(shown: Shown) -> None:
    (check,) = shown()
    assert (check.id, check.status) == ("no-card", "SKIP")
    assert "large-v3" in check.found

    (check,) = shown(BLACKWELL_96, init="raise NVMLError('Driver/library version mismatch')", RUN_APP_DEVICE="cuda")
    assert check.status == "FAIL"
    assert "Driver/library version mismatch" in check.found
    assert check.todo.startswith("run-app --profile cpu")


@pytest.mark.parametrize(("device", "status"), [("cuda", "FAIL"), ("auto", "SKIP")])
def test_cards_that_are_hidden(shown: Shown, device: str, status: str) -> None:
    (check,) = shown(ADA_48, CUDA_VISIBLE_DEVICES="7", RUN_APP_DEVICE=device)

    assert (check.status, check.found) == (status, "CUDA_VISIBLE_DEVICES=7 hides all 1")
    assert check.todo == "run-app --unset CUDA_VISIBLE_DEVICES"


def test_a_library_of_the_driver_that_aborts(shown: Shown) -> None:
    """The launcher's own child dies of it first; then the probe does, and verify says so."""
    found = shown(ADA_48, init="__import__('os').abort()")

    assert [check.status for check in found] == ["FAIL"]
    assert "SIGABRT" in found[0].found


@pytest.mark.parametrize(
    ("free", "profile", "model", "said"),
    [
        (3_000, "gpu", "large-v3", "3,000 MiB free: too little for large-v3 and a batch"),
        (20_000, "gpu48", "large-v3", "20,000 of 49,140 MiB free: others leave what profile gpu is made for"),
        (45_000, "gpu48", "large-v3", ""),
        (20_000, "gpu", "large-v3-turbo", ""),
    ],
)
def test_memory_that_others_hold(free: int, profile: str, model: str, said: str) -> None:
    found = judged(ADA_48, free=free, profile=profile, RUN_APP_MODEL=model)
    checks = [check for check in found if check.id == "card-shared"]

    assert [check.found for check in checks] == ([said] if said else [])
    assert all(check.status == "WARN" for check in checks)


@pytest.mark.parametrize(
    ("card", "kind", "instead"),
    [
        (PASCAL, "float16", "int8"),
        ("Tesla P100,16384,6.0", "int8_float16", "float32"),
        ("Tesla T4,15360,7.5", "bfloat16", "float16"),
        (PASCAL, "int8", ""),
        (ADA_48, "bfloat16", ""),
        (SHARED, "float16", ""),
    ],
)
def test_a_type_that_the_card_cannot_do(card: str, kind: str, instead: str) -> None:
    checks = [check for check in judged(card, RUN_APP_COMPUTE_TYPE=kind) if check.id == "compute-type"]

    assert [check.todo for check in checks] == ([f"run-app --set RUN_APP_COMPUTE_TYPE={instead}"] if instead else [])


def test_a_driver_too_old(shown: Shown) -> None:
    check = the(shown(ADA_48, driver="470.256.02", cuda=11040), "driver")
    assert check.status == "FAIL"
    assert check.found.startswith("470.256.02 knows CUDA 11.4; ")
    assert "525.60 or newer" in check.todo

    assert the(judged(ADA_48, driver="525.60.13", cuda=12000), "driver").status == "OK"


@pytest.mark.parametrize(
    ("driver", "value", "status"),
    [
        ("610.74", "expandable_segments:True", "WARN"),
        ("610.74", "max_split_size_mb:512, expandable_segments : True", "WARN"),
        ("610.74", "max_split_size_mb:512", "OK"),
        ("610.74", "expandable_segments:False", "OK"),
        ("616.92", "expandable_segments:True", "OK"),
        ("616.100", "expandable_segments:True", "OK"),
    ],
)
def test_the_driver_under_wsl(tmp_path: Path, driver: str, value: str, status: str) -> None:
    def found(release: str) -> list[Check]:
        root = machine(tmp_path, release=release)
        return judged(ADA_48, driver=driver, profile="gpu48", root=root, PYTORCH_CUDA_ALLOC_CONF=value)

    check = the(found(WSL2), "wsl-driver")
    assert check.status == status
    assert check.todo.startswith("run-app --profile gpu48,wsl" if status == "WARN" else "")

    assert not [check for check in found("6.8.0-45-generic") if check.id == "wsl-driver"]


@pytest.mark.slow
@pytest.mark.skipif(not needs.has_torch(), reason="torch is not installed")
def test_the_installed_torch_tells_its_architectures_without_a_card(shown: Shown) -> None:
    check = the(shown(BLACKWELL_96, only="torch's architectures"), "torch-architectures")

    assert check.status == "OK"
    assert check.found.startswith(metadata.version("torch").partition("+")[0])
    assert "12.0" in check.found
    assert shown(only="torch's architectures") == []
    assert shown(BLACKWELL_96, only="torch's architectures", RUN_APP_DEVICE="cpu") == []
