"""What the loader finds, by LD_LIBRARY_PATH and LD_PRELOAD."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

from app.verify import Check
from app.verify.proofs import Asked, Said, read

LIBRARIES = ("libcublas.so.12", "libcudnn.so.9")
"""What CTranslate2 and torch open by plain names, and what isn't found before `import torch` without a path."""
MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""By e_machine in a library's header."""
REFUSED = "failed to map segment|cannot allocate memory"
"""For want of memory, whatever the path."""
MOST_FILES = 1000
"""Of a folder with more, the others are not looked at."""


def library_path(asked: Asked) -> Check:
    """Its folders are searched, and what lies in them is what is mapped."""
    folders = [folder for folder in asked.value.split(":") if folder]
    wanted = {name: file for name in LIBRARIES for file in (_first(folders, name),) if file}

    def words(said: Said) -> str:
        parts = [f"{name} {_opened(said, name)}" for name in wanted]
        if not parts or said["searched"] is None:
            searched = said["searched"] or ()
            parts.append(f"the loader searches {_folders(sum(folder in searched for folder in folders))} of it")
        return ", ".join(parts)

    def matches(said: Said) -> bool:
        if any(_place(said, name) != str(file.resolve()) for name, file in wanted.items()):
            return False
        return said["searched"] is None or all(folder in said["searched"] for folder in folders)

    def todo(said: Said) -> str:
        for name, file in wanted.items():
            if _place(said, name) != str(file.resolve()):
                return f"take the folder of {_place(said, name) or file} out of LD_LIBRARY_PATH, or install {name} anew"
        return "name folders that exist"

    check = asked.compare("loader", *wanted, words=words, matches=matches, todo=todo)
    if check.status == "FAIL" and re.search(REFUSED, check.found):
        return asked.unobservable(check.found.removeprefix("no effect: "), check.facts)
    if check.status in ("OK", "SKIP") and "" in asked.value.split(":"):
        said = f"{check.found}; an empty entry makes the loader search the current directory"
        return asked.check("WARN", said, "take the empty entry out: no colon at an end, none doubled", check.facts)
    if check.status in ("OK", "SKIP") and (alien := next(_alien(folders), None)):
        file, machine = alien
        here = platform.machine()
        said = f"{file} is for another machine, {machine}, not {here}: the loader passes over it without a word"
        mend = f"take {file.parent} out of LD_LIBRARY_PATH, or put {file.name} for {here} there"
        return asked.check("WARN", f"{said}; {check.found}", mend, check.facts)
    return check


def preload(asked: Asked) -> Check:
    """Each of its libraries is in a process that was started with it."""
    entries = [entry for entry in re.split("[: ]", asked.value) if entry]

    def missing(said: Said) -> list[str]:
        return [entry for entry in entries if not any(_is(file, entry) for file in said["mapped"])]

    def words(said: Said) -> str:
        lost = missing(said)
        return f"not mapped: {', '.join(lost)}" if lost else f"mapped: {', '.join(entries)}"

    check = asked.compare(
        "loader", words=words, matches=lambda said: not missing(said), todo=lambda _: "run-app --unset LD_PRELOAD"
    )
    if check.status == "FAIL":
        log = read("loader", asked.seen.environment).log
        if told := re.search(r"ERROR: ld\.so: (.*)", log):
            return asked.check("FAIL", f"{check.found} ({told[1]})", check.todo, check.facts)
    return check


def _first(folders: list[str], name: str) -> Path | None:
    """What the loader should come to: one for another machine it passes over."""
    files = (Path(folder, name) for folder in folders)
    return next((file for file in files if file.exists() and not _machine(file)), None)


def _is(file: str, entry: str) -> bool:
    """Whether a mapped file is what an entry means: of a link, the file behind it is mapped."""
    return file == str(Path(entry).resolve()) if "/" in entry else Path(file).name.startswith(entry)


def _place(said: Said, name: str) -> str:
    return str(said["opened"][name].get("file", ""))


def _opened(said: Said, name: str) -> str:
    opened = said["opened"][name]
    if "file" in opened:
        return f"from {Path(opened['file']).parent}"
    error = opened["error"].removeprefix(f"{name}: ")
    return f"not to be opened ({error})"


def _folders(count: int) -> str:
    return "1 folder" if count == 1 else f"{count or 'no'} folders"


def _alien(folders: list[str]) -> Iterator[tuple[Path, str]]:
    """Libraries for another machine, and which: the loader goes on to the next folder without a word."""
    for folder in folders:
        try:
            files = sorted(Path(folder).glob("lib*.so*"))[:MOST_FILES]
        except OSError:
            continue
        yield from ((file, machine) for file in files if (machine := _machine(file)))


def _machine(file: Path) -> str:
    """Which one a library is built for, `aarch64 (ELF machine 183)`; empty where it is this one, or can't be told."""
    own = platform.machine()
    try:
        with file.open("rb") as stream:
            head = stream.read(20)
    except OSError:
        return ""
    if head[:4] != b"\x7fELF" or len(head) < 20 or own not in MACHINES.values():
        return ""
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    name = MACHINES.get(number, "one of no known name")
    return "" if name == own else f"{name} (ELF machine {number})"
