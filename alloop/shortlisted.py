"""A closer look at the shortlist, for strategies that need more than probabilities and embeddings, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alloop.acquisition.contract import Candidates, Need, Strategy
from alloop.acquisition.unclear import is_predictor_on
from alloop.committee import ask_committee, scored_by
from alloop.errors import ConfigError
from alloop.gradients import gradients_within, require_gradients
from alloop.nouns import Evidence, Sample, Task
from alloop.second_opinions import require_opinions
from alloop.workspace import Workspace

__all__ = ["Look", "look_closer", "refuse_unfit"]


@dataclass(frozen=True, eq=False)
class Look:
    """What is known about the shortlist: the candidates, facts for the ledger, and {sample id: evidence} of a committee."""

    candidates: Candidates
    facts: dict[str, Any]
    evidence: Mapping[str, tuple[Evidence, ...]]


def refuse_unfit(ws: Workspace, strategy: Strategy) -> None:
    """Raise ConfigError when the project's model or committee cannot give what the strategy needs, before any work is done.

    A detector's settings are looked at for the whole ladder: people would have worked for it when its turn comes.
    """
    if Need.GRADIENTS in strategy.needs:
        require_gradients(ws.new_model())
    if ws.config.project.task is Task.CLASSIFY:
        return
    if ws.options.box_score == "mask-doubt" and ws.config.project.task is not Task.SEGMENT:
        raise ConfigError(
            "box_score 'mask-doubt' needs masks, and the task is detect; set acquisition.box_score to 'doubt'"
        )
    if any(Need.COMMITTEE in one.needs for one in (strategy, *map(ws.strategy, ws.config.loop.ladder))):
        require_opinions(ws)


def look_closer(
    ws: Workspace, cycle: int, candidates: Candidates, *, strategy: Strategy, samples: Sequence[Sample]
) -> Look:
    """The candidates with gradients or a committee's opinion, if the strategy needs them.

    Facts are `gradient_s` and `committee_s` (seconds), `committee` (names of models, none while there is only one) and
    `unclear_predictor` (whether it was on), each where the strategy makes use of it. ConfigError when gradients cannot
    be had or cost too much.
    """
    facts: dict[str, Any] = {}
    evidence: Mapping[str, tuple[Evidence, ...]] = {}
    champion = scored_by(ws.ledger, cycle)
    if Need.GRADIENTS in strategy.needs and champion is not None:
        lengths, facts["gradient_s"] = gradients_within(
            require_gradients(ws.model(champion)),
            samples,
            budget_s=ws.config.acquisition.gradient_budget_s,
            progress=ws.progress_of(cycle),
        )
        candidates = replace(candidates, gradients=lengths)
    if Need.COMMITTEE in strategy.needs:
        opinion = ask_committee(ws, cycle, samples)
        facts |= {"committee": list(opinion.members), "committee_s": opinion.seconds}
        candidates, evidence = replace(candidates, dissent=opinion.dissent), opinion.evidence
    if strategy.predicts_unclear:
        facts["unclear_predictor"] = is_predictor_on(candidates)
    return Look(candidates, facts, evidence)
