"""A first pass over a whole source, before anything is added: is it right, and what will come.

Memory does not grow with the images: it keeps eight bytes per row, and the names of the groups in the holdout.
"""

import difflib
from array import array
from dataclasses import dataclass

import numpy as np

from alloop.errors import BadLabel, BadManifest
from alloop.manifest import IMAGE_SUFFIXES, Row, Source, is_remote
from alloop.nouns import Split, Task

__all__ = ["Survey", "survey_source"]


@dataclass(frozen=True)
class Survey:
    """What one pass over a source found: how many rows, how many of them labelled, remote, in the holdout, and its groups."""

    rows: int
    labelled: int
    remote: int
    holdout: int
    holdout_groups: frozenset[str]


def survey_source(source: Source, *, labels: tuple[str, ...], task: Task) -> Survey:
    """A first pass over the whole source that reads no image and refuses it as a whole if any row is wrong.

    Raises:
        BadManifest: the source is empty, a row cannot be read, or two rows name one uri.
        BadLabel: a label is not in the label set, or is a class where the task needs boxes, or the other way round.
    """
    rows = labelled = remote = holdout = 0
    groups: set[str] = set()
    hashes = array("q")
    for row in source.rows():
        _check_label(row, source.name, labels=labels, task=task)
        hashes.append(hash(row.uri))
        rows, labelled, remote = rows + 1, labelled + row.is_labelled, remote + is_remote(row.uri)
        if row.split is Split.HOLDOUT:
            holdout += 1
            groups.update({row.group} if row.group else ())
    if not rows:
        raise BadManifest(
            f"{source.name} holds no image; add some ({', '.join(sorted(IMAGE_SUFFIXES))}) or name another path"
        )
    _refuse_twins(source, hashes)
    return Survey(rows, labelled, remote, holdout, frozenset(groups))


def _check_label(row: Row, source: str, *, labels: tuple[str, ...], task: Task) -> None:
    if row.drawn is not None:
        if task is Task.CLASSIFY:
            raise BadLabel(
                f"{row.drawn.where} tells of boxes, and the task 'classify' needs a class for each image; "
                "give a CSV or Parquet manifest with the column 'label' instead"
            )
        for name in sorted(row.drawn.class_names.difference(labels)):
            raise BadLabel(f"{row.drawn.where}: {_unknown(name, labels)}")
    if row.label is None:
        return
    if task is not Task.CLASSIFY:
        raise BadLabel(
            f"{source}, line {row.line}: label {row.label!r} is a class, and the task '{task}' needs boxes; "
            "leave the column 'label' out"
        )
    if row.label not in labels:
        raise BadLabel(f"{source}, line {row.line}: {_unknown(row.label, labels)}")


def _unknown(label: str, labels: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(label, labels, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(labels[:20])}"
    return f"label {label!r} is not in the label set; {remedy}"


def _refuse_twins(source: Source, hashes: "array[int]") -> None:
    values, times = np.unique(np.frombuffer(hashes, np.int64), return_counts=True)
    suspects = set(values[times > 1].tolist())
    if not suspects:
        return
    lines: dict[str, int] = {}
    for row in source.rows():
        if hash(row.uri) in suspects and lines.setdefault(row.uri, row.line) != row.line:
            raise BadManifest(
                f"{source.name} names {row.uri} twice, in lines {lines[row.uri]} and {row.line}; remove one of them"
            )
