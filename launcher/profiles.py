"""Finds profiles and reads them strictly: a .env file becomes settings, or the start ends with file:line and the mend.

Every start passes through here, so nothing is imported that only an error or an unusual file needs.
"""

import os
import stat

from launcher import LauncherError

# Nobody writes this much by hand; a file beyond it is not a profile, and python-dotenv would chew on it for seconds.
MAX_BYTES = 1 << 16
# What a value needs python-dotenv's grammar for.
_UNPLAIN = " '\"#\\"


class Setting:
    """One line of a profile: NAME=value, and the file:line it came from."""

    __slots__ = ("name", "origin", "value")

    def __init__(self, name: str, value: str, origin: str) -> None:
        self.name = name
        self.value = value
        self.origin = origin


def is_name(word: str) -> bool:
    """Whether a shell could export it: ASCII letters, digits and _, no digit first."""
    return word.isascii() and word.isidentifier()


def config_folder(inherited: dict[str, str]) -> str:
    """The user's own folder; a relative XDG_CONFIG_HOME is ignored, as its specification asks. Empty without a home."""
    for root in (inherited.get("XDG_CONFIG_HOME", ""), os.path.expanduser("~/.config")):
        if root.startswith("/"):
            return os.path.join(root, "run-app")
    return ""


def shipped_folder() -> str:
    """env/ inside the installed package, or beside it in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    installed = os.path.join(package, "env")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "env")


def folders(inherited: dict[str, str]) -> list[str]:
    """Where names are looked for, first wins. Never the current directory: it could set LD_PRELOAD."""
    own = config_folder(inherited)
    found = [os.path.join(own, "env")] if own else []
    extra = inherited.get("RUN_APP_ENV_DIR")
    if extra:
        if not extra.startswith("/") or not os.path.isdir(extra):
            raise LauncherError(f"RUN_APP_ENV_DIR={extra}: not a folder with an absolute path")
        found.append(extra)
    return [*found, shipped_folder()]


def find(name: str, inherited: dict[str, str]) -> str:
    """The file of a profile's name; a name with a slash is the path itself."""
    if "/" in name:
        path = os.path.abspath(name)
        if "," in path:
            raise LauncherError(f"{path}: a comma parts two profiles, so a path can hold none; --env-file takes it")
        return path
    if not name:
        raise LauncherError("a profile without a name; -p NAME[,NAME...], or RUN_APP_PROFILE=NAME[,NAME...]")
    places = folders(inherited)
    for folder in places:
        path = os.path.join(folder, f"{name}.env")
        if os.path.lexists(path):
            return path
    from launcher.report import unknown_profile

    said = "; RUN_APP_PROFILE names it" if name in inherited.get("RUN_APP_PROFILE", "").split(",") else ""
    raise LauncherError(unknown_profile(name, places) + said)


def local(inherited: dict[str, str], notes: list[str]) -> list[Setting]:
    """What local.env of the user's own folder says; nothing where there is none."""
    path = os.path.join(config_folder(inherited), "local.env")
    return read(path, notes) if path.startswith("/") and os.path.lexists(path) else []


def read(path: str, notes: list[str]) -> list[Setting]:
    """The settings of a file, in its order.

    Raises LauncherError for whatever python-dotenv would skip, guess at or pass on; adds to `notes` what is
    only doubtful.
    """
    text = _text(path, notes)
    settings: list[Setting] = []
    lines: dict[str, int] = {}
    found = plain_lines(text)
    if found is None:
        from launcher.grammar import any_lines

        found = any_lines(text, path)
    for name, value, line in found:
        origin = f"{path}:{line}"
        if not is_name(name):
            raise LauncherError(f"{origin}: {name!a} is no name for a variable; letters, digits and _ make one")
        if name in lines:
            raise LauncherError(f"{origin}: {name} already stands in line {lines[name]}; keep one of the two")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            raise LauncherError(f"{origin}: the value of {name} keeps its quotes; write one pair, or none")
        if value.count("$") > value.count("${") or any(mark in value for mark in "`~;"):
            from launcher.report import unexpanded

            unexpanded(origin, name, value, notes)
        lines[name] = line
        settings.append(Setting(name, value, origin))
    if not settings:
        notes.append(f"{path} sets nothing")
    return settings


def _text(path: str, notes: list[str]) -> str:
    try:
        # A FIFO without a writer would block a plain open for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LauncherError(f"{path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LauncherError(f"{path}: not a file; a profile is a file of NAME=value lines")
        # Whoever may write to the shipped ones may write to the launcher beside them: a warning gains nothing, and
        # where umask is 002, as Ubuntu has it, every start would pay for it.
        mode = status.st_mode
        if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not path.startswith(f"{shipped_folder()}/")):
            from launcher.report import writable

            writable(path, mode, notes)
        if status.st_size > MAX_BYTES:
            raise LauncherError(f"{path}: {status.st_size} bytes; a profile has at most {MAX_BYTES}")
        data = os.read(descriptor, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise LauncherError(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise LauncherError(f"{path}:{line}: a NUL byte; no variable can hold one")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LauncherError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8") from None


def plain_lines(text: str) -> list[tuple[str, str, int]] | None:
    """Name, value and line of every setting, or None if one line takes more than splitting at its `=`.

    These lines mean the same to python-dotenv (a property test holds the two together), whose parser brings in
    re and typing: as long again as the interpreter's own start.
    """
    # What editors on Windows write; a \r by itself ends a line too, and is too rare to be worth more code.
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        return None
    found = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t")
        if not line or line[0] == "#":
            continue
        name, equals, value = line.partition("=")
        plain = value.isascii() and value.isprintable() and not any(c in value for c in _UNPLAIN)
        if not (equals and plain and is_name(name)):
            return None
        found.append((name, value, number))
    return found
