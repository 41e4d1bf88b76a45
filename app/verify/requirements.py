"""What the installed packages ask of each other, by their metadata, and whether it is so: what pip says only once."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from app.verify import Check
from app.verify.pairs import WATCHED

if TYPE_CHECKING:
    from packaging.requirements import Requirement

ASKING = ("run-app", *WATCHED, "transformers")

OVERRULED = {("whisperx", "huggingface-hub")}
"""whisperx asks for huggingface-hub<1, gradio 6.31 and transformers 5 for newer: what whisperx uses of it works with
both, and run-app's lock overrules it."""


def installed(*more: str) -> dict[str, str]:
    """Name: version, of those among WATCHED and `more` that are installed. Imports none of them."""
    found = {name: version_of(name) for name in (*WATCHED, *more)}
    return {name: version for name, version in found.items() if version is not None}


def version_of(name: str) -> str | None:
    """None where it is not installed; "?" where its metadata is damaged."""
    try:
        return metadata.version(name) or "?"
    except metadata.PackageNotFoundError:
        return None
    except KeyError:  # METADATA without a version, as an interrupted installation leaves it
        return "?"


def twice() -> list[Check]:
    """Packages of which several versions lie on the module path: which one is imported is an accident."""
    checks = []
    for name in WATCHED:
        places = {str(one.locate_file("")): one.version for one in metadata.distributions(name=name)}
        if len(set(places.values())) > 1:
            found = " and ".join(f"{version} in {place}" for place, version in places.items())
            added = [place for place in os.environ.get("PYTHONPATH", "").split(":") if place in places]
            todo = f"take {added[0]} out of PYTHONPATH" if added else f"pip uninstall {name} twice, install it again"
            checks.append(Check("installed-twice", name, "WARN", found, todo, places))
    return checks


def unmet(spoken_of: Collection[str]) -> list[Check]:
    """One check for each package that another one asks for in another version, or one that all is met.

    `spoken_of`: packages of which something worse has been said already.
    """
    try:
        asked = _asked()
    except ImportError:
        return [Check("requirements", "requirements", "SKIP", "not compared: the package packaging is not installed")]
    checks = [check for name in sorted(asked.keys() - _canonical(spoken_of)) for check in _compare(name, asked[name])]
    compared = sum(len(askers) for name, askers in asked.items() if version_of(name))
    return checks or [Check("requirements", "requirements", "OK", f"all {compared} that were compared are met")]


def _asked() -> dict[str, dict[str, Requirement]]:
    """Package: who asks for which versions of it. What is only for an extra that nobody needs here is left out."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    asked: dict[str, dict[str, Requirement]] = {}
    for asker in ASKING:
        try:
            lines = metadata.requires(asker) or []
        except metadata.PackageNotFoundError:
            continue
        extras = ("asr", "app") if asker == "run-app" else ("",)
        for line in lines:
            try:
                wanted = Requirement(line)
            except InvalidRequirement:  # damaged metadata: its import will tell
                continue
            name = canonicalize_name(wanted.name)
            applies = not wanted.marker or any(wanted.marker.evaluate({"extra": extra}) for extra in extras)
            if applies and str(wanted.specifier) and (asker, name) not in OVERRULED:
                asked.setdefault(name, {})[asker] = wanted
    return asked


def _canonical(names: Collection[str]) -> set[str]:
    from packaging.utils import canonicalize_name

    return set(map(canonicalize_name, names))


def _compare(name: str, askers: Mapping[str, Requirement]) -> list[Check]:
    from packaging.version import InvalidVersion, Version

    here = version_of(name)
    if here is None:
        return []
    try:
        version = Version(here)
    except InvalidVersion:
        mend = f"pip install --force-reinstall --no-deps {name}"
        return [Check("requirements", name, "WARN", f"its metadata is damaged: it has no version ({here})", mend)]
    broken = [
        f"{asker} asks for {wanted.specifier}"
        for asker, wanted in askers.items()
        if not wanted.specifier.contains(version, prereleases=True)
    ]
    if not broken:
        return []
    pin = ",".join(dict.fromkeys(str(wanted.specifier) for wanted in askers.values()))
    found = f"{' and '.join(broken)}; {here} is installed"
    return [Check("requirements", f"{name} {here}", "WARN", found, f"pip install '{name}{pin}'", {"version": here})]
