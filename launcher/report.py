"""What is only said or shown: the plan as table, sh or json, and the words of rare errors. Never on the way to exec."""

import os
import signal
import stat
import sys

from launcher import LauncherError
from launcher.environment import Plan

SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def is_secret(name: str) -> bool:
    """Whether the name says that its value must never be printed: HF_TOKEN, APIKEY, but not TOKENIZERS_PARALLELISM."""
    words = name.upper().split("_")
    return any(word.rstrip("S0123456789").endswith(SECRET_WORDS) or word.startswith(SECRET_WORDS[2:]) for word in words)


def known_profiles(folders: list[str]) -> dict[str, str]:
    """Every profile's name and file; a folder named earlier wins."""
    found: dict[str, str] = {}
    for folder in reversed(folders):
        if os.path.isdir(folder):
            for file in sorted(os.listdir(folder)):
                if file.endswith(".env"):
                    found[file.removesuffix(".env")] = os.path.join(folder, file)
    return dict(sorted(found.items()))


def unknown_profile(name: str, folders: list[str]) -> str:
    """The line for a profile that does not exist, naming those that do."""
    from difflib import get_close_matches

    names = list(known_profiles(folders))
    near = get_close_matches(name, names, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"no profile {name!r}: there are {', '.join(names)}{meant}"


def writable(path: str, mode: int, notes: list[str]) -> None:
    """Refuse what anyone may rewrite: whoever writes a profile decides what the next start loads."""
    if mode & stat.S_IWOTH:
        raise LauncherError(f"{path}: anyone may write to it; chmod o-w {path}")
    notes.append(f"{path}: its group may write to it; chmod g-w {path}")


def exec_failure(error: OSError, file: str, argv: list[str], environment: dict[str, str]) -> str:
    """Why the kernel refused to start `file`."""
    import errno

    if error.errno == errno.E2BIG:
        words = [*argv, *(f"{name}={value}" for name, value in environment.items())]
        size = sum(len(os.fsencode(word)) + 9 for word in words)
        longest = max(words, key=len).partition("=")[0][:60]
        return (
            f"{file}: arguments and environment are too long for the system: {size} bytes of at most "
            f"{os.sysconf('SC_ARG_MAX')}, one word at most 131071 (the longest begins {longest!a})"
        )
    if error.errno == errno.ENOENT:
        return f"{file}: the interpreter in its #! line does not exist"
    if error.errno == errno.ENOEXEC:
        return f"{file}: not a program this machine can run; a script needs a #! line"
    return f"{file}: {error.strerror}"


def show(form: str, plan: Plan, names: list[str], argv: list[str]) -> int:
    """Print the plan on stdout and start nothing."""
    # `run-app --print | head` ends as quietly as any other program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    rows = [
        (entry.name, "***" if is_secret(entry.name) else entry.value, entry.origin) for entry in plan.entries.values()
    ]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)] if rows else [0, 0]
    lines = [f"profiles  {', '.join(names) or 'base'}"]
    if argv:
        import shlex

        lines.append(f"starts    {shlex.join(argv)}")
    lines.append("")
    lines += [f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in rows]
    sys.stdout.buffer.write(("\n".join(lines) + "\n").encode(errors="surrogateescape"))
    sys.stdout.flush()
    return 0
