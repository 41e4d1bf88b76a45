"""The ways a command can end badly, each a single line for the person at the terminal."""


class UsageError(Exception):
    """Nothing can be done as asked: what, where, and what would be right. Exit code 2."""


class WorkError(Exception):
    """The work began and can't go on, for any input. Exit code 1; what was finished stays."""


class InputError(Exception):
    """One input can't be worked on; the others go on. Exit code 1 at the end."""


def in_a_line(error: BaseException) -> str:
    """What an error nobody foresaw says of itself, `RuntimeError: its first line`, and of what it came from."""
    first = str(error).strip().partition("\n")[0]
    line = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"{line} (from {in_a_line(error.__cause__)})" if error.__cause__ else line
