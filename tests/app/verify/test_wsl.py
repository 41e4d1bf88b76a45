"""What is said of a .wslconfig, on machines shown by another root."""

from __future__ import annotations

import configparser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.verify import Check, Seen, wslconfig
from app.verify.wsl import checks
from tests.app.verify.looking import look, machine, the

WSL2 = "5.15.153.1-microsoft-standard-WSL2"
DOCUMENT = "[wsl2]\nmemory=64GB           # Ajusta según tu RAM\nswap=0   # x\nlocalhostForwarding=true\n"


def wsl(
    root: Path, text: str | bytes | None = None, *, account: str = "ada", hints: bool = False, **shown: object
) -> list[Check]:
    """What is found under WSL with this .wslconfig in an account's folder. Starts no process."""
    machine(root, release=WSL2, **shown)  # type: ignore[arg-type]
    folder = root / "mnt/c/Users" / account
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (folder / ".wslconfig").write_bytes(text.encode() if isinstance(text, str) else text)
    return found_by(root, hints=hints)


def found_by(root: Path, environment: dict[str, str] | None = None, *, hints: bool = False) -> list[Check]:
    return checks(Seen(environment or {}, {}, (), (), hints), root)


def test_nothing_is_said_outside_wsl(tmp_path: Path) -> None:
    assert wsl(tmp_path, DOCUMENT, hints=True) == look("host", "--fix-hints", root=tmp_path, only="WSL") != []
    machine(tmp_path)
    assert look("host", "--fix-hints", root=tmp_path, only="WSL") == []


def test_wsl_1_has_no_card(tmp_path: Path) -> None:
    machine(tmp_path, release="4.4.0-22621-Microsoft")
    check = the(found_by(tmp_path), "wsl-version")

    assert check.status == "FAIL"
    assert "wsl --set-version" in check.todo


def test_the_document_s_file(tmp_path: Path) -> None:
    """64 GiB on a host of 64 leave Windows nothing; without swap there is no margin."""
    found = wsl(tmp_path, DOCUMENT, total=62.7, swap=0)
    assert the(found, "wslconfig-memory").status == "OK"
    check = the(found, "wslconfig-swap")
    assert check.status == "WARN"
    assert check.found.startswith("no margin: ")
    assert the(found, "wslconfig-processors").status == "OK"
    assert len(found) == 3

    check = the(wsl(tmp_path, DOCUMENT, total=31.2, swap=0), "wslconfig-memory")
    assert check.status == "WARN"
    assert check.found.startswith("there are 31.2 GiB: WSL was not restarted since, or the host has no more")


@pytest.mark.parametrize(
    ("text", "said", "todo"),
    [
        ("[wsl2]\npageReporting=false", "is obsolete: autoMemoryReclaim", "remove it"),
        ("[experimental]\nuseWindowsDnsCache=true", "is obsolete", "remove it"),
        ("[wsl2]\nmemmory=8GB", "WSL knows no such key", "write memory"),
        ("[wsl2]\nfoo=1", "WSL knows no such key", "remove it"),
        ("[experimental]\nmemory=31GB", "stands under [experimental]", "move it below [wsl2]"),
        ("[wsl2]\nsparseVhd=true", "stands under [wsl2]", "move it below [experimental]"),
        ("memory=31GB\n[wsl2]", "stands before any [section]", "move it below [wsl2]"),
        ("[wsl]\nmemory=31GB", "stands under [wsl]", "move it below [wsl2]"),
        ("[boot]\nsystemd=true", "[boot] belongs into /etc/wsl.conf", "move it there"),
        ("[wsl2]\n; memory=31GB", "is no key=value", "begin a comment with #"),
        ("[wsl2]\nmemory 31GB", "is no key=value", "write it as key=value"),
        ("[wsl2]\nguiApplications=true\n  guiApplications=false", "came before, in line 2", "remove one"),
        ("[wsl2]\nswapFile=D:\\temp\\swap.vhdx", "has a single backslash", "write \\\\"),
    ],
)
def test_a_line_that_wsl_passes_over(tmp_path: Path, text: str, said: str, todo: str) -> None:
    check = the(wsl(tmp_path, text), "wslconfig-line")

    assert check.status == "WARN"
    number = next(number for number, line in enumerate(text.split("\n"), 1) if not line.startswith("["))
    last = number if "came before" not in said else 3
    assert check.found.startswith(f"line {last}, {text.splitlines()[last - 1].strip()}: ")
    assert said in check.found
    assert check.todo.startswith(todo)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n[wsl2]   # all of it is default\n",
        "[WSL2]\n  MEMORY = 31GB# as measured\n",
        '[wsl2]\nswapFile="D:\\\\a # b\\\\swap.vhdx"\nkernelCommandLine = vsyscall=emulate\n',
        "[wsl2]\nnetworkingMode=mirrored\nlocalhostForwarding=false\n[experimental]\nautoMemoryReclaim=gradual\n",
        "[experimental]\nnetworkingMode=mirrored\n[wsl2]\nmemory=31G\nprocessors=0x10\nswap=8192MB\n",
        "\ufeff[wsl2]\r\nmemory=32GB\r\n".encode(),
        "[wsl2]\nmemory=32GB\n".encode("utf-16"),
    ],
)
def test_a_sound_file_raises_no_alarm(tmp_path: Path, text: str | bytes) -> None:
    assert {check.status for check in wsl(tmp_path, text)} == {"OK"}


@pytest.mark.parametrize(
    ("line", "id", "status", "said"),
    [
        ("memory=24 GB", "memory", "WARN", "no size for WSL, which takes half of the host's: 31.2 GiB"),
        ("memory=24gb", "memory", "WARN", "no size for WSL"),
        ("memory=24GiB", "memory", "WARN", "no size for WSL"),
        ("memory=7.5GB", "memory", "WARN", "no size for WSL"),
        ("memory=24", "memory", "FAIL", "that is 24 bytes; WSL makes 256 MiB of it"),
        ("memory=16GB", "memory", "WARN", "there are 31.2 GiB: WSL was not restarted since"),
        ("swap=8", "swap", "WARN", "that is 8 bytes"),
        ("swap=none", "swap", "WARN", "no size for WSL, which takes its default: 8 GiB"),
        ("swap=16GB", "swap", "WARN", "here it is 8 GiB"),
        ("processors=32", "processors", "WARN", "there are 16: the host has no more"),
        ("processors=8", "processors", "WARN", "there are 16: WSL was not restarted since"),
        ("processors=all", "processors", "WARN", "no integer for WSL, which takes all: 16"),
        ("gpuSupport=false", "gpu", "WARN", "WSL is shown no card"),
        ("safeMode=true", "safe-mode", "WARN", "many features of WSL are off"),
        ("localhostForwarding=false", "localhost", "WARN", "does not reach the page"),
    ],
)
def test_a_value_that_harms(tmp_path: Path, line: str, id: str, status: str, said: str) -> None:
    found = wsl(tmp_path, f"[wsl2]\n{line}\n")
    check = the(found, f"wslconfig-{id}")

    assert check.subject == f"ada's .wslconfig, {line}"
    assert (check.status, check.found[: len(said)]) == (status, said) or said in check.found
    assert [check.id for check in found if check.status != "OK"] == [f"wslconfig-{id}"]


def test_no_gpu_support_fails_where_the_profile_needs_it(tmp_path: Path) -> None:
    wsl(tmp_path, "[wsl2]\ngpuSupport=false\n")
    found = found_by(tmp_path, {"RUN_APP_DEVICE": "cuda"})
    assert the(found, "wslconfig-gpu").status == "FAIL"


@pytest.mark.parametrize(
    ("environment", "owner"),
    [
        ({"PATH": "/usr/bin:/mnt/c/Users/grace/AppData/Local/Microsoft/WindowsApps"}, "grace"),
        ({"USERPROFILE": "/mnt/c/Users/Grace"}, "grace"),
        ({"USERPROFILE": "C:\\Users\\grace"}, "grace"),
        ({"USER": "ada"}, "ada"),
    ],
)
def test_the_account_is_told_by_what_wsl_hands_over(tmp_path: Path, environment: dict[str, str], owner: str) -> None:
    wsl(tmp_path, "[wsl2]\nswap=0\n", account="ada")
    wsl(tmp_path, "[wsl2]\nswap=0\n", account="grace")
    (tmp_path / "mnt/c/Users/Public").mkdir()
    found = found_by(tmp_path, environment)

    assert the(found, "wslconfig-swap").subject == f"{owner}'s .wslconfig, swap=0"


def test_of_several_all_are_named(tmp_path: Path) -> None:
    wsl(tmp_path, "[wsl2]\nswap=0\n", account="ada")
    found = wsl(tmp_path, "[wsl2]\nmemory=31GB\n", account="grace")

    check = the(found, "wslconfig")
    assert check.status == "WARN"
    assert f"{tmp_path}/mnt/c/Users/ada/.wslconfig, {tmp_path}/mnt/c/Users/grace/.wslconfig: " in check.found
    subjects = [check.subject for check in found]
    assert "ada's .wslconfig, swap=0" in subjects
    assert "grace's .wslconfig, memory=31GB" in subjects


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    check = the(wsl(tmp_path), "wslconfig")
    assert check.status == "OK"
    assert check.found == (
        "C:\\Users\\ada has none: WSL's defaults hold, here 31.2 GiB of memory, 8 GiB swap and 16 processors"
    )

    # Another account's is none of this person's.
    wsl(tmp_path, "[wsl2]\nswap=0\n", account="grace")
    found = found_by(tmp_path, {"USER": "ada"})
    assert [(check.id, check.status) for check in found] == [("wslconfig", "OK")]


def test_a_file_that_notepad_named(tmp_path: Path) -> None:
    wsl(tmp_path)
    (tmp_path / "mnt/c/Users/ada/.wslconfig.txt").write_text(DOCUMENT)
    found = found_by(tmp_path)

    assert found[0].status == "WARN"
    assert found[0].found == "C:\\Users\\ada has a .wslconfig.txt, which WSL does not read"
    assert found[0].todo.startswith("in PowerShell: move ")


def test_a_drive_that_is_mounted_elsewhere_or_not_at_all(tmp_path: Path) -> None:
    machine(tmp_path, release=WSL2)
    check = the(found_by(tmp_path), "wslconfig")
    assert check.status == "SKIP"
    assert check.found.endswith("is drive C: mounted?")

    (tmp_path / "proc/self/mounts").write_text("none / ext4 rw 0 0\nC:\\134 /drives/c 9p rw,aname=drvfs 0 0\n")
    (tmp_path / "drives/c/Users/ada").mkdir(parents=True)
    (tmp_path / "drives/c/Users/ada/.wslconfig").write_text("[wsl2]\nswap=0\n")
    assert the(found_by(tmp_path), "wslconfig-swap").status == "WARN"


@pytest.mark.parametrize(
    ("total", "processors", "memory", "left", "swap"),
    [(3.8, 4, 4, 4, 2), (7.7, 8, 12, 7, 3), (15.5, 12, 24, 11, 6), (31.2, 16, 48, 14, 12), (251, 64, 384, 56, 96)],
)
def test_a_file_that_fits_the_host(
    tmp_path: Path, total: float, processors: int, memory: int, left: int, swap: int
) -> None:
    """Of a host that is taken to have twice what is seen; on the machine it makes, nothing is wrong with it."""
    shown = wsl(tmp_path, None, hints=True, total=total, processors=processors)
    check = the(shown, "wslconfig-fitted")
    text = str(check.facts["text"])
    assert text in check.found
    assert f"{total:g} GiB are seen here, and WSL's default is half" in check.found
    parser = configparser.ConfigParser(strict=True)
    parser.read_string(text)
    assert dict(parser["wsl2"]) == {"memory": f"{memory}GB", "processors": str(left), "swap": f"{swap}GB"}
    lines = text.splitlines()
    assert all(above.startswith("# ") for above, line in pairwise(lines) if "=" in line[:12])

    now = wsl(tmp_path, text, hints=True, total=memory * 0.98, processors=left, swap=swap)
    assert {check.status for check in now if check.id != "wslconfig-fitted"} == {"OK"}
    # And it stays what it is.
    assert f"memory={memory}GB\n" in str(the(now, "wslconfig-fitted").facts["text"])
    assert f"processors={left}\n" in str(the(now, "wslconfig-fitted").facts["text"])


def test_no_file_is_shown_unasked(tmp_path: Path) -> None:
    assert [check.id for check in wsl(tmp_path, "")] == [
        "wslconfig-memory",
        "wslconfig-swap",
        "wslconfig-processors",
    ]


@given(
    st.lists(
        st.sampled_from(
            ["[wsl2]", "[", "]", "\n", "=", "memory", "swap", "processors", "0x", "9", "GB", "#", '"', "\\"]
        )
    )
)
def test_no_file_is_too_odd(pieces: list[str]) -> None:
    """Each line is either taken or faulted."""
    words = list(wslconfig.words("".join(pieces)))
    found = wslconfig.judge(words, "ada", wslconfig.Machine(2**34, 2**32, 8), {})

    assert len([check for check in found if check.id == "wslconfig-line"]) == len([one for one in words if one.fault])
