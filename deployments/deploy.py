"""What `alloop deploy` makes on an existing Prefect server; made twice, nothing changes."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from alloop.config import Config
from alloop.errors import ConfigError, LoopError
from deployments.automations import make_automations
from deployments.limits import make_limit
from deployments.served import CARD, card_of

__all__ = ["POOL", "QUEUES", "deploy_project"]

CHECKOUT = Path(__file__).parents[1]
POOL = "alloop"
QUEUES = {"watch": 1, "training": 2, "scoring": 3}
"""{queue of the pool: its priority}; the watch must not stand in line behind a training."""
PATIENCE_S = 180


def deploy_project(config: Config, *, cron: str) -> None:
    """Work pool, queues, limit, deployments with their schedules, and automations that are not there yet.

    ConfigError without a server; LoopError with Prefect's own words when it refuses.
    """
    if not PREFECT_API_URL.value():
        raise ConfigError("alloop deploy needs a Prefect server; set PREFECT_API_URL, or use 'alloop up' without one")
    with get_client(sync_client=True) as client:
        if error := client.api_healthcheck():
            raise ConfigError(
                f"Prefect at {client.api_url} does not answer ({error}); start it, or set PREFECT_API_URL"
            )
        _make_pool(client)
        make_automations(client)
    make_limit(CARD)
    _run_prefect_deploy(config, cron)


def _make_pool(client: SyncPrefectClient) -> None:
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    for name, priority in QUEUES.items():
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(name, work_pool_name=POOL, priority=priority)


def _run_prefect_deploy(config: Config, cron: str) -> None:
    given = {
        "DEPLOY_CHECKOUT": str(CHECKOUT),
        "DEPLOY_CONFIG": str(config.file),
        "DEPLOY_PROJECT": config.project.name,
        "DEPLOY_CARD": card_of(config) or "",
        "DEPLOY_CRON": cron,
    }
    file = CHECKOUT / "deployments" / "prefect.yaml"
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(  # noqa: S603 (our own program)
        command, env=os.environ | given, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split())[-300:]
        raise LoopError(f"Prefect refused the deployments ({told}); the same with --debug shows more")
