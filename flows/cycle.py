"""One turn of the loop as one flow run."""

from prefect import flow

from tasks.diversity_select import diversity_select
from tasks.holdout_eval import holdout_eval
from tasks.publish import publish
from tasks.push_to_annotation import push_to_annotation
from tasks.retrain import retrain
from tasks.score_pool import score_pool
from tasks.step import cycle_id
from tasks.strategy_switch import strategy_switch
from tasks.wait_for_labels import look_for_labels, wait_for_labels

__all__ = ["run_cycle"]


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
