"""What several people's answers to one sample come to.

Asked independently of each other, a strict majority of the answers stands; unclear and skipped ones are votes for
"unclear". Of boxes there is no majority: where most answers are labelled they agree when the mean F1 over all pairs of
them is high enough. Merged, they have the boxes that most of them have. Without agreement one more person is asked, and
that answer stands if somebody else's agrees with it; otherwise nobody can tell.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum

import numpy as np
from numpy.typing import NDArray

from alloop.nouns import Box, Content, Label, Outcome, Task
from alloop.overlaps import SAME_OBJECT, overlaps_of, shapes_of

__all__ = ["Rule", "Verdict", "judge", "likeness", "says"]

Vote = Content | Outcome


@dataclass(frozen=True)
class Rule:
    """When answers to a task agree: boxes from a mean F1 of `least` on, classes when they are the same."""

    task: Task
    least: float


@dataclass(frozen=True)
class Verdict:
    """What stands for a sample; the outcome None says that people disagree, and one more has to be asked.

    `agreement` is the mean over all pairs of answers, 0 to 1; None of fewer than two.
    """

    outcome: Outcome | None
    content: Content | None = None
    agreement: float | None = None


def judge(answers: Sequence[Label], again: Sequence[Label] | None, rule: Rule) -> Verdict:
    """The verdict on one or more answers, one per annotator, in any order.

    `again` are those of them that came after one more person was asked, the newest last; None before that. With one of
    them there always is an outcome.
    """
    agreement = _mean([likeness(says(a), says(b), rule.task) for a, b in combinations(answers, 2)])
    votes = [says(label) for label in answers]
    vote = _majority(votes, rule) if again is None else _confirmed(answers, again, rule)
    if vote is None:
        return Verdict(Outcome.UNCLEAR if again else None, None, agreement)
    if isinstance(vote, Outcome):
        return Verdict(vote, None, agreement)
    return Verdict(Outcome.LABELLED, vote, agreement)


def says(label: Label) -> Vote:
    """What an answer is a vote for: its content, or the outcome that it is instead; who skips could not tell."""
    if label.outcome is Outcome.LABELLED and label.content is not None:
        return label.content
    return Outcome.UNCLEAR if label.outcome is Outcome.SKIPPED else label.outcome


def likeness(one: Vote, other: Vote, task: Task) -> float:
    """0 to 1: whether two votes are the same, or of boxes their F1, matched one to one by class and IoU."""
    if task is Task.CLASSIFY or not isinstance(one, Content) or not isinstance(other, Content):
        return float(one == other)
    boxes = len(one.boxes) + len(other.boxes)
    return 2 * len(_matched(_overlaps(one.boxes, other.boxes, task))[0]) / boxes if boxes else 1.0


def _mean(parts: Sequence[float]) -> float | None:
    return fsum(parts) / len(parts) if parts else None


def _majority(votes: Sequence[Vote], rule: Rule) -> Vote | None:
    drawn = [] if rule.task is Task.CLASSIFY else [vote for vote in votes if isinstance(vote, Content)]
    if 2 * len(drawn) > len(votes):
        alike = _mean([likeness(a, b, rule.task) for a, b in combinations(drawn, 2)])
        return _merged(drawn, rule.task) if alike is None or alike >= rule.least else None
    counted = Counter(vote for vote in votes if vote not in drawn)
    vote, count = counted.most_common(1)[0]
    return vote if 2 * count > len(votes) else None


def _confirmed(answers: Sequence[Label], again: Sequence[Label], rule: Rule) -> Vote | None:
    """What the newest answer says with which somebody else's agrees: nobody confirms oneself."""
    bar = 1.0 if rule.task is Task.CLASSIFY else rule.least
    for label in reversed(again):
        vote = says(label)
        others = [says(other) for other in answers if other.annotator != label.annotator]
        alike = [other for other in others if likeness(vote, other, rule.task) >= bar]
        if alike:
            contents = [one for one in (vote, *alike) if isinstance(one, Content)]
            return _merged(contents, rule.task) if contents else vote
    return None


def _merged(contents: Sequence[Content], task: Task) -> Content:
    """What most of these answers have; the same whatever their order."""
    if task is Task.CLASSIFY:
        return contents[0]
    found: list[list[Box]] = []
    for content in sorted(contents, key=repr):
        overlaps = [_overlaps(objects, content.boxes, task).mean(axis=0) for objects in found]
        rows, columns = _matched(np.array(overlaps).reshape(len(found), len(content.boxes)))
        for row, column in zip(rows, columns, strict=True):
            found[row].append(content.boxes[column])
        new = sorted(set(range(len(content.boxes))) - set(columns.tolist()))
        found += [[content.boxes[column]] for column in new]
    return Content(boxes=tuple(_middle(boxes) for boxes in found if 2 * len(boxes) > len(contents)))


def _middle(boxes: Sequence[Box]) -> Box:
    """The median corners; outlines have no median, so there the whole object nearest to it stands."""
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64)
    median = np.median(corners, axis=0)
    outlined = [place for place, box in enumerate(boxes) if box.polygon]
    if outlined:
        return boxes[min(outlined, key=lambda place: float(np.abs(corners[place] - median).max()))]
    x0, y0, x1, y1 = (float(edge) for edge in median)
    return Box(boxes[0].class_name, x0, y0, x1, y1)


def _overlaps(ours: Sequence[Box], theirs: Sequence[Box], task: Task) -> NDArray[np.float64]:
    """(A, B) IoU, 0 between different classes."""
    names = [np.array([box.class_name for box in boxes], dtype=str) for boxes in (ours, theirs)]
    overlaps = overlaps_of(shapes_of(ours), shapes_of(theirs), task=task)
    return np.where(names[0][:, None] == names[1], overlaps, 0.0)


def _matched(overlaps: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) rows and (M,) columns, one to one: as many pairs as possible of SAME_OBJECT, and of those the closest."""
    from scipy.optimize import linear_sum_assignment  # a quarter of a second

    same = overlaps >= SAME_OBJECT
    rows, columns = linear_sum_assignment(np.where(same, 1 + overlaps / (1 + min(overlaps.shape)), 0), maximize=True)
    return rows[same[rows, columns]], columns[same[rows, columns]]
