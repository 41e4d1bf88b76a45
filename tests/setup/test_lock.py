"""The two locks: exact, hashed, without addresses, fitting each other and pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-test.lock")
PYTHONS = ("3.11", "3.12", "3.13")


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement with its hashes."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    split = [line.split(" --hash=") for line in text.splitlines() if line]
    return [(Requirement(line[0]), [text.strip() for text in line[1:]]) for line in split]


def environment(python: str, extra: str = "") -> dict[str, str]:
    """Linux on x86_64 with CPython `python`, for markers."""
    machine = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}
    version = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return {name: str(value) for name, value in default_environment().items()} | machine | version


def versions(lock: str, python: str) -> dict[str, str]:
    """Name to version, of what is installed under `python`; a name twice is an error."""
    found: dict[str, str] = {}
    for requirement, _ in entries(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{lock} has two versions of {name} for Python {python}"
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", requirement
            found[name] = specifier.version
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_has_hashes_and_no_address(lock: str) -> None:
    assert entries(lock)
    for requirement, hashes in entries(lock):
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", text) for text in hashes), requirement
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE), "an option of pip, such as an index"


@pytest.mark.parametrize("python", PYTHONS)
def test_torch_and_its_companions_fit_each_other(python: str) -> None:
    found = versions("requirements.lock", python)
    minor = {name: ".".join(found[name].split(".")[:2]) for name in ("torch", "torchaudio", "torchcodec")}
    assert minor == {"torch": "2.8", "torchaudio": "2.8", "torchcodec": "0.7"}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_two_locks_agree(python: str) -> None:
    run, test = (versions(lock, python) for lock in LOCKS)
    assert {name: version for name, version in test.items() if run.get(name, version) != version} == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locks_satisfy_pyproject(python: str) -> None:
    """Extras, groups and the build backend; what they lack would otherwise be noticed on a stranger's machine."""
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    extras = project["optional-dependencies"]
    run = [*project["dependencies"], *groups["setup"], *PYPROJECT["build-system"]["requires"]]
    run += [text for extra in extras if extra != "asr-cuda" for text in extras[extra]]  # torch brings that cuBLAS
    for lock, texts in (("requirements.lock", run), ("requirements-test.lock", groups["test"])):
        found = versions(lock, python)
        for requirement in map(Requirement, texts):
            name = canonicalize_name(requirement.name)
            if name == "run-app" or (requirement.marker and not requirement.marker.evaluate(environment(python))):
                continue
            assert name in found, f"{lock} lacks {requirement}"
            assert requirement.specifier.contains(found[name], prereleases=True), f"{name} {found[name]}"
    for override in map(Requirement, PYPROJECT["tool"]["uv"]["override-dependencies"]):
        version = versions("requirements.lock", python).get(canonicalize_name(override.name))
        if override.marker and not override.marker.evaluate(environment(python)):
            assert version is None, f"{override.name} is in the lock, though pyproject.toml keeps it out"
        else:
            assert version is not None
            assert override.specifier.contains(version)


def test_the_pythons_that_scripts_run_accepts_are_those_of_the_project() -> None:
    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(9, 17) if f"3.{minor}" in supported] == list(PYTHONS)
    probe = (ROOT / "scripts" / "machine.sh").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in probe
