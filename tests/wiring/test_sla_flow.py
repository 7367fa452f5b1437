"""The watch through Prefect: one flow run that raises, and leaves a page in the UI."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

import alloop.cycle as loop
from alloop.announce import Message
from alloop.errors import Transient
from alloop.workspace import open_workspace
from flows.sla_watch import sla_watch
from tasks import sla_watch as task

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]


def late_project(make_project: Callable[..., Path]) -> Path:
    """A cycle that was opened 49 hours ago, and nothing done since."""
    config = make_project()
    with open_workspace(config) as ws:
        loop.open_cycle(ws)
        ws.clock.sleep(timedelta(hours=49).total_seconds())
    return config


def test_a_late_cycle_is_raised_once_and_has_a_page(make_project: Callable[..., Path]) -> None:
    config = late_project(make_project)
    assert sla_watch(str(config)) == ["cycle 0: cycle breached after 49 h"]
    assert sla_watch(str(config)) == []
    with get_client(sync_client=True) as client:
        named = ArtifactFilter(key=ArtifactFilterKey(any_=["alloop-digits-sla"]))
        pages = client.read_artifacts(artifact_filter=named, limit=10)
    assert len(pages) == 1
    assert "Cycle 0 in 'digits' has taken 49.0 h, and 48 h were promised" in str(pages[0].data)


def test_a_page_that_prefect_does_not_take_is_put_up_later(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, shown = late_project(make_project), []

    def refuse(_: Message) -> None:
        raise Transient("Prefect did not take the page")

    with monkeypatch.context() as patch:
        patch.setattr(task, "put_up", refuse)
        assert sla_watch(str(config)) == ["cycle 0: cycle breached after 49 h"]
    monkeypatch.setattr(task, "put_up", shown.append)
    assert sla_watch(str(config)) == []
    assert [message.kind for message in shown] == ["breached"]
