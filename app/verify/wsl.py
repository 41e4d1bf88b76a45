"""WSL: its version, and the .wslconfig of the person's Windows account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from app.verify import Check, Seen, wslconfig
from app.verify.wslconfig import Machine, Word

SHARED_BY_ALL = {"Public", "Default", "Default User", "All Users"}


def under(root: Path = Path("/")) -> bool:
    """Whether the kernel is WSL's."""
    return "microsoft" in _release(root).lower()


def _release(root: Path) -> str:
    try:
        return (root / "proc/sys/kernel/osrelease").read_text().strip()
    except OSError:
        return ""


def checks(seen: Seen, root: Path = Path("/")) -> list[Check]:
    """Nothing outside WSL."""
    if not under(root):
        return []
    if re.fullmatch(r"4\.4\.0-\d+-Microsoft", _release(root)):
        said = f"1 (kernel {_release(root)}): it shows no card, and reads no .wslconfig"
        return [Check("wsl-version", "WSL", "FAIL", said, "in PowerShell: wsl --set-version NAME 2")]
    machine = wslconfig.measure(root)
    found, hints = _files(seen, root, machine)
    if seen.fix_hints:
        found.append(_fitted(machine, hints))
    return found


def _files(seen: Seen, root: Path, machine: Machine) -> tuple[list[Check], dict[str, str]]:
    """Checks of every .wslconfig that may be the person's, and what memory= and processors= are set to."""
    users = windows_drive(root) / "Users"
    folders = _folders(users)
    if not folders:
        said = f"{users} shows nobody: is drive C: mounted?"
        return [Check("wslconfig", ".wslconfig", "SKIP", said, "in PowerShell: notepad $HOME\\.wslconfig")], {}
    owner = _owner(seen.environment, folders)
    having = [folder for folder in folders if _is_file(folder / ".wslconfig")]
    mine = [folder for folder in having if owner in (None, folder.name)]
    found = _misnamed([folder for folder in folders if owner in (None, folder.name)])
    if not mine:
        place = f"C:\\Users\\{owner}" if owner else "no account"
        said = f"{place} has none: WSL's defaults hold, {machine}" if owner else f"{place} has one: {machine}"
        return [*found, Check("wslconfig", ".wslconfig", "OK", said)], {}
    if len(mine) > 1:
        names = ", ".join(str(folder / ".wslconfig") for folder in mine)
        said = f"{names}: which one counts is told by the Windows account, and that is not seen here"
        found.append(Check("wslconfig", ".wslconfig", "WARN", said, "in PowerShell: type $HOME\\.wslconfig"))
    hints: dict[str, str] = {}
    for folder in mine:
        words = wslconfig.read(folder / ".wslconfig")
        if isinstance(words, str):
            found.append(Check("wslconfig", str(folder / ".wslconfig"), "WARN", words, "let it be read by you"))
            continue
        found += wslconfig.judge(words, folder.name, machine, seen.environment)
        hints |= _set(words)
    return found, hints if len(mine) == 1 else {}


def _set(words: list[Word]) -> dict[str, str]:
    return {word.key: word.value for word in words if not word.fault}


def windows_drive(root: Path) -> Path:
    """Where drive C: is mounted; wsl.conf may have moved it."""
    try:
        mounts = (root / "proc/self/mounts").read_text(errors="replace")
    except OSError:
        mounts = ""
    # The kernel writes the backslash of C:\ as \134.
    found = re.search(r"^C:(?:\\134)? (/\S+) ", mounts, re.M)
    return root / (found[1].lstrip("/") if found else "mnt/c")


def _folders(users: Path) -> list[Path]:
    try:
        return sorted(path for path in users.iterdir() if path.name not in SHARED_BY_ALL and path.is_dir())
    except OSError:
        return []


def _owner(environment: Mapping[str, str], folders: list[Path]) -> str | None:
    """The Windows account, by what WSL hands over of it: USERPROFILE where WSLENV shares it, the folder of its own
    programs on PATH; else the account with this user's name, or the only one.
    """
    names = {folder.name.lower(): folder.name for folder in folders}
    told = re.search(r"[/\\]Users[/\\]([^/\\:]+)", environment.get("USERPROFILE", ""))
    told = told or re.search(r"/Users/([^/:]+)/AppData/", environment.get("PATH", ""))
    for name in (told[1] if told else "", environment.get("USER", "")):
        if name.lower() in names:
            return names[name.lower()]
    return folders[0].name if len(folders) == 1 else None


def _misnamed(folders: list[Path]) -> list[Check]:
    """What Notepad makes of the name, and what a Linux user would expect."""
    found = []
    for folder in folders:
        for name in (".wslconfig.txt", "wslconfig", ".wslconfig.ini", ".wslconf"):
            if _is_file(folder / name):
                said = f"C:\\Users\\{folder.name} has a {name}, which WSL does not read"
                todo = f"in PowerShell: move C:\\Users\\{folder.name}\\{name} C:\\Users\\{folder.name}\\.wslconfig"
                found.append(Check("wslconfig", ".wslconfig", "WARN", said, todo))
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # another account's folder
        return False


def _fitted(machine: Machine, hints: Mapping[str, str]) -> Check:
    text, assumed = wslconfig.fitted(machine, hints)
    said = f"{assumed}\n\n{text}"
    todo = f"replace the same lines of C:\\Users\\NAME\\.wslconfig by these, {wslconfig.RESTART}"
    return Check("wslconfig-fitted", "a .wslconfig that fits", "SKIP", said, todo, {"text": text})
