"""`alloop deploy`."""

from typing import Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption

__all__ = ["deploy"]


def deploy(
    config: ConfigOption = HERE,
    cron: Annotated[
        str, typer.Option(help="When a cycle is opened unless one is open, as a cron line in UTC.")
    ] = "*/10 * * * *",
) -> None:
    """Make the project's deployments, schedules, queues and limits on the Prefect server of PREFECT_API_URL."""
    from alloop.commands.checkout import has_flows
    from alloop.config import load_config
    from alloop.errors import ConfigError

    if not has_flows():
        raise ConfigError("alloop deploy needs a checkout or the image; clone the repository and run it there")
    from deployments.deploy import POOL, deploy_project

    settings = load_config(config)
    deploy_project(settings, cron=cron)
    name = settings.project.name
    print(f"deployed cycle/{name}, sla-watch/{name} and backtest/{name}; start a worker where the work is to be done:")
    print(f"  prefect worker start --pool {POOL}")
    print("and, somewhere, all the time:")
    print(f"  python -m deployments.relay {settings.file}")
