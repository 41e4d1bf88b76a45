"""What malloc does, read from its behaviour."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from app.surroundings import in_words
from app.verify import Check, child
from app.verify.proofs import Asked, Reading, Said, read

TOP_PAD = 131072
"""Bytes that glibc keeps at the heap's top beside what is asked for, where MALLOC_TOP_PAD_ says nothing."""
MOST_TRIM = 2**30
"""A larger heap is not tried."""
TUNABLES = {
    "MALLOC_ARENA_MAX": "glibc.malloc.arena_max",
    "MALLOC_MMAP_THRESHOLD_": "glibc.malloc.mmap_threshold",
    "MALLOC_TRIM_THRESHOLD_": "glibc.malloc.trim_threshold",
}


def arenas(asked: Asked) -> Check:
    """As many heaps as threads want, or as the limit leaves them."""
    return _integer(
        asked,
        "arenas",
        about=lambda said: f"arenas after {said['threads']} threads allocated: ",
        words=lambda said: str(said["arenas"]),
        matches=lambda said, value: said["arenas"] <= value,
    )


def mmap(asked: Asked) -> Check:
    """Blocks from the threshold on have an mmap of their own."""

    def words(said: Said) -> str:
        under, over = ("by mmap" if said[size] else "from the heap" for size in ("below", "above"))
        return f"{under} and {over}" if under != over else f"both {under}"

    return _integer(
        asked,
        "mmap",
        about=lambda said: "blocks just under and just above it came ",
        words=words,
        matches=lambda said, value: said["above"] and not (said["below"] and value),
    )


def trim(asked: Asked) -> Check:
    """A free top of the heap goes back to the system once it is larger."""

    def words(said: Said) -> str:
        parts = ["stayed" if said[which] else "given back" for which in _tops(said)]
        if said["frozen"] is not None:
            parts.append(f"mmap's threshold {'frozen' if said['frozen'] else 'growing'}")
        return ", ".join(parts)

    pad = asked.seen.environment.get("MALLOC_TOP_PAD_", "")
    numbers = [pad if pad.isdigit() else str(TOP_PAD)]
    if asked.value.isdigit() and int(asked.value) > MOST_TRIM:
        return asked.unobservable(f"a heap of more than {in_words(MOST_TRIM)} is not tried")
    check = _integer(
        asked,
        "trim",
        *numbers,
        about=lambda said: f"free heap tops of {' and '.join(_tops(said).values())} MiB: ",
        words=words,
        matches=lambda said, _: said["below"] is not False and not said["above"],
    )
    if check.status == "OK" and "MALLOC_MMAP_THRESHOLD_" not in asked.seen.environment:
        said = f"{check.found}; alone it makes large CPU arrays several times slower"
        return asked.check("WARN", said, "set MALLOC_MMAP_THRESHOLD_=33554432 too", check.facts)
    return check


def _integer(
    asked: Asked,
    what: str,
    *more: str,
    about: Callable[[Said], str],
    words: Callable[[Said], str],
    matches: Callable[[Said, int], bool],
) -> Check:
    """Of what glibc reads as a whole number."""
    try:
        value = int(asked.value)
    except ValueError:
        return asked.check("FAIL", "no whole number: what glibc makes of it depends on its version", "give it one")
    here = read("glibc", asked.seen.environment, what, asked.value, *more)
    if other := here.said.get("other"):
        todo = f"take {Path(other).name} out of LD_PRELOAD, or this variable out of the profile"
        return asked.check("FAIL", f"no effect: malloc is that of {other}, which doesn't read it", todo)
    there = read("glibc", asked.without, what, asked.value, *more)
    beaten = _tunable(asked) is not None

    def todo_of(_: Said) -> str:
        if beaten:
            return "run-app --unset GLIBC_TUNABLES, which glibc prefers"
        return "give it a value that glibc takes (man mallopt)"

    check = asked.judge(here, there, words=words, matches=lambda said: matches(said, value), todo=todo_of, about=about)
    if beaten and check.status != "OK":
        said = f"{check.found}; GLIBC_TUNABLES sets {TUNABLES[asked.name]}, which glibc prefers"
        return asked.check(check.status, said, todo_of({}), check.facts)
    return check


def _tunable(asked: Asked) -> str | None:
    """What GLIBC_TUNABLES says instead."""
    pairs = (pair.partition("=") for pair in asked.seen.environment.get("GLIBC_TUNABLES", "").split(":"))
    return next((value for name, _, value in pairs if name == TUNABLES[asked.name]), None)


def tunables(asked: Asked) -> Check:
    """As the loader lists them."""
    names = [pair.partition("=")[0] for pair in asked.value.split(":") if pair]
    loader = _loader()
    if loader is None:
        return asked.unobservable("this program's loader is not glibc's")

    def listed(environment: dict[str, str]) -> Reading:
        ended = child.run([loader, "--list-tunables"], environment)
        table = dict(re.findall(r"^([\w.]+): (\S+)", ended.output, re.M))
        fault = "" if table else "this loader can't list tunables"
        return Reading({name: table.get(name) for name in names}, fault, False, ended.log)

    here, there = listed(dict(asked.seen.environment)), listed(asked.without)
    return asked.judge(
        here,
        there,
        words=lambda said: ", ".join(f"{name} {value or 'unknown to this glibc'}" for name, value in said.items()),
        matches=lambda said: all(said[name] and said[name] != there.said.get(name) for name in names),
        todo=lambda said: "take out what this glibc doesn't know or take: ld.so --list-tunables",
    )


def _loader() -> str | None:
    maps = Path("/proc/self/maps").read_text(errors="replace")
    found = re.search(r" (/\S*/ld-linux\S*|/\S*/ld-2\.\d+\.so)$", maps, re.M)
    return found[1] if found else None


def _tops(said: Said) -> dict[str, str]:
    """Those that were tried, with their MiB."""
    return {which: f"{said[f'{which}_size'] / 2**20:,.1f}" for which in ("below", "above") if said[which] is not None}
