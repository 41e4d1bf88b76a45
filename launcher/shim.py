"""For a script of your own: its first line puts it under a profile.

    from launcher.shim import ensure
    ensure("gpu48")

The script is started once more, as the same process, because allocator and loader variables are read at exec:
setting them in os.environ comes too late for glibc, ld.so and every library already loaded.
"""

import os
import sys

from launcher import LauncherError, cli

# This process and what ensure() has asked for in it so far, in order: the end of any loop. exec keeps the PID; a child
# that inherits the mark has another one.
MARK = "RUN_APP_SHIM"
PYTHON = "-- python ..."


def ensure(profile: str = "") -> bool:
    """Whether the profile is in effect; if it is not yet, this call does not return but runs the program again.

    Without a name it is the one that `run-app --` would take: an exported RUN_APP_PROFILE, or else auto.
    Where running it again would lose something, one line on stderr says why and what to do, and the answer is False.
    A wrong profile ends the program with exit code 2.
    """
    current = os.environ.get("RUN_APP_PROFILE") or ""
    profile = profile or current or "auto"
    pid, *asked = os.environ.get(MARK, "").split(";")
    if pid != str(os.getpid()):
        asked = []
    try:
        names = [os.path.abspath(name) if "/" in name else name for name in profile.split(",")]
        # A RUN_APP_PROFILE without RUN_APP_SETTINGS is a wish that somebody exported, not a profile in effect.
        if "RUN_APP_SETTINGS" in os.environ:
            there = iter(current.split(","))
            if profile == "auto" or asked[-1:] == [profile] or all(name in there for name in names):
                return True
        if profile in asked:
            cli.say(f"profile {profile} was laid aside: this program asked for {asked[-1]} after it; ask once for both")
            return False
        why, mend, command = _obstacle()
        if why:
            cli.say(f"profile {profile} is not in effect: {why}; {mend}: run-app -p {profile} {command}")
            return False
        os.environ[MARK] = ";".join([str(os.getpid()), *asked, profile])
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        request = cli.Request()
        request.profiles = names
        request.command = [sys.executable, *sys.orig_argv[1:]]
        raise SystemExit(cli.start(request))
    except (LauncherError, OSError) as error:
        raise SystemExit(cli.fail(error)) from None


def _obstacle() -> tuple[str, str, str]:
    """Why this process cannot simply be run again, and what to do instead; empty if it can."""
    modules = sys.modules
    first = "call ensure() before all else, or start by"
    if "ipykernel" in modules or "google.colab" in modules:
        return "a notebook's kernel cannot start itself again", "start Jupyter by", "-- jupyter lab"
    if "_pytest" in modules:
        return "pytest has taken the program's streams", "start it by", "-- pytest ..."
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return "an interactive interpreter would lose what it knows", "start it by", PYTHON
    main = modules["__main__"]
    program = getattr(main, "__file__", "" if sys.argv[:1] == ["-c"] else "<stdin>")
    # /dev/fd/63 of a shell's <(...): run again it would be empty, and do nothing without a word.
    if program == "<stdin>" or (os.path.exists(program) and not os.path.isfile(program)):
        why = "the program came from stdin or a pipe, which cannot be read twice"
        return why, "put it into a file, or start it by", PYTHON
    multiprocessing = modules.get("multiprocessing.process")
    if multiprocessing and multiprocessing.parent_process():
        return "this is a worker of a process that is not under it", "call ensure() in that one, or start it by", PYTHON
    # Of -m and -c no word is a file; Python keeps the name of a script's as it was at the start, whole.
    words = map(os.path.realpath, sys.orig_argv[1:])
    if program and main.__spec__ is None and os.path.realpath(program) not in words:
        return f"{program} was started from another current folder", first, PYTHON
    if "torch" in modules:
        return "torch is already imported", first, PYTHON
    if len(os.listdir("/proc/self/task")) > 1:
        return "threads are already running", first, PYTHON
    return "", "", ""
