"""`alloop up`."""

from typing import Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption

__all__ = ["up"]


def up(
    config: ConfigOption = HERE,
    cron: Annotated[
        str, typer.Option(help="When a cycle is opened unless one is open, as a cron line in UTC.")
    ] = "*/10 * * * *",
    watch_s: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between two looks at the queue; loop.poll_s unless set.")
    ] = None,
) -> None:
    """Run the loop for good: Prefect's server, runs, relay and service; one command, one Ctrl-C."""
    import os

    from alloop.commands.checkout import has_flows
    from alloop.config import load_config
    from alloop.errors import ConfigError

    if not has_flows():
        raise ConfigError("alloop up needs a checkout or the image; clone the repository and run it there")
    settings = load_config(config)
    settings.state.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(settings.state / "prefect"))
    from deployments.up import Terms, supervise

    supervise(settings, Terms(cron, watch_s), tell=lambda line: print(line, flush=True))
