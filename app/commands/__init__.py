"""The commands. Each module has `add`, which declares its arguments, and `run`, which returns the exit code.

Nothing heavy is imported at the top: --help and a wrong option answer at once.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]


def argument(parse: Callable[[str], object]) -> Callable[[str], object]:
    """For argparse, which shows only its own kind of error whole."""

    def checked(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text}: {error}") from None

    return checked


def need(what: str, extra: str, *packages: str) -> None:
    """Say in one line which extra to install, before anything is imported."""
    missing = [name for name in packages if not _is_installed(name)]
    if missing:
        raise UsageError(f"{what} needs {', '.join(missing)}, not installed here: pip install 'run-app[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a dotted name's first part
        return False
