"""Proofs that a variable took effect: the same question is put to a process that was started with it, and to one that
was started without it. Where both say the same, nothing is proved and nothing is ticked.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.verify import Check, Seen, Status, child
from launcher.environment import Plan
from launcher.masking import HIDDEN, Mask, is_secret

PROBES = Path(__file__).resolve().parent.parent / "probes"
TIMEOUT_S = 60.0

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a probe told of the process it ran in."""

    said: Said
    fault: str
    """Why it told nothing."""
    died: bool
    log: str


def read(probe: str, environment: Mapping[str, str], *arguments: str, timeout_s: float = TIMEOUT_S) -> Reading:
    """Run a program of app/verify/probes in exactly this environment.

    Without `-X faulthandler`, which would hide what PYTHONFAULTHANDLER does.
    """
    command = [sys.executable, "-P", str(PROBES / f"{probe}.py"), *arguments]
    ended = child.run(command, environment, timeout_s=timeout_s)
    if ended.timed_out:
        return Reading({}, f"no answer within {timeout_s:g} s", True, ended.log)
    if ended.death:
        return Reading({}, ended.death.line, True, ended.log)
    said = ended.said if isinstance(ended.said, dict) else {"fault": "the probe printed nothing"}
    return Reading(said, said.get("fault", ""), False, ended.log)


@dataclass(frozen=True)
class Asked:
    """A variable whose effect is to be proved."""

    id: str
    """Of its check."""
    name: str
    value: str
    """At exec."""
    seen: Seen

    @property
    def subject(self) -> str:
        return f"{self.name}={show(self.seen, self.name, self.value)}"

    @property
    def without(self) -> dict[str, str]:
        """The environment at exec, but for this variable."""
        return {name: value for name, value in self.seen.environment.items() if name != self.name}

    def check(self, status: Status, found: str, todo: str = "", facts: Mapping[str, object] | None = None) -> Check:
        return Check(self.id, self.subject, status, found, todo, facts or {})

    def unobservable(self, why: str, facts: Mapping[str, object] | None = None) -> Check:
        """It is there; more can't be said, so nothing is ticked."""
        return self.check("SKIP", f"present, effect not observable here: {why}", "", facts)

    def compare(
        self,
        probe: str,
        *arguments: str,
        words: Callable[[Said], str],
        matches: Callable[[Said], bool],
        todo: Callable[[Said], str],
        about: Callable[[Said], str] = lambda said: "",
    ) -> Check:
        """Ask with it and without it. `words` are what is compared and shown, `about` stands before them, `matches` is
        whether it is as the value has it, `todo` what to do where it isn't.
        """
        here = read(probe, self.seen.environment, *arguments)
        there = read(probe, self.without, *arguments)
        return self.judge(here, there, words=words, matches=matches, todo=todo, about=about)

    def judge(
        self,
        here: Reading,
        there: Reading,
        *,
        words: Callable[[Said], str],
        matches: Callable[[Said], bool],
        todo: Callable[[Said], str],
        about: Callable[[Said], str] = lambda said: "",
    ) -> Check:
        """What two readings say of it."""
        if here.died and not there.died:
            return self.check("FAIL", f"a process started with it dies: {here.fault}", f"run-app --unset {self.name}")
        if here.fault or there.fault:
            return self.unobservable(here.fault or f"without it {there.fault}")
        facts = {"with": here.said, "without": there.said}
        seen, missed = words(here.said), words(there.said)
        said = about(here.said) + seen
        if not matches(here.said):
            return self.check("FAIL", f"no effect: {said}", todo(here.said), facts)
        if seen == missed:
            return self.unobservable(f"{said}, and so it is without it", facts)
        return self.check("OK", f"{said}; without it {missed}", "", facts)


def show(seen: Seen, name: str, value: str) -> str:
    """The value without secrets."""
    return HIDDEN if is_secret(name) else Mask(Plan(dict(seen.environment)))(value)


def start_with(seen: Seen, name: str, value: str) -> str:
    """The words of the launcher that set it in time."""
    return f"run-app --set {name}=..." if is_secret(name) else f"run-app --set {shlex.quote(f'{name}={value}')}"
