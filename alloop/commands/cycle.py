"""`alloop cycle`: what people do to a cycle by hand, and a look back at how its batch was chosen."""

from typing import Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption

__all__ = ["cycle_cancel", "cycle_pause", "cycle_replay", "cycle_resume"]


def cycle_pause(config: ConfigOption = HERE) -> None:
    """Let no further step of the open cycle begin; one at work finishes, and the deadline stays where it is."""
    from alloop.hands_on import pause_cycle
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        print(pause_cycle(ws))


def cycle_resume(config: ConfigOption = HERE) -> None:
    """Let the steps of a paused cycle begin again."""
    from alloop.hands_on import resume_cycle
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        print(resume_cycle(ws))


def cycle_cancel(config: ConfigOption = HERE) -> None:
    """Give the open cycle up: withdraw what nobody answered, keep every label, and let the next cycle begin."""
    from alloop.hands_on import cancel_cycle
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        cycles = ws.ledger.cycles.all()
        was_over = bool(cycles) and cycles[-1].closed_at is not None
        decision = cancel_cycle(ws)
    if was_over:
        print(f"nothing is left to cancel: cycle {decision.cycle} was {decision.reason}")
    else:
        print(f"cycle {decision.cycle} is {decision.reason}")
    print("open the next one with 'alloop run'")


def cycle_replay(
    number: Annotated[int, typer.Argument(min=0, help="The number of a cycle whose batch was chosen.")],
    config: ConfigOption = HERE,
) -> None:
    """Choose a cycle's batch again from its stored scores and seed, and tell what differs."""
    from alloop.choosing import replay_batch
    from alloop.plurals import counted
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        ws.ledger.cycles.get(number)
        differs = replay_batch(ws, number)
        size = len(ws.ledger.batches.get(number).items)
    for difference in differs:
        print(difference)
    if differs:
        raise typer.Exit(1)
    print(f"identical: {counted(size, 'sample')}")
