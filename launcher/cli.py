"""Arguments -> what was asked. The one place that prints and chooses exit codes.

run-app [-p|--profile NAME[,NAME...]] [options] APP [ARGS...]
run-app [-p|--profile NAME[,NAME...]] [options] -- COMMAND [ARGS...]
"""

import os
import sys

from launcher import LauncherError, environment, execute, profiles

VALUED = ("-p", "--profile", "--env-file", "--set", "--unset", "--keep")
FORMATS = ("table", "sh", "json")


class Request:
    """What the command line asks for."""

    __slots__ = ("app", "command", "env_files", "keep", "print", "profiles", "sets", "unset")

    def __init__(self) -> None:
        self.profiles: list[str] = []
        self.env_files: list[str] = []
        self.sets: list[profiles.Setting] = []
        self.unset: list[str] = []
        self.keep: list[str] = []
        self.print = ""
        self.app: list[str] = []
        self.command: list[str] = []


def entry() -> int:
    """The console script. Returns only where no program was started."""
    # Ctrl-C during the start ends it like any program, without a traceback.
    execute.let_interrupt()
    try:
        return start(parse(sys.argv[1:]))
    except LauncherError as error:
        say(str(error))
        return error.code


def say(message: str) -> None:
    """One line on stderr, whatever became of it: a closed stderr must not keep a program from starting."""
    try:
        os.write(2, f"run-app: {message}\n".encode(errors="surrogateescape"))
    except OSError:
        pass


def parse(words: list[str]) -> Request:
    """Options up to the first word that is none; everything behind it belongs to the program, verbatim."""
    request = Request()
    rest = iter(words)
    for word in rest:
        if word == "--":
            request.command = list(rest)
            if not request.command:
                raise LauncherError("no COMMAND behind --")
            break
        if not word.startswith("-"):
            request.app = [word, *rest]
            break
        flag, equals, value = word.partition("=")
        if flag == "--print":
            request.print = value if equals else "table"
            if request.print not in FORMATS:
                raise LauncherError(f"--print={value}: it is one of {', '.join(FORMATS)}")
            continue
        if flag not in VALUED:
            raise LauncherError(f"{word}: no such option; run-app --help shows them all")
        if not equals:
            try:
                value = next(rest)
            except StopIteration:
                raise LauncherError(f"{flag} needs a value") from None
        if flag in ("-p", "--profile"):
            request.profiles += value.split(",")
        elif flag == "--env-file":
            request.env_files.append(value)
    return request


def start(request: Request) -> int:
    """Make the plan; print it, or become the program."""
    inherited = dict(os.environ)
    if not (request.app or request.command or request.print):
        raise LauncherError("nothing to start; run-app [--profile NAME] APP, or run-app -- COMMAND (see --help)")
    notes: list[str] = []
    names = request.profiles
    settings: list[profiles.Setting] = []
    for name in names if names[:1] == ["base"] else ["base", *names]:
        settings += profiles.read(profiles.find(name, inherited), notes)
    plan = environment.merge(settings, inherited, site_packages=lambda: site_packages(request, inherited))
    plan.environment["RUN_APP_PROFILE"] = ",".join(names)
    plan.environment["RUN_APP_SETTINGS"] = ",".join(plan.entries)
    for note in notes:
        say(note)
    argv = request.command or [sys.executable, "-P", "-m", "app", *request.app]
    if request.print:
        from launcher.report import show

        return show(request.print, plan, names, argv if request.app or request.command else [])
    file = execute.search(request.command[0], plan.environment) if request.command else sys.executable
    return execute.become(file, argv, plan.environment)


def site_packages(request: Request, inherited: dict[str, str]) -> str:
    """Where the target's Python packages lie, looked up only when a profile asks for ${SITE_PACKAGES}."""
    from launcher.target import site_packages

    return site_packages(request.command, inherited)
