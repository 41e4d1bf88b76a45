"""Becomes the program: same process, its own signals, nothing after it."""

import os

from launcher import LauncherError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    # The C half of the module: the Python half imports enum, a third of a bare interpreter's start.
    import _signal as signal


def let_interrupt() -> None:
    """Let Ctrl-C end this process by SIGINT, as it ends any program; one who ignores SIGINT (nohup, &) keeps that."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def inherited() -> dict[str, str]:
    """The environment as it was handed over.

    In the C locale Python adds an LC_CTYPE of its own (PEP 538), which the program would otherwise inherit.
    """
    environment = dict(os.environ)
    environment.pop("", None)  # "=value" is legal to inherit and refused by exec
    if environment.get("LC_CTYPE", "").upper().replace("-", "") in ("C.UTF8", "UTF8"):
        try:
            with open("/proc/self/environ", "rb") as file:
                if not any(word.startswith(b"LC_CTYPE=") for word in file.read().split(b"\0")):
                    del environment["LC_CTYPE"]
        except OSError:
            pass
    return environment


def search(command: str, environment: dict[str, str]) -> str:
    """The file that `command` names, by the PATH the program itself will see."""
    if "/" in command:
        candidates = [command]
    else:
        path = environment.get("PATH", os.defpath)
        candidates = [os.path.join(folder, command) for folder in path.split(":")] if command else []
    denied = ""
    for candidate in candidates:
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            denied = denied or candidate
        elif "/" in command and os.path.exists(candidate):
            kind = "a folder" if os.path.isdir(candidate) else "no regular file"
            raise LauncherError(f"{candidate}: {kind}, not a program", 126)
    if denied:
        import shlex

        raise LauncherError(f"{denied}: not executable; chmod +x {shlex.quote(denied)}", 126)
    raise LauncherError(f"{command}: command not found", 127)


def become(file: str, argv: list[str], environment: dict[str, str]) -> "NoReturn":
    """Replace this process by `file`.

    Python ignores SIGPIPE and SIGXFSZ for itself, and exec would hand that on; every other signal stays as it
    was inherited, so nohup keeps working.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execve(file, argv, environment)
    except OSError as error:
        from launcher.report import exec_failure

        raise LauncherError(exec_failure(error, file, argv, environment), 126) from None
