"""The deployments of one project as `alloop up` serves them: each run in a process of its own, with the code as it is then."""

from collections.abc import Iterator
from pathlib import Path

from prefect.deployments.runner import RunnerDeployment
from prefect.types.entrypoint import EntrypointType

from alloop.config import Config
from flows.backtest import backtest
from flows.cycle import run_deployed_cycle
from flows.sla_watch import sla_watch

__all__ = ["CARD", "card_of", "deployments_of"]

CARD = "gpu"
"""The global concurrency limit that stands for the machine's graphics card."""
SLA_EVERY = "*/10 * * * *"


def deployments_of(config: Config, *, cron: str) -> Iterator[RunnerDeployment]:
    """cycle/PROJECT on a schedule, sla-watch/PROJECT every ten minutes, backtest/PROJECT for people to start."""
    name, file = config.project.name, str(config.file)
    module = EntrypointType.MODULE_PATH  # keeps the module's real name
    yield RunnerDeployment.from_flow(
        run_deployed_cycle,
        name,
        cron=cron,
        parameters={"config": file, "card": card_of(config)},
        entrypoint_type=module,
    )
    yield RunnerDeployment.from_flow(backtest, name, parameters=_backtest(config.root), entrypoint_type=module)
    yield RunnerDeployment.from_flow(
        sla_watch, name, cron=SLA_EVERY, parameters={"config": file}, entrypoint_type=module
    )


def card_of(config: Config) -> str | None:
    """The limit that runs of this project occupy while they score and train; none where the model stays off the card."""
    return None if config.model.device == "cpu" or config.model.kind == "frozen" else CARD


def _backtest(root: Path) -> dict[str, object]:
    return {"out": str(root / "backtest"), "strategies": ["margin", "auto"]}
