"""How many threads OpenMP takes, and how they wait."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from app.verify import Check
from app.verify.proofs import Asked, Reading, Said, read

PATIENT = 10**9
"""Spins before a thread sleeps, from which on libgomp counts as waiting actively; by default it is 300,000."""
ENDLESS = 10**18


def threads(asked: Asked, torch: Reading) -> Check:
    """By CTranslate2's libgomp and torch's, and by torch itself."""
    number = asked.value.partition(",")[0].strip()
    if not number.isdigit() or int(number) < 1:
        return asked.check("FAIL", "no effect: it is no number of threads", "give it a whole number from 1 on")

    def words(said: Said) -> str:
        return ", ".join(f"{name} {count}" for name, count in said["threads"].items())

    check = asked.compare(
        "openmp",
        number,
        about=lambda said: f"OpenMP's threads{'' if number == '1' else ' on one core'}: ",
        words=words,
        matches=lambda said: set(said["threads"].values()) == {int(number)},
        todo=lambda _: "report it, with this line",
    )
    if torch.fault or check.status == "FAIL":
        return check
    found = f"torch.get_num_threads() {torch.said['threads']}"
    facts = {**check.facts, "torch": torch.said}
    if torch.said["threads"] != int(number):
        beaten = "MKL_NUM_THREADS" if "MKL_NUM_THREADS" in asked.seen.environment else ""
        todo = f"run-app --unset {beaten}" if beaten else f"call torch.set_num_threads({number}) in the program"
        return asked.check("FAIL", f"torch takes no notice: {found}", todo, facts)
    return asked.check(check.status, f"{found}, {check.found}", check.todo, facts)


def waiting(asked: Asked) -> Check:
    """OMP_WAIT_POLICY, by the spins: the policy itself is shown as PASSIVE where nothing is set, too."""
    active = asked.value.strip().upper() == "ACTIVE"

    def todo(_: Said) -> str:
        beaten = "GOMP_SPINCOUNT" in asked.seen.environment
        return "run-app --unset GOMP_SPINCOUNT, which beats it" if beaten else "give it ACTIVE or PASSIVE"

    return _spins(asked, lambda count: count >= PATIENT if active else count == 0, todo)


def spinning(asked: Asked) -> Check:
    """GOMP_SPINCOUNT: a number, or one with k, m, g, t; INFINITY is without an end."""
    number = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)\s*", asked.value, re.I)
    wanted = int(number[1]) * 1000 ** " kmgt".index(number[2].lower() or " ") if number else None

    def matches(count: int) -> bool:
        return count == wanted if wanted is not None else count >= PATIENT

    return _spins(asked, matches, lambda _: "give it a whole number")


def _spins(asked: Asked, matches: Callable[[int], bool], todo: Callable[[Said], str]) -> Check:
    """What torch's libgomp and CTranslate2's show of themselves when they are opened."""

    def told(environment: Mapping[str, str]) -> Reading:
        reading = read("openmp", {**environment, "OMP_DISPLAY_ENV": "verbose"}, "1")
        blocks = re.split(r"^library (\S+)\n", reading.log, flags=re.M)[1:]
        found = {}
        for name, words in zip(blocks[::2], blocks[1::2], strict=True):
            if number := re.search(r"GOMP_SPINCOUNT = '(\d+|INFINITY)'", words):
                found[name] = int(number[1]) if number[1].isdigit() else ENDLESS
        fault = reading.fault or ("" if found else "this libgomp doesn't show it")
        return Reading({"spins": found}, fault, reading.died, reading.log)

    return asked.judge(
        told(asked.seen.environment),
        told(asked.without),
        about=lambda said: "spins before a waiting thread sleeps: ",
        words=lambda said: ", ".join(f"{name} {count:,}" for name, count in said["spins"].items()),
        matches=lambda said: all(map(matches, said["spins"].values())),
        todo=todo,
    )
