"""Variables that were there at exec and have no effect, or do harm."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import pytest

from tests.app.verify.proving import Values, compile_library, named, need, proof, verified


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


def test_a_library_for_another_machine_before_the_right_one(libraries: Path, plain: Values, tmp_path: Path) -> None:
    right = Path(libraries, "libcublas.so.12").read_bytes()
    alien = tmp_path / "libcublas.so.12"
    number, name = (243, "riscv") if right[18] != 243 else (183, "aarch64")
    alien.write_bytes(right[:18] + number.to_bytes(2, "little") + right[20:])
    value = f"{tmp_path}:{libraries}"
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


def test_an_empty_entry_of_the_path(libraries: Path, plain: Values) -> None:
    value = f"{libraries}:"
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
