"""The tables of alloop.toml about the loop: how much is labelled, who chooses it, and when that changes or ends."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from alloop.nouns import Task

__all__ = [
    "CONTROL",
    "LADDERS",
    "AcquisitionSection",
    "BudgetSection",
    "LoopSection",
    "PromotionSection",
    "Section",
    "SlaSection",
    "SwitchingSection",
]

LADDERS = {
    Task.CLASSIFY: ("auto", "badge", "uncertainty-coreset", "power-margin"),
    Task.DETECT: ("auto", "disagreement-kmeans", "uncertainty-coreset", "random"),
    Task.SEGMENT: ("auto", "disagreement-kmeans", "uncertainty-coreset", "random"),
}
"""The strategies in the order they are tried, unless `loop.ladder` names others."""
CONTROL = {Task.CLASSIFY: 0.10, Task.DETECT: 0.25, Task.SEGMENT: 0.25}
"""The random part of a batch, unless `loop.control_share` says otherwise: detectors were misled by uncertainty in 9 of 9
comparisons, so they get more of it (2026-11)."""


class Section(BaseModel):
    """A table of alloop.toml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LoopSection(Section):
    """`[loop]`: how much is labelled per cycle, and who chooses it.

    A batch has at least `control_least` random samples, though no more than a fifth of it for that reason, and none with a
    `control_share` of 0. With `rescore_on_drift`, what waits for people is scored again when the champion changes.
    """

    batch: int = Field(default=500, ge=1)
    start: int | None = Field(default=None, ge=1)
    holdout: int = Field(default=300, ge=1)
    ladder: tuple[str, ...] = Field(default=LADDERS[Task.CLASSIFY], min_length=1)
    control_share: float = Field(default=CONTROL[Task.CLASSIFY], ge=0.0, lt=1.0)
    control_least: int = Field(default=20, ge=0)
    shard: int = Field(default=4096, ge=1)
    poll_s: float = Field(default=60.0, gt=0)
    rescore_on_drift: bool = True

    @property
    def first_batch(self) -> int:
        """The size of the batch of cycle 0: `start`, or a normal batch."""
        return self.start or self.batch


class AcquisitionSection(Section):
    """`[acquisition]`: options on whichever strategy chooses, as `alloop.acquisition.options.Options` explains them.

    `gradient_budget_s` is the most seconds that the strategy `expected-gradient` may take for gradients in a cycle.
    `box_score`, `box_aggregate` and `empty_share` are for detectors.
    """

    one_per_group: bool = False
    duplicate_share: float | None = None
    class_weight: bool = False
    shortlist_ratio: float | None = None
    box_score: str | None = None
    box_aggregate: str | None = None
    empty_share: float = Field(default=0.2, ge=0, le=1)
    gradient_budget_s: float = Field(default=600.0, gt=0)


class SwitchingSection(Section):
    """`[switching]`: when a strategy has to go."""

    rule: Literal["evidence", "strict", "off"] = "evidence"
    threshold_points: float = 1.0
    unclear_bound: float = Field(default=0.15, gt=0, le=1)
    judged_share: float = Field(default=0.8, gt=0, le=1)
    seed_sd_points: float | None = Field(default=None, ge=0)
    replicates: int = Field(default=3, ge=1, le=20)
    on_exhausted: Literal["hold", "continue"] = "hold"


class PromotionSection(Section):
    """`[promotion]`: a challenger this much worse than the champion is kept but not promoted."""

    tolerance_points: float = Field(default=0.5, ge=0)


class SlaSection(Section):
    """`[sla]`: hours from open to decision, and per stage where named; time of day, nights and weekends included.

    With `degrade`, a batch that would miss the deadline is closed once the share `quorum` of it is answered, and the next
    one is made as small as people can answer in time.
    """

    cycle_hours: float = Field(default=48.0, gt=0)
    stage_hours: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    degrade: bool = False
    quorum: float = Field(default=0.8, gt=0, le=1)


class BudgetSection(Section):
    """`[budget]`: where the loop ends; unset means never."""

    labels: int | None = Field(default=None, ge=1)
    annotator_hours: float | None = Field(default=None, gt=0)
