"""`alloop demo`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alloop.commands.checkout import has_flows, quiet_prefect
from alloop.commands.shown import columns, print_table
from alloop.errors import ConfigError

__all__ = ["demo"]


class Shown(StrEnum):
    """What there is a demo of."""

    CLASSIFY = "classify"
    DETECT = "detect"


USUAL_CYCLES = {Shown.CLASSIFY: 6, Shown.DETECT: 2}


def demo(
    out: Annotated[Path, typer.Option(help="Where to put the demo.")] = Path("demo-out"),
    cycles: Annotated[int | None, typer.Option(min=1, help="How many cycles in all; 6, or 2 with detect.")] = None,
    task: Annotated[Shown, typer.Option(help="What the model answers.")] = Shown.CLASSIFY,
) -> None:
    """Watch the whole loop on real handwritten digits, with simulated annotators."""
    if not has_flows():
        raise ConfigError("alloop demo needs a checkout or the image; clone the repository and run 'make demo' there")
    from alloop.progress import shown_progress

    home = out.absolute() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    quiet_prefect()
    with shown_progress() as progress:
        progress("starting Prefect", 0, 0)
        from flows.demo import prepare_digits, prepare_scenes, run_demo
        from flows.server import prefect_api

        prepare = {Shown.CLASSIFY: prepare_digits, Shown.DETECT: prepare_scenes}[task]
        config = prepare(out)
        with prefect_api():
            page = run_demo(str(config), cycles or USUAL_CYCLES[task])
    from alloop.summary import summarise
    from alloop.tables import cycle_table
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        summary = summarise(ws)
    print_table(cycle_table(summary, columns=columns()))
    print(f"open {page} in a browser: the curve, the chosen images, the reason for each decision")
