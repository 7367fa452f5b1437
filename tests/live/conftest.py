import itertools

import pytest

from tests.live.accounts import sign_up
from tests.live.label_studio_server import EMAIL, installed, start_copy


@pytest.fixture(scope="session")
def venv():
    """The virtual environment that Label Studio is installed in: `make test-live` makes it and sets the variable."""
    try:
        return installed()
    except RuntimeError as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="session")
def server(venv, tmp_path_factory):
    """A real Label Studio."""
    server = start_copy(venv, tmp_path_factory.mktemp("label-studio") / "data")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def accounts(server):
    """{email: client} of the administrator and two more people."""
    others = ("second@alloop.test", "third@alloop.test")
    clients = {EMAIL: server.client(), **{email: sign_up(server, email) for email in others}}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="session")
def numbers():
    """Numbers for titles: each test has a project of its own."""
    return itertools.count(1)


@pytest.fixture
def title(numbers):
    """The title of this test's project."""
    return f"project {next(numbers)}"
