"""For a script of your own: its first line puts it under a profile.

    from launcher.shim import ensure
    ensure("gpu48")

The script is started once more, as the same process, because allocator and loader variables are read at exec:
setting them in os.environ comes too late for glibc, ld.so and every library already loaded.
"""

import os
import sys

from launcher import LauncherError, cli

# What ensure() has asked for so far, in order: the end of any loop.
MARK = "RUN_APP_SHIM"


def ensure(profile: str = "auto") -> bool:
    """Whether the profile is in effect; if it is not yet, this call does not return but runs the program again.

    Where running it again would lose something, one line on stderr says why and what to do, and the answer is False.
    A wrong profile ends the program with exit code 2.
    """
    # A RUN_APP_PROFILE without RUN_APP_SETTINGS is a wish that somebody exported, not a profile in effect.
    current = os.environ.get("RUN_APP_PROFILE") if "RUN_APP_SETTINGS" in os.environ else None
    asked = [mark for mark in os.environ.get(MARK, "").split(";") if mark]
    names = [os.path.abspath(name) if "/" in name else name for name in profile.split(",")]
    if current is not None and (profile == "auto" or current == ",".join(names) or asked[-1:] == [profile]):
        return True
    if profile in asked:
        cli.say(f"profile {profile} was laid aside: this program asked for {asked[-1]} after it; ask once for both")
        return False
    why, mend = _obstacle()
    if why:
        command = "jupyter lab" if "Jupyter" in mend else "python ..."
        cli.say(f"profile {profile} is not in effect: {why}; {mend}: run-app -p {profile} -- {command}")
        return False
    os.environ[MARK] = ";".join([*asked, profile])
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    request = cli.Request()
    request.profiles = names
    request.command = [sys.executable, *sys.orig_argv[1:]]
    try:
        raise SystemExit(cli.start(request))
    except (LauncherError, OSError) as error:
        cli.say(str(error))
        raise SystemExit(getattr(error, "code", 2)) from None


def _obstacle() -> tuple[str, str]:
    """Why this process cannot simply be run again, and what to do instead; empty if it can."""
    modules = sys.modules
    if "ipykernel" in modules or "google.colab" in modules:
        return "a notebook's kernel cannot start itself again", "start Jupyter by"
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return "an interactive interpreter would lose what it knows", "start it by"
    program = getattr(modules["__main__"], "__file__", "" if sys.argv[:1] == ["-c"] else "<stdin>")
    # /dev/fd/63 of a shell's <(...): run again it would be empty, and do nothing without a word.
    if program == "<stdin>" or (os.path.exists(program) and not os.path.isfile(program)):
        return "the program came from stdin or a pipe, which cannot be read twice", "put it into a file, or start it by"
    multiprocessing = modules.get("multiprocessing.process")
    if multiprocessing and multiprocessing.parent_process():
        return "this is a worker of a process that is not under it", "call ensure() in that one, or start it by"
    first = "call ensure() before all else, or start by"
    if "torch" in modules:
        return "torch is already imported", first
    if len(os.listdir("/proc/self/task")) > 1:
        return "threads are already running", first
    return "", ""
