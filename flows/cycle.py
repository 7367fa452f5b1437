"""One turn of the loop as one flow run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.states import Cancelled, Completed

from tasks.diversity_select import diversity_select
from tasks.holdout_eval import holdout_eval
from tasks.publish import publish
from tasks.push_to_annotation import push_to_annotation
from tasks.retrain import retrain
from tasks.run_page import name_run
from tasks.score_pool import score_pool
from tasks.step import cycle_id
from tasks.strategy_switch import strategy_switch
from tasks.turn import GivenUp, NotOurTurn, Turn, take_turn
from tasks.wait_for_labels import look_for_labels, wait_for_labels

__all__ = ["run_cycle", "run_deployed_cycle"]

LEASE_S = 60
"""How long a run that was killed goes on occupying the card: Prefect's least, where its default is five minutes."""


@flow(name="cycle", flow_run_name="cycle-{cycle}", persist_result=False)
def run_cycle(config: str, project: str, cycle: int, *, wait: bool = True) -> str | None:
    """Walk the seven steps of a cycle; steps that are done already are passed over.

    Args:
        config: path of the project's alloop.toml.
        project: its name.
        cycle: the number that `alloop.cycle.open_cycle` gave.
        wait: whether to stay until people have answered.

    Returns:
        The cycle's id, or nothing when answers are missing and nobody wants to wait.
    """
    name_run(project, cycle, name=f"cycle-{cycle}")
    scored = score_pool(config, cycle_id(project, cycle))
    chosen = diversity_select(config, scored)
    pushed = push_to_annotation(config, chosen)
    labelled = wait_for_labels(config, pushed) if wait else look_for_labels(config, pushed)
    if labelled is None:
        return None
    trained = retrain(config, labelled)
    evaluated = holdout_eval(config, trained)
    decided = strategy_switch(config, evaluated)
    return publish(config, decided)


@flow(name="cycle", persist_result=False)
def run_deployed_cycle(
    config: str, cycle: int | None = None, attempt: int | None = None, card: str | None = None
) -> str | State[Any]:
    """Open the next cycle and walk it, asleep while people label; ends at once when another run has it in hand.

    Args:
        config: path of the project's alloop.toml.
        cycle: which cycle, when the relay starts this run; else the open one, or a new one.
        attempt: which attempt at that cycle it is then.
        card: the global concurrency limit that stands for a graphics card, where the model runs on one.

    Returns:
        The cycle's id, or a state that says why there was nothing to do.
    """
    try:
        with take_turn(config, cycle, attempt) as turn, turn.giving_up():
            return _walk(config, turn, card)
    except GivenUp as why:
        return Cancelled(message=str(why))
    except NotOurTurn as why:
        return Completed(message=str(why))


def _walk(config: str, turn: Turn, card: str | None) -> str:
    with _occupied(card):
        scored = score_pool(config, turn.cycle)
        chosen = diversity_select(config, scored)
    pushed = push_to_annotation(config, chosen)
    while (labelled := look_for_labels(config, pushed)) is None:
        turn.sleep()
    with _occupied(card):
        trained = retrain(config, labelled)
        evaluated = holdout_eval(config, trained)
    decided = strategy_switch(config, evaluated)
    return publish(config, decided)


@contextmanager
def _occupied(card: str | None) -> Iterator[None]:
    """Have the card to oneself; strictly: a limit that nobody made, or whose slot was lost, is an error."""
    if not card:
        yield
        return
    with concurrency(card, occupy=1, strict=True, lease_duration=LEASE_S):
        yield
