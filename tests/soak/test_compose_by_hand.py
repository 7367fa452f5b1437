"""docker-compose.yml without Docker, for one whole cycle on real programs.

Postgres is real; Redis is, where redis-server is on the PATH and the extra `redis` is installed, and else Prefect's server and
its services are one process with messages in memory, which the output tells. Label Studio is not started (tests/live/ does
that): simulated people answer. Run by `make soak`; a plain pytest leaves it alone.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from alloop.nouns import STEPS
from alloop.workspace import open_workspace
from tests.soak.by_hand import ByHand, has_redis, postgres, redis
from tests.soak.test_soak import LIVE
from tests.wiring.conftest import TOML, digit_files  # noqa: F401 (fixture)
from tests.wiring.deployed_up import until

CYCLE_S = 300.0


@pytest.fixture(scope="module")
def hand(digit_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:  # noqa: F811
    """Everything that `docker compose up` starts, in its order, after the pool was filled."""
    hand = ByHand(tmp_path_factory.mktemp("compose"))
    text = TOML.format(tool="simulated", loop="").replace("poll_s = 3600", "poll_s = 5")
    (hand.project / "alloop.toml").write_text(text.replace("pickup_hours = 1\n", LIVE))
    with ExitStack() as running:
        for needed in (postgres, redis):
            running.enter_context(needed(hand))
        print(hand.once("alloop", "pool", "add", str(digit_files)))
        for name in ("prefect-server", "prefect-services") if has_redis() else ("prefect-server",):
            running.enter_context(hand.started(name))
        print(hand.once("deploy"))
        for name in ("worker", "relay", "service"):
            running.enter_context(hand.started(name))
        yield hand


@pytest.fixture
def ledger_environment(hand: ByHand, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    ours = {name: value for name, value in hand.environment("relay").items() if name.startswith("ALLOOP_")}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return ours


def test_prefect_tells_its_health_to_everybody_and_the_rest_to_who_has_the_auth_string(hand: ByHand) -> None:
    with hand.api() as known:
        assert known.post("flows/filter", json={}).status_code == 200
        assert httpx.get(f"{known.base_url}health").status_code == 200
        assert httpx.post(f"{known.base_url}flows/filter", json={}).status_code == 401
        assert httpx.post(f"{known.base_url}flows/filter", json={}, auth=("admin", "guessed")).status_code == 401


def test_deployed_again_nothing_changes(hand: ByHand) -> None:
    with hand.api() as api:
        before = api.post("deployments/filter", json={}).json()
        hand.once("deploy")
        after = api.post("deployments/filter", json={}).json()
    assert sorted(one["name"] for one in before) == ["digits"] * 3
    assert {one["id"] for one in before} == {one["id"] for one in after}


def test_a_cycle_goes_from_the_pool_to_its_decision(hand: ByHand, ledger_environment: Mapping[str, str]) -> None:
    with hand.api() as api:
        deployment = api.get("deployments/name/cycle/digits").raise_for_status().json()["id"]
        run = api.post(f"deployments/{deployment}/create_flow_run", json={}).raise_for_status().json()["id"]
        began = time.monotonic()
        with open_workspace(hand.project / "alloop.toml") as ws:
            until(lambda: bool(ws.ledger.decisions.all()), within_s=CYCLE_S)
            assert [stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at] == list(STEPS)
        assert not list(hand.project.glob("*.db")), "the ledger is a file, and not in Postgres"
        until(lambda: state(api, run) == "COMPLETED", within_s=60)
        print(f"one cycle in {time.monotonic() - began:.0f} s")
        states = [one["name"] for one in api.get("flow_run_states/", params={"flow_run_id": run}).json()]
        assert "Suspended" in states
        seen = {"filter": {"event": {"prefix": ["prefect.flow-run."]}, "related": {}, "resource": {}}}
        seen["filter"]["resource"] = {"id": [f"prefect.flow-run.{run}"]}
        until(lambda: "prefect.flow-run.Completed" in events(api, seen), within_s=60)
    metrics = httpx.get(f"http://127.0.0.1:{hand.ports['service']}/metrics").text
    assert "alloop_cycles 1.0" in metrics
    assert "alloop_cycle_open 0.0" in metrics


def state(api: httpx.Client, run: str) -> str:
    return str(api.get(f"flow_runs/{run}").raise_for_status().json()["state_type"])


def events(api: httpx.Client, asked: Any) -> set[str]:
    """The names of a run's events that have gone through Prefect's messaging into its database."""
    return {event["event"] for event in api.post("events/filter", json=asked).raise_for_status().json()["events"]}


def test_messages_went_through_redis_where_there_is_one(hand: ByHand) -> None:
    if not has_redis():
        assert "PREFECT_MESSAGING_BROKER" not in hand.environment("prefect-server")
        return
    from redis import Redis

    for url in ("PREFECT_REDIS_MESSAGING_URL", "PREFECT_SERVER_DOCKET_URL"):
        with Redis.from_url(hand.environment("prefect-server")[url]) as client:
            assert list(client.scan_iter(count=1000)) != []
