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
    tags = ["alloop", f"project:{name}"]
    module = EntrypointType.MODULE_PATH  # keeps the module's real name
    yield RunnerDeployment.from_flow(
        run_deployed_cycle,
        name,
        description="One turn of the loop; asleep while people label. A run that finds the cycle in hand ends at once.",
        tags=tags,
        cron=cron,
        parameters={"config": file, "card": card_of(config)},
        entrypoint_type=module,
    )
    yield RunnerDeployment.from_flow(
        backtest,
        name,
        description="Which strategy saves labels on your own labelled images; start it by hand, with a manifest.",
        tags=tags,
        parameters=_backtest(config.root),
        entrypoint_type=module,
    )
    yield RunnerDeployment.from_flow(
        sla_watch,
        name,
        description="Looks at the clocks and the run of the open cycle, and tells in time what will break its promise.",
        tags=tags,
        cron=SLA_EVERY,
        parameters={"config": file},
        entrypoint_type=module,
    )


def card_of(config: Config) -> str | None:
    """The limit that runs of this project occupy while they score and train; none where the model stays off the card."""
    return None if config.model.device == "cpu" or config.model.kind == "frozen" else CARD


def _backtest(root: Path) -> dict[str, object]:
    return {"out": str(root / "backtest"), "strategies": ["margin", "auto"]}
