"""Which Python a command starts and where that one's packages lie, told by files alone: nothing is started."""

import os
import sys

from launcher import LauncherError, execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def packages(command: str, inherited: dict[str, str], notes: list[str]) -> str:
    """The folder of packages (NVIDIA's among them, if possible) that `command` will import; it need not exist.

    Empty where `command` is this interpreter, or no Python program.
    """
    try:
        python = _interpreter(command, inherited)
    except LookupError:
        notes.append(
            f"{command}: which Python it starts cannot be seen from its file, so what a profile takes from "
            "${SITE_PACKAGES} is left out; name the interpreter itself"
        )
        return "/dev/null"  # nothing lies below it
    prefix, real = os.path.dirname(os.path.dirname(python)), os.path.realpath(python)
    if not python or (prefix == sys.prefix and real == os.path.realpath(sys.executable)):
        return ""
    folders = _folders(prefix, real, inherited)
    there = [folder for folder in folders if os.path.isdir(folder)]
    return next((folder for folder in there if os.path.isdir(f"{folder}/nvidia")), (there or folders[-1:])[0])


def _is_python(path: str) -> bool:
    """python, python3, python3.13t; not python3-config."""
    name = os.path.basename(path)
    return name.startswith("python") and not name[6:].strip("0123456789.t")


def _interpreter(command: str, inherited: dict[str, str]) -> str:
    """The python that `command` is or that its #! line leads to; empty if none. LookupError if it can't be told."""
    disguised = False
    # No deeper than the kernel follows #! lines.
    for _ in range(5):
        try:
            file = os.path.abspath(execute.search(command, inherited))
            with open(file, "rb") as program:
                head = os.fsdecode(program.read(4096))
        except (OSError, LauncherError):
            return ""
        disguised = disguised or _is_python(file)
        first, _, rest = head.partition("\n")
        words = first[2:].split() if first.startswith("#!") else []
        if not words:
            if _is_python(file) and _is_python(os.path.realpath(file)):
                return file
            break
        if '/pyenv" exec "$program"' in rest:
            command = _behind_pyenv(file, rest, inherited)
        elif rest.startswith("'''exec' "):
            # What pip and uv write where the path is too long or has a blank.
            command = os.path.join(os.path.dirname(os.path.realpath(file)), "python")
        elif os.path.basename(words[0]) == "env":
            command = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        else:
            command = words[0]
    # A python that is a shell script or another program in disguise: asdf, mise, a wrapper of one's own.
    if disguised:
        raise LookupError
    return ""


def _behind_pyenv(shim: str, script: str, inherited: dict[str, str]) -> str:
    """What a shim of pyenv starts: its program in the first of the chosen versions that has it."""
    root, program = script.partition('PYENV_ROOT="')[2].partition('"')[0], os.path.basename(shim)
    chosen = inherited.get("PYENV_VERSION", "").replace(":", " ").split()
    try:
        for path in () if chosen else _version_files(inherited.get("PYENV_DIR") or os.getcwd(), root):
            if os.path.isfile(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    chosen = [words[0] for line in file if (words := line.split())]
                break
        installed = os.listdir(f"{root}/versions")
    except OSError as error:
        raise LookupError from error
    elsewhere = [folder for folder in inherited.get("PATH", os.defpath).split(":") if folder != os.path.dirname(shim)]
    for version in chosen or ["system"]:
        folders = [f"{root}/versions/{_newest(version.removeprefix('python-'), installed)}/bin"]
        if version == "system":
            folders = elsewhere
        try:
            return execute.search(program, {"PATH": ":".join(folders)})
        except LauncherError:
            continue
    raise LookupError


def _version_files(folder: str, root: str) -> "Iterator[str]":
    """Where pyenv looks for a version, from `folder` upwards."""
    while True:
        yield os.path.join(folder, ".python-version")
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    yield f"{root}/version"


def _newest(version: str, installed: list[str]) -> str:
    """As pyenv has it, 3.11 is the newest 3.11.x where there is no 3.11 as such."""
    alike = [name for name in installed if name.startswith(f"{version}.") and name.replace(".", "").isdigit()]
    return version if version in installed or not alike else max(alike, key=lambda name: [*map(int, name.split("."))])


def _folders(prefix: str, real: str, inherited: dict[str, str]) -> list[str]:
    """Where that Python looks for packages, in its order: its venv's, then the user's, then its own."""
    venv: dict[str, str] = {}
    try:
        with open(f"{prefix}/pyvenv.cfg", encoding="utf-8", errors="replace") as file:
            venv = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in file)}
    except OSError:
        pass
    base = os.path.dirname(venv.get("home", os.path.dirname(real)))
    version = os.path.basename(real)
    if "." not in version:
        # A venv made of copies, or a Python built without the numbered name.
        version = next((name for name in _listed(f"{prefix}/lib") if name.startswith("python3.")), version)
    folders = [f"{prefix}/lib/{version}/site-packages"] if venv else []
    if venv and venv.get("include-system-site-packages", "").lower() != "true":
        return folders
    if not inherited.get("PYTHONNOUSERSITE"):
        user = inherited.get("PYTHONUSERBASE") or os.path.expanduser("~/.local")
        folders.append(f"{user}/lib/{version}/site-packages")
    if os.path.isdir(f"{base}/lib/python3/dist-packages"):
        # Debian's own: what pip installs goes below /usr/local, what apt installs has no version in its path.
        return [*folders, f"{base}/local/lib/{version}/dist-packages", f"{base}/lib/python3/dist-packages"]
    places = ("local/lib64", "local/lib", "lib64", "lib")
    return [*folders, *(f"{base}/{place}/{version}/site-packages" for place in places)]


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
