"""Arguments -> what was asked. The one place that says what happened and chooses exit codes."""

import os
import sys

from launcher import LauncherError, checks, environment, execute, profiles
from launcher.masking import Mask
from launcher.profiles import Setting
from launcher.target import Target

COMMANDS = ("profiles", "alias")
PAGES = (*COMMANDS, "-h", "--help", "--version")
FORMATS = ("table", "sh", "json")
OPTIONS = {
    "-p": "NAME[,NAME...]",
    "--profile": "NAME[,NAME...]",
    "--env-file": "FILE",
    "--set": "NAME=VALUE",
    "--unset": "NAME",
    "--keep": "NAME",
}


class Request:
    """What the command line asks for."""

    __slots__ = ("app", "command", "env_files", "form", "keep", "page", "profiles", "sets", "unset")

    def __init__(self) -> None:
        self.profiles: list[str] = []
        self.env_files: list[str] = []
        self.sets: list[Setting] = []
        self.unset: list[str] = []
        self.keep: list[str] = []
        self.form = ""
        self.app: list[str] = []
        self.command: list[str] = []
        self.page: list[str] = []


def entry() -> int:
    """The console script. Returns only where no program was started."""
    execute.let_interrupt()
    os.environ.pop("RUN_APP_SHIM", None)  # what a script above asked of ensure() is nothing to this start
    try:
        request = parse(sys.argv[1:])
        if not request.page:
            return start(request)
        from launcher import pages

        return pages.page(request.page, execute.inherited())
    except (LauncherError, OSError) as error:
        return fail(error)


def fail(error: LauncherError | OSError) -> int:
    """Say why there is no start; the exit code."""
    # getcwd names no file; beside it, whatever the system says of one that cannot be read.
    gone = isinstance(error, FileNotFoundError) and error.filename is None
    say("the current folder is gone; cd to one that is there" if gone else str(error))
    return error.code if isinstance(error, LauncherError) else 2


def say(message: str) -> None:
    """One line on stderr, whatever became of it: a closed stderr must not keep a program from starting."""
    try:
        os.write(2, f"run-app: {printable(message)}\n".encode())
    except OSError:
        pass


def printable(message: str) -> str:
    """A file's name or contents must neither break the line nor reach the terminal as commands."""
    return message if message.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def parse(words: list[str]) -> Request:
    """Options up to the first word that is none; everything behind it belongs to the program, verbatim."""
    request = Request()
    rest = iter(words)
    for word in rest:
        if word == "--":
            request.command = list(rest)
            if not request.command:
                raise LauncherError("no COMMAND behind --; run-app [options] -- COMMAND [ARGS...]")
        elif word in PAGES:
            if word in COMMANDS and word != words[0]:
                raise LauncherError(f"{word} takes no options; run-app {word}")
            request.page = [word, *(rest if word in COMMANDS else ())]
            break
        elif not word.startswith("-"):
            request.app = [word, *rest]
        else:
            flag, equals, value = word.partition("=")
            if flag == "--print":
                request.form = value if equals else "table"
                if request.form not in FORMATS:
                    raise LauncherError(f"{word}: it is one of {', '.join(FORMATS)}")
            elif flag in OPTIONS:
                given = value if equals else next(rest, None)
                if given is None:
                    raise LauncherError(f"{flag} needs a value: {flag} {OPTIONS[flag]}")
                _take(request, flag, given)
            else:
                raise LauncherError(f"{word}: no such option; run-app --help shows them all")
    for name in request.unset:
        if name in request.keep or any(name == setting.name for setting in request.sets):
            raise LauncherError(f"--unset {name} contradicts --set or --keep {name}; keep one of them")
    for name in request.keep:
        if any(name == setting.name for setting in request.sets):
            raise LauncherError(f"--keep {name} contradicts --set {name}; keep one of them")
    return request


def _take(request: Request, flag: str, given: str) -> None:
    if flag in ("-p", "--profile"):
        # A file whose own name has a comma is no list: find() says what to do about it.
        request.profiles += [given] if "/" in given and os.path.lexists(given) else given.split(",")
        return
    if flag == "--env-file":
        request.env_files.append(given)
        return
    name, equals, value = given.partition("=")
    if not profiles.is_name(name) or (equals == "=") != (flag == "--set"):
        raise LauncherError(f"{flag} {name}: it is {flag} {OPTIONS[flag]}, with a name of letters, digits and _")
    checks.check_name(name, flag)
    if flag == "--set":
        request.sets.append(Setting(name, value, "--set"))
    else:
        (request.unset if flag == "--unset" else request.keep).append(name)


def start(request: Request) -> int:
    """Make the plan; print it, or become the program."""
    if not (request.app or request.command or request.form):
        raise LauncherError("nothing to start: run-app [options] APP, or run-app [options] -- COMMAND (see --help)")
    inherited = execute.inherited()
    notes: list[str] = []
    target = Target(request.command, inherited, notes)
    # Inside run-app, or where the shell exports RUN_APP_PROFILE, that is the profile unless another is named.
    asked = request.profiles or (inherited.get("RUN_APP_PROFILE") or "auto").split(",")
    names, settings, own = layers(asked, request, inherited, notes)
    # A start leaves both of its names; RUN_APP_PROFILE alone is a choice that somebody exported.
    outer = inherited.get("RUN_APP_PROFILE", "") if "RUN_APP_SETTINGS" in inherited else ""
    nested = outer == ",".join(names)
    if nested and request.form == "table":
        notes.append(f"inside profile {outer}: what the outer start set stands, and your own words are laid over it")
    plan = environment.merge(
        settings,
        inherited,
        own=own,
        outer=inherited["RUN_APP_SETTINGS"].split(",") if outer else (),
        nested=nested,
        keep=request.keep,
        unset=request.unset,
        check=lambda setting, value: checks.check(setting, value, target, notes),
        site_packages=target.site_packages,
    )
    plan.environment["RUN_APP_PROFILE"] = ",".join(names)
    plan.environment["RUN_APP_SETTINGS"] = ",".join(plan.entries)
    if "auto" in asked:
        plan.environment["RUN_APP_ASKED"] = ",".join(asked)  # another machine picks another profile
    elif not nested:
        plan.environment.pop("RUN_APP_ASKED", None)
    notes += changes(plan, inherited, outer, request.keep)
    notes += checks.doubts(plan, target)
    mask = Mask(plan)
    for note in notes:
        say(mask(note))
    argv = request.command or [sys.executable, "-P", "-m", "app", *request.app]
    if request.form:
        from launcher.report import show

        return show(request.form, plan, names, argv if request.app or request.command else [])
    file = execute.search(request.command[0], plan.environment) if request.command else sys.executable
    return execute.become(file, argv, plan.environment)


def layers(
    asked: list[str], request: Request, inherited: dict[str, str], notes: list[str]
) -> tuple[list[str], list[Setting], list[Setting]]:
    """The profiles' names; the settings of base, the profiles and local.env, and above them this command line's own.

    Both in rising precedence.
    """

    def read(name: str) -> list[Setting]:
        return profiles.read(profiles.find(name, inherited), notes)

    files = {name: read(name) for name in ("base", *asked) if name != "auto"}
    above = profiles.local(inherited, notes)
    own = [each for path in request.env_files for each in profiles.read(os.path.abspath(path), notes)] + request.sets
    if "auto" in asked:
        from launcher import hardware

        # The card that decides is the first one the program will see, whoever says which that is.
        name = "CUDA_VISIBLE_DEVICES"
        known = [*(each for file in files.values() for each in file), *above, *own]
        devices = environment.foresee(name, known, inherited, request.keep, request.unset)
        picked, extra, reason = hardware.choose(devices, settable=name not in request.unset)
        notes.append(f"auto picked {','.join(picked)}: {reason}")
        files |= {name: read(name) for name in picked if name not in files} | {"auto": extra}
        asked = [each for name in asked for each in ((*picked, name) if name == "auto" else (name,))]
    names = [os.path.abspath(name) if "/" in name else name for name in asked if name != "auto"]
    order = ("base", *(name for name in asked if name != "base"))
    return names, [each for name in order for each in files[name]] + above, own


def changes(plan: environment.Plan, inherited: dict[str, str], outer: str, keep: list[str]) -> list[str]:
    """What the user may not expect: names only, never values."""
    notes = []
    theirs: list[str] = []
    if outer and outer != plan.environment["RUN_APP_PROFILE"]:
        theirs = inherited["RUN_APP_SETTINGS"].split(",")
        notes.append(f"inside profile {outer}, now {plan.environment['RUN_APP_PROFILE']}; what only {outer} sets stays")
    replaced = [
        entry.name
        for entry in plan.entries.values()
        if entry.name not in theirs
        and entry.name not in environment.LISTS
        and not entry.origin.startswith("--")
        and inherited.get(entry.name, entry.value) != entry.value
    ]
    if replaced:
        notes.append(f"replaces inherited {', '.join(replaced)}; --keep NAME lets the inherited one stand")
    idle = [name for name in keep if name not in plan.kept]
    if idle:
        notes.append(f"--keep {' '.join(idle)} changes nothing: not inherited, or set by no profile")
    return notes
