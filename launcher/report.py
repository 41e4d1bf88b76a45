"""What is only said or shown: the plan as table, sh or json, and the words of rare errors. Never on the way to exec."""

import os
import shlex
import signal
import stat
import sys

from launcher import LauncherError, hardware
from launcher.environment import LISTS, Plan
from launcher.masking import Mask, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


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
    names = list(known_profiles(folders))
    return f"no profile {name!r}: there are {', '.join(names)}{nearest(name, names)}"


def nearest(word: str, known: "Iterable[str]", cutoff: float = 0.6) -> str:
    """What may have been meant, as the end of a line; empty if nothing known is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""


def writable(path: str, mode: int, notes: list[str]) -> None:
    """Refuse what anyone may rewrite: whoever writes a profile decides what the next start loads."""
    if mode & stat.S_IWOTH:
        if not hardware.on_windows_drive(path):
            raise LauncherError(f"{path}: anyone may write to it; chmod o-w {shlex.quote(path)}")
        notes.append(f"{path}: on a Windows drive anyone may write to it; keep profiles in ~/.config/run-app/env")
    else:
        notes.append(f"{path}: its group may write to it; chmod g-w {shlex.quote(path)}")


def exec_failure(error: OSError, file: str, argv: list[str], environment: dict[str, str]) -> str:
    """Why the kernel refused to start `file`."""
    import errno

    if error.errno == errno.E2BIG:
        words = [*argv, *(f"{name}={value}" for name, value in environment.items())]
        # The kernel keeps a pointer and a final NUL for each, and the file's own name beside them.
        size = len(os.fsencode(file)) + 1 + sum(len(os.fsencode(word)) + 9 for word in words)
        room = min(os.sysconf("SC_ARG_MAX"), 6 << 20)
        longest = max(words, key=len).partition("=")[0][:60]
        return (
            f"{file}: arguments and environment are too long for the system: {size} bytes of at most "
            f"{room}, one word at most 131071 (the longest begins {longest!a})"
        )
    if error.errno == errno.ENOENT:
        return f"{file}: the interpreter in its #! line does not exist"
    if error.errno == errno.ENOEXEC:
        return f"{file}: not a program this machine can run; a script needs a #! line"
    return f"{file}: {error.strerror}"


def unexpanded(origin: str, name: str, value: str, notes: list[str]) -> None:
    """Say what a shell would expand and a profile does not; quote nothing of a secret, which may well hold a dollar."""
    import re

    found = re.search(r"\$([A-Za-z_]\w*)|\$\(|`|(?:^|:)~(?=/|$)|;\s*(?:export\s|\w+=)", value)
    if found and not is_secret(name):
        what = found[0].lstrip(":").strip()
        mend = "no shell reads this file" if what in ("$(", "`") else f"${{{found[1] or 'HOME'}}} is expanded"
        mend = "one NAME=value a line" if what[0] == ";" else mend
        notes.append(f"{origin}: {what} in {name} is taken literally; {mend}")


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
    write({"table": _table, "sh": _sh, "json": _json}[form](plan, names, [mask(word) for word in argv], mask))
    return 0


def _table(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    from launcher.cli import printable

    lines = [f"profiles  {', '.join(names)}"]
    lines += [f"starts    {shlex.join(argv)}"] if argv else []
    lines += [f"kept      {', '.join(plan.kept)}"] if plan.kept else []
    lines += [f"unset     {', '.join(plan.unset)}"] if plan.unset else []
    rows = [(entry, printable(mask(entry.value, entry.name))) for entry in plan.entries.values()]
    names_width = max((len(entry.name) for entry, _ in rows), default=0)
    # One long list must not push every origin out of sight.
    values_width = min(24, max((len(shown) for _, shown in rows), default=0))
    lines.append("")
    for entry, shown in rows:
        lines.append(f"{entry.name:{names_width}}  {shown:{values_width}}  {entry.origin}")
        how = "in front of" if entry.name in LISTS else "instead of"
        for origin, value in reversed(entry.replaced):
            lines.append(f"{'':{names_width}}  {how} {mask(value, entry.name)!r} from {origin}")
    return "\n".join([*map(printable, lines), ""])


def _sh(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    from launcher import cli

    # A shell is no start: with RUN_APP_SETTINGS its profile would count as decided, and hide what is edited later.
    lines = [f"unset {name};" for name in (*plan.unset, "RUN_APP_SETTINGS")]
    for name in (*plan.entries, "RUN_APP_PROFILE"):
        value = plan.environment[name]
        if mask(value, name) == value:
            lines.append(f"export {name}={shlex.quote(value)};")
        else:
            cli.say(f"{name} is secret and not printed; export it yourself")
    return "\n".join([*lines, ""])


def _json(plan: Plan, names: list[str], argv: list[str], mask: Mask) -> str:
    import json

    settings = []
    for entry in plan.entries.values():
        below = [{"origin": o, "value": mask(value, entry.name)} for o, value in reversed(entry.replaced)]
        how = {"replaced": [], "in_front_of": below} if entry.name in LISTS else {"replaced": below}
        settings.append({"name": entry.name, "value": mask(entry.value, entry.name), "origin": entry.origin, **how})
    shown = {"argv": argv, "profiles": names, "settings": settings, "kept": plan.kept, "unset": plan.unset}
    return json.dumps(shown, indent=2) + "\n"
