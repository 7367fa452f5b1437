"""What a labels.jsonl said when it was last read, so that what is new in it can be told, with the time it counts from."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alloop.annotation.answers import Answer
from alloop.annotation.files import read_lines, write_lines

__all__ = ["remember"]

Record = dict[str, Any]
TICK = timedelta(microseconds=1)
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def remember(folder: Path, answers: Mapping[str, Answer], *, shared: Collection[str]) -> dict[str, Record]:
    """Give each new or changed answer {ref: answer} the next number and a time; an answer that was removed has said nothing.

    `answers` come in the order of their lines, and of one sample a later line has a later time, whoever wrote it. Of the
    samples in `shared` everybody's answer counts for itself, so there it does not matter whose is later.
    """
    before = {entry["ref"]: entry for entry in read_lines(folder / ".seen.jsonl")}
    after = before | {entry["ref"]: entry for entry in _news(folder, answers, before, shared)}
    after |= {ref: entry | {"said": ""} for ref, entry in after.items() if ref not in answers}
    if after != before:
        write_lines(folder / ".seen.jsonl", after.values())
    return after


def _news(
    folder: Path, answers: Mapping[str, Answer], before: Mapping[str, Record], shared: Collection[str]
) -> Iterator[Record]:
    number = max((entry["number"] for entry in before.values()), default=0)
    newest: dict[str, datetime] = {}
    for ref, answer in answers.items():
        said = hashlib.sha256(repr(answer).encode()).hexdigest()
        known = before.get(ref)
        told_at = datetime.fromisoformat(known["updated_at"]) if known else BEFORE_ALL
        above = BEFORE_ALL if answer.sample_id in shared else newest.get(answer.sample_id, BEFORE_ALL)
        if known and known["said"] == said and told_at > above:
            newest[answer.sample_id] = told_at
            continue
        number += 1
        stated = answer.updated_at or _changed_at(folder / "labels.jsonl")
        newest[answer.sample_id] = max(stated, told_at + TICK, above + TICK)
        yield {"ref": ref, "said": said, "updated_at": newest[answer.sample_id].isoformat(), "number": number}


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
