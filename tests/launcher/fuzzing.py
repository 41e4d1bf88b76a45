"""Many wrong, odd and right profiles, each through a whole start: fuzzing.py SEED COUNT.

Every input is one fork that reads the profile and becomes `cat /proc/self/environ`. Either that environment is the
inherited one and exactly what RUN_APP_SETTINGS names, or there is exit code 2 with one line, and no program.
"""

import difflib
import os
import random
import sys
import tempfile
import typing
from pathlib import Path

from launcher import cli

# Already there in the parent, they need not be imported anew in every fork.
PRELOADED = (difflib, typing)
ENV = Path(__file__).resolve().parents[2] / "env"
WORDS = [
    *b"A LD_LIBRARY_PATH LD_PRELOAD PATH OMP_NUM_THREADS PYTORCH_CUDA_ALLOC_CONF MALLOC_ARENA_MAX".split(),
    *b"= = ' \" \\ # ${ } :- :+ $ : , ${HOME} ${SITE_PACKAGES} ${A} expandable_segments:True".split(),
    *b"max_split_size_mb: [256:1,>:4] 999999999999999999999 -1 /usr/lib".split(),
    *(
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"export ",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xc3\xa9",
        b"\x85",
        b"\x1c",
    ),
]


def fuzzed(chosen: random.Random, seeds: list[bytes]) -> bytes:
    """A profile from words at random, or a shipped one with a few bytes or words changed."""
    if chosen.random() < 0.5:
        return b"".join(chosen.choices(WORDS, k=chosen.randrange(1, 25)))
    data = bytearray(chosen.choice(seeds))
    for _ in range(chosen.randrange(1, 5)):
        at = chosen.randrange(len(data))
        piece = chosen.choice(WORDS) if chosen.random() < 0.7 else bytes([chosen.randrange(256)])
        data[at : at + chosen.choice((0, 1, 1, 10, 100))] = piece
    return bytes(data)


def start(path: Path, said: Path, shown: Path) -> int:
    """Run the launcher's own entry in a fork; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            for number, target in ((1, shown), (2, said)):
                os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.argv = ["run-app", "-p", str(path), "--", "cat", "/proc/self/environ"]
            os._exit(cli.entry())
        finally:
            import traceback

            traceback.print_exc()
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fault(code: int, said: bytes, shown: bytes) -> str:
    """What is wrong with the outcome; empty if nothing is."""
    lines = said.split(b"\n")[:-1]
    if not said.endswith(b"\n") and said:
        return "an unfinished line on stderr"
    if any(not line.startswith(b"run-app: ") for line in lines):
        return "stderr holds something else than the launcher's lines"
    if code == 2:
        return "" if not shown and len(lines) == 1 else "refused, and yet a program ran or more than a line was said"
    there = dict(pair.split(b"=", 1) for pair in shown.split(b"\0") if pair)
    if code == 126 and not shown and len(lines) >= 1:
        return ""
    if code == 127 and b"cat: command not found" in said:
        return ""
    if code != 0:
        return f"exit code {code}"
    names = [name for name in there.pop(b"RUN_APP_SETTINGS").split(b",") if name]
    inherited = {name: value for name, value in os.environb.items() if name not in names}
    rest = {name: value for name, value in there.items() if name not in names and name != b"RUN_APP_PROFILE"}
    if rest != inherited:
        return f"half an environment: {rest} instead of {inherited}"
    return "" if all(name in there for name in names) else f"of {names} some are missing"


def main() -> None:
    """Print what was tried, and end with 1 at the first fault."""
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    chosen = random.Random(seed)
    seeds = [path.read_bytes() for path in sorted(ENV.glob("*.env"))]
    codes: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, said, shown = (Path(folder) / name for name in ("fuzz.env", "said", "shown"))
        for number in range(count):
            data = fuzzed(chosen, seeds)
            path.write_bytes(data)
            path.chmod(0o644)
            code = start(path, said, shown)
            codes[code] = codes.get(code, 0) + 1
            if wrong := fault(code, said.read_bytes(), shown.read_bytes()):
                raise SystemExit(f"seed {seed}, input {number}: {wrong}\n{data!r}\n{said.read_text(errors='replace')}")
    print(f"{count} inputs: {codes}")


if __name__ == "__main__":
    main()
