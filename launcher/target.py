"""What will run: the folder of its packages and its version of torch, found without running it."""

import os
import sys

from launcher import LauncherError


class Target:
    """A command (empty: an app of ours), looked at only where a profile asks."""

    __slots__ = ("command", "inherited", "known_site_packages", "notes")

    def __init__(self, command: list[str], inherited: dict[str, str], notes: list[str]) -> None:
        self.command = command
        self.inherited = inherited
        self.notes = notes
        self.known_site_packages = ""

    def site_packages(self) -> str:
        """The folder of the packages the program will import; this interpreter's own where it is no Python program."""
        if not self.known_site_packages:
            found = ""
            if self.command:
                from launcher import pythons

                found = pythons.packages(self.command[0], self.inherited, self.notes)
            self.known_site_packages = found or _own_packages()
        return self.known_site_packages

    def loader_finds(self, library: str) -> bool:
        """Whether ld.so would find a library named without a path."""
        folders = self.inherited.get("LD_LIBRARY_PATH", "").split(":")
        if any(folder and os.path.isfile(f"{folder}/{library}") for folder in folders):
            return True
        try:
            with open("/etc/ld.so.cache", "rb") as cache:
                # A name may be stored once only, as the end of its path.
                known, name = cache.read(), os.fsencode(library)
                return b"\0%b\0" % name in known or b"/%b\0" % name in known
        except OSError:
            return False

    def torch(self) -> tuple[int, int] | None:
        """The version of torch an app will import; None where it is not known, or not installed."""
        if self.command:
            return None
        try:
            with open(f"{self.site_packages()}/torch/version.py", encoding="utf-8") as file:
                version = file.read().partition("__version__ = '")[2].split(".")
            return int(version[0]), int(version[1])
        except (OSError, ValueError, IndexError):
            return None


def _own_packages() -> str:
    own = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    if not own:
        raise LauncherError(f"${{SITE_PACKAGES}}: {sys.executable} has no site-packages folder")
    return next((path for path in own if os.path.isdir(f"{path}/nvidia")), own[0])
