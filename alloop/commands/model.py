"""`alloop model`: which of the trained models scores and pre-labels."""

from typing import Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption

__all__ = ["model_rollback"]


def model_rollback(
    version: Annotated[
        str, typer.Argument(help="The model to go back to, such as v3; 'alloop status --json' names them.")
    ],
    config: ConfigOption = HERE,
) -> None:
    """Make an older model champion again: open tasks show its pre-labels, and those not worth it any more are withdrawn."""
    from alloop.hands_on import roll_back
    from alloop.plurals import counted
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        done = roll_back(ws, version)
    shows = "shows" if done.renewed == 1 else "show"
    print(f"{version} is the champion; {counted(done.renewed, 'open task')} {shows} its pre-labels")
    if done.drift is not None:
        print(done.drift.told)
