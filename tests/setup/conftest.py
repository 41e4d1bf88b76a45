import pytest

from tests.setup.project import Project


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was never installed."""
    return Project(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for many tests (a venv takes seconds); ask for `ready` instead."""
    return Project(tmp_path_factory.mktemp("home"))


@pytest.fixture
def ready(installed: Project) -> Project:
    """An installed project, in order again whatever the test before left, with no calls noted."""
    result = installed.run()
    assert result.returncode == 0, result.stderr
    for log in installed.home.glob("calls*"):
        log.unlink()
    return installed
