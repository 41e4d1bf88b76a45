"""Profiles that take python-dotenv's whole grammar: quotes, escapes, `export`, comments behind a value."""

import io
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

from launcher import LauncherError


def any_lines(text: str, path: str) -> list[tuple[str, str, int]]:
    """Name, value and line of every setting. Raises LauncherError for a line python-dotenv would skip."""
    # Only the parser: the package's own __init__ costs five times as much.
    package = PathFinder.find_spec("dotenv", sys.path)
    spec = package and PathFinder.find_spec("dotenv.parser", package.submodule_search_locations)
    if not spec or not spec.loader:
        raise LauncherError("python-dotenv is not installed; pip install python-dotenv")
    parser = module_from_spec(spec)
    spec.loader.exec_module(parser)

    found = []
    for binding in parser.parse_stream(io.StringIO(text, newline="")):
        source: str = binding.original.string
        # A binding begins with the blank lines before it.
        blank = source[: len(source) - len(source.lstrip())].replace("\r\n", "\n").replace("\r", "\n")
        line = binding.original.line + blank.count("\n")
        if binding.error:
            raise LauncherError(f"{path}:{line}: not a line NAME=value (a quote left open, words after a quote?)")
        if binding.key is None:
            continue
        if binding.value is None:
            # Not quoted here: a secret pasted alone on its line has no name that says so.
            raise LauncherError(f"{path}:{line}: no = in this line; NAME= gives an empty value")
        found.append((binding.key, binding.value, line))
    return found
