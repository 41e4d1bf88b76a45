"""Each proof three times in real processes: with the variable at exec, without it, and set too late from Python."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.verify import Check, Seen
from app.verify.proofs import Asked, Reading, allocator, openmp, read
from app.verify.variables import PROOFS, TORCHES, tasks

ENV = Path(__file__).resolve().parents[3] / "env"
TELL = """
import dataclasses, json
from app.commands.verify import read
from app.verify.variables import tasks
print(json.dumps([dataclasses.asdict(check) for task in tasks(read()) for check in task.run()]))
"""
TOKEN = "hf_abcdefghijklmnop"
NEEDS = {
    "HF": "huggingface_hub",
    "PYANNOTE": "pyannote",
    "GRADIO": "gradio",
    "TOKENIZERS": "tokenizers",
    "OMP": "ctranslate2",
    "GOMP": "ctranslate2",
}
# What a machine without a card can show; the paths come with the fixture below.
VALUES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    # Two, because glibc splits them in the very memory that /proc/self/environ shows.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=3:glibc.malloc.tcache_max=99",
    "LD_LIBRARY_PATH": "",
    "LD_PRELOAD": "",
    "GOMP_SPINCOUNT": "100000",
    "PYANNOTE_METRICS_ENABLED": "0",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": "/nowhere/hub",
    "HF_TOKEN": TOKEN,
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "RUN_APP_DEVICE": "cpu",
    "RUN_APP_MODEL": "tiny.en",
    "RUN_APP_COMPUTE_TYPE": "int8",
    "RUN_APP_BATCH_SIZE": "7",
    "RUN_APP_RESIDENT": "True",
}
AT_EXEC = ("MALLOC_", "GLIBC_", "LD_", "PYTHON")
"""Who reads these will never see what comes later."""

Values = dict[str, str]
each = pytest.mark.parametrize("name", VALUES)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """An environment in which nothing of this is set."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path_factory.mktemp("home")), "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """With a folder whose libcublas.so.12 can be opened, and a library that can be preloaded."""
    folder = tmp_path_factory.mktemp("lib")
    for name in ("libcublas.so.12", "libextra.so.1"):
        shutil.copy(some_library(), folder / name)
    return VALUES | {"LD_LIBRARY_PATH": str(folder), "LD_PRELOAD": str(folder / "libextra.so.1")}


@pytest.fixture(scope="module")
def with_all(plain: Values, values: Values) -> dict[str, Check]:
    """What is said of each where all are there at exec."""
    return verified(plain | values | named(values))


@pytest.fixture(scope="module")
def with_all_late(plain: Values, values: Values) -> dict[str, Check]:
    """What is said of each where Python set them, after the start, and the profile meant to."""
    return verified(plain | named(values), late=values)


def some_library() -> str:
    """One that any process may load."""
    maps = Path("/proc/self/maps").read_text()
    found = re.search(r" (/\S*/libm[.-]\S*)$", maps, re.M)
    if not found:
        pytest.skip("no libm to copy")
    return found[1]


def named(values: Mapping[str, str]) -> Values:
    """As the launcher tells what it set."""
    return {"RUN_APP_SETTINGS": ",".join(values), "RUN_APP_PROFILE": "test"}


def verified(environment: Values, late: Mapping[str, str] | None = None, under: str = ":") -> dict[str, Check]:
    """The checks of a process that was started so, by the variable; `late` it gives itself after its start, `under` is
    a command of the shell that comes before it.
    """
    lines = f"import os\nos.environ.update({dict(late or {})!r})\n{TELL}"
    command = ["bash", "-c", f'{under} && exec "$@"', "bash", sys.executable, "-P", "-c", lines]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout
    return {check["subject"].partition("=")[0]: Check(**check) for check in json.loads(done.stdout)}


def proof(name: str, value: str, environment: Values) -> Check:
    """The proof of this value for processes that are started with `environment`, whatever that holds."""
    return PROOFS[name].run(Asked(PROOFS[name].id, name, value, Seen(environment, {}, (name,), ("test",))))


def need(name: str) -> None:
    library = NEEDS.get(name.partition("_")[0])
    if library and not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")


def compile_library(folder: Path, name: str, source: str) -> Path:
    """A shared library of these lines of C."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    (folder / "source.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / name, folder / "source.c", "-ldl"], check=True)
    return folder / name


# Three times.


@each
def test_one_that_was_there_at_exec_is_effective(name: str, with_all: dict[str, Check]) -> None:
    need(name)
    check = with_all[name]
    assert check.status == "OK", check
    assert "; without it " in check.found
    assert check.facts["with"] != check.facts["without"]


@each
def test_the_same_proof_without_it_shows_no_effect(
    name: str, plain: Values, values: Values, with_all: dict[str, Check]
) -> None:
    """The proof is asked as if the variable were there, and the processes it looks at are started without it."""
    need(name)
    check = proof(name, values[name], plain)
    assert check.status in ("FAIL", "SKIP"), check
    if check.status == "SKIP":
        assert check.found.startswith("present, effect not observable here: ")
    assert check.facts["with"] == check.facts["without"]
    assert check.facts["with"] != with_all[name].facts["with"]


@each
def test_one_that_is_set_after_the_start_is_not_effective(name: str, with_all_late: dict[str, Check]) -> None:
    check = with_all_late[name]
    assert check.id == "set-too-late"
    assert check.status == ("FAIL" if name.startswith(AT_EXEC) else "WARN")
    assert "set after the start, at which there was none" in check.found
    assert "run-app --set" in check.todo


def test_one_that_the_profile_set_and_that_was_lost_before_exec_fails(plain: Values) -> None:
    check = verified(plain | named({"MALLOC_ARENA_MAX": "1"}))["MALLOC_ARENA_MAX"]
    assert (check.status, check.id) == ("FAIL", "lost-at-exec")


def test_one_that_is_changed_after_the_start_counts_as_late(plain: Values) -> None:
    at_exec = {"MALLOC_ARENA_MAX": "4", "OMP_WAIT_POLICY": "PASSIVE"}
    checks = verified(plain | at_exec | named(at_exec), late={"MALLOC_ARENA_MAX": "1", "OMP_WAIT_POLICY": "ACTIVE"})
    assert checks["MALLOC_ARENA_MAX"].status == "FAIL"
    assert "at which it was 4" in checks["MALLOC_ARENA_MAX"].found
    assert checks["OMP_WAIT_POLICY"].status == "WARN"


def test_late_ones_are_found_that_no_profile_named(plain: Values) -> None:
    """As the document's setup_cuda_env.py sets them."""
    checks = verified(plain, late={"MALLOC_ARENA_MAX": "4", "MALLOC_TRIM_THRESHOLD_": "100000"})
    assert {name: checks[name].status for name in ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_")} == {
        "MALLOC_ARENA_MAX": "FAIL",
        "MALLOC_TRIM_THRESHOLD_": "FAIL",
    }
    assert checks["profile"].status == "SKIP"


@pytest.mark.parametrize("value", ["glibc.malloc.tcache_count=3:glibc.none=1:glibc.malloc.tcache_max=99", "x::", ""])
def test_glibcs_own_variable_is_read_in_one_piece(value: str, plain: Values) -> None:
    """Its parts are split in the very memory that /proc/self/environ shows."""
    tell = "import json; from app.commands.verify import read; seen = read(); print(json.dumps([*map(dict, %s)]))"
    words = [sys.executable, "-P", "-c", tell % "(seen.environment, seen.late)"]
    environment = plain | {"GLIBC_TUNABLES": value, "LAST": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [environment, {}]


# What the shipped profiles hold.


def test_every_name_of_every_shipped_profile_has_a_proof_or_a_reason() -> None:
    names = {name for file in ENV.glob("*.env") for name in re.findall(r"^(\w+)=", file.read_text(), re.M)}
    assert len(names) > 15
    assert names <= {*PROOFS, *TORCHES}


def test_what_cannot_be_seen_is_never_ticked(plain: Values) -> None:
    never = {"CUDA_CACHE_MAXSIZE": "4294967296", "CT2_CUDA_ALLOCATOR": "cub_caching", "RUN_APP_SPLIT_MB": "512"}
    without_card = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0", "CUDA_MODULE_LOADING": "LAZY"}
    if read("driver", plain).said.get("cards"):
        without_card = {}
    given = never | without_card | {"NOBODY_KNOWS_IT": "1"}
    checks = verified(plain | given | named(given))
    assert checks.keys() == given.keys()
    for check in checks.values():
        assert check.status == "SKIP"
        assert check.found.startswith("present, effect not observable here: ")


def test_a_value_that_is_the_default_anyhow_is_not_ticked(plain: Values) -> None:
    heaps = 8 * len(os.sched_getaffinity(0))
    given = {"RUN_APP_BATCH_SIZE": "8", "TOKENIZERS_PARALLELISM": "true", "MALLOC_ARENA_MAX": str(heaps)}
    if heaps > 500 or not importlib.util.find_spec("tokenizers"):
        pytest.skip("too many cores, or no tokenizers")
    for check in verified(plain | given | named(given)).values():
        assert check.status == "SKIP", check
        assert "and so it " in check.found


# Variables that have no effect though they were there at exec.


def test_what_glibc_prefers_is_named(plain: Values) -> None:
    environment = plain | {"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.arena_max=3"}
    check = proof("MALLOC_ARENA_MAX", "1", environment)
    assert (check.status, check.facts["with"]) == ("FAIL", {"arenas": 3, "threads": 17})
    assert "GLIBC_TUNABLES sets glibc.malloc.arena_max" in check.found
    assert "--unset GLIBC_TUNABLES" in check.todo


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_ARENA_MAX", "two"), ("MALLOC_ARENA_MAX", "0"), ("GLIBC_TUNABLES", "glibc.malloc.arenas=1")],
)
def test_a_value_that_glibc_silently_ignores_fails(name: str, value: str, plain: Values) -> None:
    assert proof(name, value, plain | {name: value}).status == "FAIL"


def test_an_mmap_threshold_of_more_than_32_mib_depends_on_glibc(plain: Values) -> None:
    value = str(64 * 2**20)
    check = proof("MALLOC_MMAP_THRESHOLD_", value, plain | {"MALLOC_MMAP_THRESHOLD_": value})
    version = tuple(map(int, platform.libc_ver()[1].split(".")))
    if version <= (2, 31):
        assert check.status == "FAIL"
    elif version >= (2, 35):
        assert (check.status, check.found) == (
            "OK",
            "blocks just under and just above it came from the heap and by mmap; without it both by mmap",
        )


def test_the_documents_trim_threshold_alone_is_effective_and_harmful(plain: Values) -> None:
    check = proof("MALLOC_TRIM_THRESHOLD_", "100000", plain | {"MALLOC_TRIM_THRESHOLD_": "100000"})
    assert check.status == "WARN"
    assert "mmap's threshold frozen; without it" in check.found
    assert "MALLOC_MMAP_THRESHOLD_" in check.todo


def test_another_malloc_reads_none_of_it(plain: Values, tmp_path: Path) -> None:
    library = compile_library(
        tmp_path,
        "libother.so",
        "#include <stddef.h>\nvoid *__libc_malloc(size_t);\nvoid *malloc(size_t n) { return __libc_malloc(n); }\n",
    )
    environment = plain | {"LD_PRELOAD": str(library), "MALLOC_ARENA_MAX": "1"}
    check = proof("MALLOC_ARENA_MAX", "1", environment)
    assert check.status == "FAIL"
    assert str(library) in check.found


def test_a_variable_with_which_processes_die(plain: Values, tmp_path: Path) -> None:
    source = "#include <stdlib.h>\n__attribute__((constructor)) static void end(void) { abort(); }\n"
    library = compile_library(tmp_path, "libdeadly.so", source)
    check = proof("LD_PRELOAD", str(library), plain | {"LD_PRELOAD": str(library)})
    assert check.status == "FAIL"
    assert "SIGABRT" in check.found
    assert check.todo == "run-app --unset LD_PRELOAD"


def test_a_library_that_cannot_be_preloaded(plain: Values, tmp_path: Path) -> None:
    (tmp_path / "libbad.so").write_text("no library" * 100)
    value = str(tmp_path / "libbad.so")
    check = proof("LD_PRELOAD", value, plain | {"LD_PRELOAD": value})
    assert check.status == "FAIL"
    assert "invalid ELF header" in check.found


def test_a_library_for_another_machine_before_the_right_one(values: Values, plain: Values, tmp_path: Path) -> None:
    right = Path(values["LD_LIBRARY_PATH"], "libcublas.so.12").read_bytes()
    alien = tmp_path / "libcublas.so.12"
    number, name = (243, "riscv") if right[18] != 243 else (183, "aarch64")
    alien.write_bytes(right[:18] + number.to_bytes(2, "little") + right[20:])
    value = f"{tmp_path}:{values['LD_LIBRARY_PATH']}"
    check = proof("LD_LIBRARY_PATH", value, plain | {"LD_LIBRARY_PATH": value})
    assert check.status == "WARN"
    here = platform.machine()
    assert check.found.startswith(f"{alien} is for another machine, {name} (ELF machine {number}), not {here}: ")
    assert check.todo == f"take {tmp_path} out of LD_LIBRARY_PATH, or put libcublas.so.12 for {here} there"


def test_a_damaged_library_on_the_path(plain: Values, tmp_path: Path) -> None:
    (tmp_path / "libcublas.so.12").write_text("no library" * 100)
    check = proof("LD_LIBRARY_PATH", str(tmp_path), plain | {"LD_LIBRARY_PATH": str(tmp_path)})
    assert check.status == "FAIL"
    assert "invalid ELF header" in check.found
    assert str(tmp_path) in check.todo


def test_a_library_for_which_there_is_no_memory_is_no_fault_of_the_path(plain: Values) -> None:
    spec = importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.cublas")
    if not spec or not spec.submodule_search_locations:
        pytest.skip("cuBLAS is not installed")
    given = {"LD_LIBRARY_PATH": str(Path(spec.submodule_search_locations[0], "lib"))}
    check = verified(plain | given | named(given), under="ulimit -v 600000")["LD_LIBRARY_PATH"]
    assert check.status == "SKIP"
    assert "failed to map segment" in check.found


def test_an_empty_entry_of_the_path(values: Values, plain: Values) -> None:
    value = f"{values['LD_LIBRARY_PATH']}:"
    check = proof("LD_LIBRARY_PATH", value, plain | {"LD_LIBRARY_PATH": value})
    assert check.status == "WARN"
    assert "current directory" in check.found


@pytest.mark.parametrize("value", ["PASSIVE", "ACTIVE"])
def test_waiting_is_proved_by_the_spins(value: str, plain: Values) -> None:
    """As libgomp shows the policy, it is PASSIVE where nothing is set."""
    name = "OMP_WAIT_POLICY"
    need(name)
    assert verified(plain | {name: value} | named({name: value}))[name].status == "OK"
    assert proof(name, value, plain).status == "FAIL"
    late = verified(plain | named({name: value}), late={name: value})[name]
    assert (late.id, late.status) == ("set-too-late", "WARN")


def test_what_beats_the_policy_of_waiting_is_named(plain: Values) -> None:
    need("OMP_WAIT_POLICY")
    environment = plain | {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "100000"}
    check = proof("OMP_WAIT_POLICY", "PASSIVE", environment)
    assert check.status == "FAIL"
    assert "--unset GOMP_SPINCOUNT" in check.todo
    assert proof("GOMP_SPINCOUNT", "100000", environment).status == "OK"


# CUDA's driver, played by one of our own: it knows two cards, and the rules for their order and visibility.

DRIVER = """
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
static const char *bus[2] = {"0000:41:00.0", "0000:01:00.0"};  /* the faster one first, as by default */
static int cards[2], count;
int cuInit(unsigned flags) {
    const char *order = getenv("CUDA_DEVICE_ORDER"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    int first = order && !strcmp(order, "PCI_BUS_ID");
    int all[2] = {first, !first};
    if (!visible) { memcpy(cards, all, sizeof all); count = 2; return 0; }
    for (; *visible >= '0' && *visible < '2' && count < 2; visible += visible[1] == ',' ? 2 : 1)
        cards[count++] = all[*visible - '0'];
    return count ? 0 : 100;
}
int cuDeviceGetCount(int *n) { *n = count; return 0; }
int cuDeviceGet(int *device, int index) { *device = cards[index]; return 0; }
int cuDeviceGetPCIBusId(char *text, int size, int device) { snprintf(text, size, "%s", bus[device]); return 0; }
int cuDeviceGetUuid(unsigned char *id, int device) { memset(id, 0x10 + device, 16); return 0; }
int cuModuleGetLoadingMode(int *mode) {
    const char *wanted = getenv("CUDA_MODULE_LOADING");
    *mode = wanted && !strcmp(wanted, "EAGER") ? 1 : 2;
    return 0;
}
"""


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID", "OK"),
        ("CUDA_DEVICE_ORDER", "FASTEST_FIRST", "SKIP"),
        ("CUDA_VISIBLE_DEVICES", "1", "OK"),
        ("CUDA_VISIBLE_DEVICES", "1,0", "OK"),
        ("CUDA_VISIBLE_DEVICES", "-1", "OK"),
        ("CUDA_VISIBLE_DEVICES", "0,1", "SKIP"),
        ("CUDA_VISIBLE_DEVICES", "GPU-11111111", "FAIL"),  # this driver doesn't know names
        ("CUDA_MODULE_LOADING", "EAGER", "OK"),
        ("CUDA_MODULE_LOADING", "LAZY", "SKIP"),
    ],
)
def test_cudas_view_by_a_driver_that_is_played(
    name: str, value: str, status: str, plain: Values, tmp_path: Path
) -> None:
    compile_library(tmp_path, "libcuda.so.1", DRIVER)
    cards = plain | {"LD_LIBRARY_PATH": str(tmp_path)}
    assert proof(name, value, cards | {name: value}).status == status
    assert proof(name, value, cards).status != "OK"


# torch: importing it takes seconds.


def by_torch(environment: Values, *names: str) -> dict[str, Check]:
    """What is said of these for processes that are started with `environment`."""
    seen = Seen(environment, {}, names, ("test",))
    return {check.subject.partition("=")[0]: check for task in tasks(seen) for check in task.run()}


@pytest.fixture(scope="module")
def torch_alone(plain: Values) -> Reading:
    """What torch takes where nothing is set."""
    if not importlib.util.find_spec("torch"):
        pytest.skip("torch is not installed")
    return read("pytorch", plain, "2")


@pytest.mark.slow
def test_what_torch_took_at_exec(plain: Values, torch_alone: Reading) -> None:
    string = "expandable_segments:True,max_split_size_mb:512,garbage_collection_threshold:0.8"
    given = {"OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": string}
    checks = verified(plain | given | named(given))
    assert {check.status for check in checks.values()} == {"OK"}, checks
    assert "torch.get_num_threads() 2" in checks["OMP_NUM_THREADS"].found
    torch: Any = checks["PYTORCH_CUDA_ALLOC_CONF"].facts["torch"]
    assert not torch["initialised"]
    assert torch["settings"]["max_split_size"] == 512 << 20
    assert torch["settings"]["expandable_segments"] is True
    # And without: other figures, and no tick.
    assert torch["settings"] != torch_alone.said["settings"]
    assert torch_alone.said["threads"] == 1
    for name, value in given.items():
        asked = Asked(TORCHES[name], name, value, Seen(plain, {}, (name,), ("test",)))
        run = openmp.threads if name == "OMP_NUM_THREADS" else allocator.settings
        assert run(asked, torch_alone).status == "FAIL"


@pytest.mark.slow
def test_what_torch_was_told_too_late(plain: Values) -> None:
    late = {"OMP_NUM_THREADS": "2", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    checks = verified(plain | named(late), late=late)
    assert {(check.id, check.status) for check in checks.values()} == {("set-too-late", "WARN")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "string", ["foo:1", "expandable_segments:true", "'expandable_segments:True'", '"max_split_size_mb:512"']
)
def test_a_string_that_torch_refuses_at_the_first_use_of_a_card(
    string: str, plain: Values, torch_alone: Reading
) -> None:
    """No profile set it: it may come from ~/.bashrc."""
    assert torch_alone.said
    checks = verified(plain | {"PYTORCH_CUDA_ALLOC_CONF": string})
    check = checks["PYTORCH_CUDA_ALLOC_CONF"]
    assert check.status == "FAIL"
    assert "refuses it, at the first use of a card" in check.found


@pytest.mark.slow
def test_the_other_backend_and_the_other_name(plain: Values, torch_alone: Reading) -> None:
    environment = plain | {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}
    check = by_torch(environment, "PYTORCH_CUDA_ALLOC_CONF")["PYTORCH_CUDA_ALLOC_CONF"]
    assert check.status == "OK"
    assert "backend cudaMallocAsync" in check.found
    major, minor = map(int, torch_alone.said["version"].split(".")[:2])
    if (major, minor) < (2, 9):
        environment = plain | {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
        check = by_torch(environment, "PYTORCH_ALLOC_CONF")["PYTORCH_ALLOC_CONF"]
        assert check.status == "FAIL"
        assert "PYTORCH_CUDA_ALLOC_CONF" in check.todo


def test_where_torch_can_not_be_asked_nothing_is_ticked(plain: Values) -> None:
    name = "PYTORCH_CUDA_ALLOC_CONF"
    seen = Seen(plain | {name: "expandable_segments:True"}, {}, (name,), ("test",))
    asked = Asked(TORCHES[name], name, "expandable_segments:True", seen)
    check = allocator.settings(asked, Reading({}, "torch is not installed", False, ""))
    assert check.status == "SKIP"
    assert check.found == "present, effect not observable here: torch is not installed"


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
