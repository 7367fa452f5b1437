"""A closer look at the shortlist, for strategies that need more than probabilities and embeddings, and what it cost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alloop.acquisition.contract import Candidates, Need, Strategy
from alloop.acquisition.unclear import is_predictor_on
from alloop.committee import committee_of, opinions, scored_by
from alloop.gradients import gradients_within, require_gradients
from alloop.nouns import Sample
from alloop.workspace import Workspace

__all__ = ["look_closer", "refuse_unfit"]


def refuse_unfit(ws: Workspace, strategy: Strategy) -> None:
    """Raise ConfigError when the project's model cannot give what the strategy needs, before any work is done."""
    if Need.GRADIENTS in strategy.needs:
        require_gradients(ws.new_model())


def look_closer(
    ws: Workspace, cycle: int, candidates: Candidates, *, strategy: Strategy, samples: Sequence[Sample]
) -> tuple[Candidates, dict[str, Any]]:
    """The candidates with gradients or a committee's answers, if the strategy needs them, and facts for the ledger.

    Facts are `gradient_s` (seconds), `committee` (names of models, none while there is only one) and
    `unclear_predictor` (whether it was on), each where the strategy makes use of it. ConfigError when gradients cannot
    be had or cost too much.
    """
    facts: dict[str, Any] = {}
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
        members = committee_of(ws.ledger, cycle)
        facts["committee"] = [version.name for version in members]
        candidates = replace(candidates, committee=opinions(ws, members, samples) if members else None)
    if strategy.predicts_unclear:
        facts["unclear_predictor"] = is_predictor_on(candidates)
    return candidates, facts
