"""What labelling took: boxes drawn and mended, how far pre-labels lead people, and who gave which hours and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from alloop.agreement import Rule, likeness, says
from alloop.corrections import Corrections, compare, total
from alloop.ledger import Ledger
from alloop.nouns import BatchItem, Content, Label, Lane, Outcome, Task
from alloop.workspace import Workspace

__all__ = [
    "Agreement",
    "Anchoring",
    "Annotator",
    "Effort",
    "annotators_of",
    "effort_of",
    "hours_by_cycle",
    "measure_effort",
    "rule_of",
]

Given = Sequence[tuple[Label, int | None]]
"""Answers, and the cycle that each of them joined."""


@dataclass(frozen=True)
class Agreement:
    """How far answers and pre-labels agree, as a mean from 0 to 1 over so many samples."""

    share: float
    samples: int


@dataclass(frozen=True)
class Anchoring:
    """Agreement with pre-labels in the control lane, where chance decided who saw them: the difference is their pull."""

    shown: Agreement
    blind: Agreement

    @property
    def pull_points(self) -> float:
        """By how many points people agree more with a pre-label that they see."""
        return 100 * (self.shown.share - self.blind.share)


@dataclass(frozen=True)
class Effort:
    """What people did in one batch; `anchoring` is None unless both halves of the control lane have answers."""

    corrections: Corrections
    anchoring: Anchoring | None


@dataclass(frozen=True)
class Annotator:
    """One person's answers: how many, the median of the seconds they took (None: not measured) and their sum in hours.

    Of `shared` answers to samples that others were asked about too, `agreed` say what has become of the sample.
    """

    name: str
    answers: int
    median_lead_s: float | None
    hours: float
    shared: int
    agreed: int

    @property
    def agreement(self) -> float | None:
        """The share of the shared answers that agree with what stands; None without any."""
        return self.agreed / self.shared if self.shared else None


def rule_of(ws: Workspace) -> Rule:
    """When answers of this project agree."""
    return Rule(ws.config.project.task, ws.config.annotation.agreement)


def annotators_of(ws: Workspace, given: Given) -> tuple[Annotator, ...]:
    """Everybody who has `given` answers, by name; disputed samples count for nobody until they are settled."""
    people: dict[str, list[Label]] = {}
    askers: dict[str, set[str]] = {}
    for label, _ in given:
        people.setdefault(label.annotator, []).append(label)
        askers.setdefault(label.sample_id, set()).add(label.annotator)
    settled = ws.ledger.labels.verdicts().items()
    stands = {key: content or outcome for key, (outcome, content) in settled if len(askers.get(key, ())) > 1}
    rule = rule_of(ws)
    return tuple(_annotator(name, labels, stands, rule) for name, labels in sorted(people.items()))


def _annotator(
    name: str, labels: Sequence[Label], stands: Mapping[str, Content | Outcome | None], rule: Rule
) -> Annotator:
    times = [label.lead_time_s for label in labels if label.lead_time_s is not None]
    bar = 1.0 if rule.task is Task.CLASSIFY else rule.least
    votes = {label.sample_id: says(label) for label in labels}  # the newest of a sample comes last
    pairs = [(vote, stand) for key, vote in votes.items() if (stand := stands.get(key)) is not None]
    agreed = [likeness(vote, stand, rule.task) >= bar for vote, stand in pairs]
    return Annotator(
        name=name,
        answers=len(labels),
        median_lead_s=median(times) if times else None,
        hours=sum(times) / 3600,
        shared=len(agreed),
        agreed=sum(agreed),
    )


def hours_by_cycle(given: Given) -> Mapping[int | None, float]:
    """{cycle: hours that people spent on the answers that joined it}; None: answers that wait for a batch to close."""
    found: dict[int | None, float] = {}
    for label, cycle in given:
        found[cycle] = found.get(cycle, 0.0) + (label.lead_time_s or 0.0) / 3600
    return found


def measure_effort(ws: Workspace, cycle: int, answers: Mapping[str, Content]) -> dict[str, Any]:
    """The effort of a batch whose `answers` {sample id: content} people gave, as facts for the ledger."""
    task = ws.config.project.task
    items = [item for item in ws.ledger.batches.get(cycle).items if item.sample.id in answers]
    done = total(
        compare(item.shown.content if item.shown else Content(), answers[item.sample.id], task=task) for item in items
    )
    halves = {blind: _agreement(items, answers, task=task, blind=blind) for blind in (False, True)}
    both = all(half is not None for half in halves.values())
    anchoring = {"shown": halves[False], "blind": halves[True]} if both else None
    return {"corrections": asdict(done), "anchoring": anchoring}


def effort_of(ledger: Ledger, cycle: int) -> Effort | None:
    """What `measure_effort` found in a cycle; None before its model was trained."""
    facts = ledger.steps.facts(cycle, "retrain")
    if "corrections" not in facts:
        return None
    halves = facts["anchoring"]
    anchoring = Anchoring(Agreement(**halves["shown"]), Agreement(**halves["blind"])) if halves else None
    return Effort(Corrections(**facts["corrections"]), anchoring)


def _agreement(
    items: Sequence[BatchItem], answers: Mapping[str, Content], *, task: Task, blind: bool
) -> dict[str, Any] | None:
    shares = [
        _alike(compare(item.prelabel.content, answers[item.sample.id], task=task))
        for item in items
        if item.lane is Lane.CONTROL and item.prelabel is not None and item.blind is blind
    ]
    return asdict(Agreement(sum(shares) / len(shares), len(shares))) if shares else None


def _alike(done: Corrections) -> float:
    """Of a class, whether it is the same; of boxes, the share of them that has a partner: F1 at IoU 0.5."""
    boxes = done.proposed + done.instances
    return 2 * (done.kept + done.corrected) / boxes if boxes else 1.0
