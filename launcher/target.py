"""The interpreter a command will run under, found without running it: its packages' folder and its torch."""

import os
import sys

from launcher import LauncherError, execute


def site_packages(command: list[str], inherited: dict[str, str]) -> str:
    """The folder of the packages that `command` will import; this interpreter's own where it is no Python program."""
    python = _interpreter(command, inherited) if command else ""
    prefix = os.path.dirname(os.path.dirname(python))
    if python and prefix != sys.prefix:
        # python3 -> python3.11 names the version where a prefix such as /usr holds several.
        version = os.path.basename(os.path.realpath(python))
        folders = [f"{prefix}/lib/{version}/site-packages"]
        try:
            folders += [f"{prefix}/lib/{name}/site-packages" for name in sorted(os.listdir(f"{prefix}/lib"))]
        except OSError:
            pass
        for folder in folders:
            if os.path.isdir(folder):
                return folder
    own = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    with_nvidia = [path for path in own if os.path.isdir(f"{path}/nvidia")]
    if not own:
        raise LauncherError("${SITE_PACKAGES}: this interpreter has no site-packages folder")
    return (with_nvidia or own)[0]


def _interpreter(command: list[str], inherited: dict[str, str]) -> str:
    """The python that `command` is or that its #! line names; empty if neither."""
    try:
        file = execute.search(command[0], inherited)
        if os.path.basename(file).startswith("python"):
            return os.path.abspath(file)
        with open(file, "rb") as script:
            first = script.readline(4096)
    except (OSError, LauncherError):
        return ""
    words = os.fsdecode(first[2:]).split() if first.startswith(b"#!") else []
    if words and os.path.basename(words[0]) == "env" and words[-1].startswith("python"):
        return _interpreter(words[-1:], inherited)
    return words[0] if words and os.path.basename(words[0]).startswith("python") else ""
