"""The runner of `alloop up`: starts due flow runs of one project, each in a process of its own.

    python -m deployments.runner ALLOOP_TOML --cron "*/10 * * * *"

On SIGTERM it ends the processes of its runs and leaves. It neither pauses its schedules nor marks the runs as cancelled,
as Prefect's own runner would: a run that was cut off is revived when the loop is up again.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import psutil
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from alloop.config import Config, load_config
from deployments.automations import make_automations
from deployments.limits import make_limit
from deployments.served import CARD, deployments_of

__all__: list[str] = []

POLL_S = 2.0
"""How soon a run that is due is seen."""
GRACE_S = 5.0
"""How long the process of a run may take to tell Prefect that it was ended."""
FAILED = 1


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.runner", description=__doc__)
    parser.add_argument("config", type=Path, help="the project's alloop.toml")
    parser.add_argument("--cron", required=True, help="when a cycle is opened, unless one is open")
    parser.add_argument("--ready", type=Path, help="a file to make once the deployments are registered")
    asked = parser.parse_args()
    over = Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    signal.signal(signal.SIGINT, lambda *_: over.set())
    # not in the main thread: there the runner would take the signals, and cancel its runs on them
    work = Thread(target=_run, args=(load_config(asked.config), asked.cron, asked.ready), daemon=True)
    work.start()
    while work.is_alive() and not over.wait(0.2):
        pass
    _end_runs()
    os._exit(0 if over.is_set() else FAILED)  # an orderly exit of the runner is the very thing to avoid


def _run(config: Config, cron: str, ready: Path | None) -> None:
    make_limit(CARD)
    with get_client(sync_client=True) as client:
        make_automations(client)
    asyncio.run(_serve(tuple(deployments_of(config, cron=cron)), ready))


async def _serve(served: Sequence[RunnerDeployment], ready: Path | None) -> None:
    runner = Runner(name="alloop", query_seconds=POLL_S, pause_on_shutdown=False)
    for deployment in served:
        await runner.aadd_deployment(deployment)
    if ready:
        ready.touch()
    await runner.start()


def _end_runs() -> None:
    runs = psutil.Process().children(recursive=True)
    for run in runs:
        _signal(run, signal.SIGTERM)
    for run in psutil.wait_procs(runs, timeout=GRACE_S)[1]:
        _signal(run, signal.SIGKILL)


def _signal(process: psutil.Process, which: signal.Signals) -> None:
    try:
        process.send_signal(which)
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    main()
