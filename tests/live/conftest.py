import itertools
import os
from pathlib import Path

import pytest

from tests.live.label_studio_server import start_copy

VARIABLE = "ALLOOP_LABEL_STUDIO_VENV"


@pytest.fixture(scope="session")
def venv():
    """The virtual environment that Label Studio is installed in: `make test-live` makes it and sets the variable."""
    stated = os.environ.get(VARIABLE, "")
    if not stated or not (Path(stated) / "bin" / "label-studio").exists():
        pytest.fail(f"there is no Label Studio at {VARIABLE}={stated!r}; run `make test-live`, which installs it")
    return Path(stated).resolve()


@pytest.fixture(scope="session")
def server(venv, tmp_path_factory):
    """A real Label Studio."""
    server = start_copy(venv, tmp_path_factory.mktemp("label-studio") / "data")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def numbers():
    """Numbers for titles: each test has a project of its own."""
    return itertools.count(1)


@pytest.fixture
def title(numbers):
    """The title of this test's project."""
    return f"project {next(numbers)}"
