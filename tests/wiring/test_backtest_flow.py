"""A backtest through Prefect: one flow run whose table is an artifact."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.backtest import backtest

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]


def test_a_backtest_leaves_a_page_a_file_and_an_artifact(digit_files: Path, tmp_path: Path) -> None:
    page = backtest(str(digit_files), str(tmp_path / "out"), ["margin"], seeds=1, start=10, batch=10, budget=20)
    assert Path(page) == tmp_path / "out" / "backtest.html"
    found = json.loads((tmp_path / "out" / "backtest.json").read_text())
    assert [curve["n"] for curve in found["strategies"]["margin"]["curves"]] == [[10, 20]]
    with get_client(sync_client=True) as client:
        named = ArtifactFilter(key=ArtifactFilterKey(any_=["alloop-backtest"]))
        artifacts = client.read_artifacts(artifact_filter=named, limit=1)
    assert "margin" in str(artifacts[0].data)
