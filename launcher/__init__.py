"""Reads a machine profile, checks it, and becomes your program."""

import os


class LauncherError(Exception):
    """A start that must not happen: one line for the user, and the exit code that goes with it."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def under_wsl() -> bool:
    """Whether this kernel is WSL's."""
    return "microsoft" in os.uname().release.lower()
