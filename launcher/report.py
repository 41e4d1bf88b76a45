"""What is only said or shown: the plan as table, sh or json, and the words of rare errors. Never on the way to exec."""

import os
import signal
import stat
import sys

from launcher import LauncherError, hardware
from launcher.environment import Plan

SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD")
HIDDEN = "***"
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def is_secret(name: str) -> bool:
    """Whether the name says that its value must never be printed: HF_TOKEN, APIKEY, but not TOKENIZERS_PARALLELISM."""
    return any(word in name.upper().replace("TOKENIZER", "") for word in SECRET_WORDS)


def known_profiles(folders: list[str]) -> dict[str, str]:
    """Every profile's name and file; a folder named earlier wins."""
    found: dict[str, str] = {}
    for folder in reversed(folders):
        try:
            files = os.listdir(folder)
        except OSError:
            continue
        # Others can still be named by a path; these go into aliases and completion.
        names = [file.removesuffix(".env") for file in files if file.endswith(".env")]
        found |= {name: os.path.join(folder, f"{name}.env") for name in names if name and not set(name) - PLAIN}
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
        if not hardware.on_windows_drive(path):
            raise LauncherError(f"{path}: anyone may write to it; chmod o-w {path}")
        notes.append(f"{path}: on a Windows drive anyone may write to it; keep profiles in ~/.config/run-app/env")
    else:
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


def literal_dollar(origin: str, name: str, value: str, notes: list[str]) -> None:
    """Say that $NAME without braces stays as it is; quote nothing of a secret, which may well hold a dollar."""
    import re

    found = re.search(r"\$([A-Za-z_]\w*)", value)
    if found and not is_secret(name):
        notes.append(f"{origin}: ${found[1]} in {name} is taken literally; ${{{found[1]}}} is expanded")


class Mask:
    """Hides the values of secrets, wherever they turn up."""

    def __init__(self, plan: Plan) -> None:
        known = [value for name, value in plan.environment.items() if is_secret(name)]
        # One that was replaced or left out may stand, expanded, in another value or on the command line.
        for entry in (*plan.entries.values(), *plan.dropped):
            if is_secret(entry.name):
                known += [entry.value, *(value for _, value in entry.replaced)]
        # A secret of a letter or two would blank out half the page and hide nothing.
        self.secrets = sorted((value for value in known if len(value) > 5), key=len, reverse=True)

    def __call__(self, name: str, value: str) -> str:
        if is_secret(name):
            return HIDDEN
        for secret in self.secrets:
            value = value.replace(secret, HIDDEN)
        return value


def write(text: str) -> None:
    """Text on stdout; `run-app --print | head` ends as quietly as any other program."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.stdout is None:
        raise LauncherError("stdout is closed; there is nowhere to print to", 1)
    try:
        sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python flushes once more at its exit, and would report the same fault in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise LauncherError(f"stdout: {error.strerror}", 1) from None


def show(form: str, plan: Plan, names: list[str], argv: list[str]) -> int:
    """Print the plan on stdout and start nothing."""
    mask = Mask(plan)
    write({"table": _table, "sh": _sh, "json": _json}[form](plan, names, [mask("", word) for word in argv], mask))
    return 0


def _table(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    import shlex

    from launcher.cli import printable

    lines = [f"profiles  {', '.join(names)}"]
    lines += [f"starts    {shlex.join(argv)}"] if argv else []
    lines += [f"kept      {', '.join(plan.kept)}"] if plan.kept else []
    lines += [f"unset     {', '.join(plan.unset)}"] if plan.unset else []
    rows = [(entry, printable(mask(entry.name, entry.value))) for entry in plan.entries.values()]
    names_width = max((len(entry.name) for entry, _ in rows), default=0)
    # One long list must not push every origin out of sight.
    values_width = min(24, max((len(shown) for _, shown in rows), default=0))
    lines.append("")
    for entry, shown in rows:
        lines.append(f"{entry.name:{names_width}}  {shown:{values_width}}  {entry.origin}")
        for origin, value in reversed(entry.replaced):
            lines.append(f"{'':{names_width}}  instead of {mask(entry.name, value)!r} from {origin}")
    return "\n".join([*map(printable, lines), ""])


def _sh(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    import shlex

    from launcher import cli

    lines = [f"unset {name};" for name in plan.unset]
    for name in (*plan.entries, "RUN_APP_PROFILE", "RUN_APP_SETTINGS"):
        value = plan.environment[name]
        if mask(name, value) == value:
            lines.append(f"export {name}={shlex.quote(value)};")
        else:
            cli.say(f"{name} is secret and not printed; export it yourself")
    return "\n".join([*lines, ""])


def _json(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    import json

    settings = [
        {
            "name": entry.name,
            "value": mask(entry.name, entry.value),
            "origin": entry.origin,
            "replaced": [{"origin": o, "value": mask(entry.name, value)} for o, value in reversed(entry.replaced)],
        }
        for entry in plan.entries.values()
    ]
    shown = {"argv": argv, "profiles": names, "settings": settings, "kept": plan.kept, "unset": plan.unset}
    return json.dumps(shown, indent=2) + "\n"
