"""Bringing images into the pool: each becomes a sample, or is set aside with a reason; nothing stops half-way.

Who keeps the holdout clean: rows of one manifest are settled here (rows of the holdout go in first, so that they win over
their exact copies; a pool row whose group is in the manifest's holdout is set aside unread). What the ledger already
holds (its frozen holdout, its groups, its content ids) is settled by the store in `add_samples`.
"""

import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from alloop.errors import BadLabel
from alloop.formats.boxes import agree, told
from alloop.inspection import Inspection, Submit, in_processes, in_threads
from alloop.manifest import Listing, Row, Source, is_remote
from alloop.nouns import Progress, Sample, Split, Task, no_progress
from alloop.sample_store import AddReport, Cause, Fingerprint, Found, SampleStore, SetAside
from alloop.survey import Survey, survey_source

__all__ = ["AddReport", "Added", "Cause", "Fingerprint", "Found", "SampleStore", "SetAside", "add_to_pool"]

CHUNK = 512
"""Rows per transaction; three chunks are in memory at a time."""

PART = 32
"""Files per question to a worker: enough to pay for the pipe, few enough to share photographs evenly."""

PROCESSES_FROM = 2000
"""Local rows from which starting processes (0.3 s) pays; fewer are inspected by threads."""

REMOTE_THREADS = 16
"""Threads for remote files, which wait for the network rather than compute."""


@dataclass(frozen=True)
class Added:
    """What became of a source's rows: `aside` counts the refusals by cause, `examples` are the first of them.

    `labelled` of the rows came with an answer of people.
    """

    rows: int
    added: int
    unchanged: int
    labelled: int = 0
    aside: Mapping[Cause, int] = field(default_factory=dict)
    examples: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class _Chunk:
    rows: list[Row]
    known: Mapping[str, Fingerprint]
    refused: list[SetAside]
    looks: "list[Future[list[Inspection]]]"


def add_to_pool(
    source: str | Source,
    *,
    store: SampleStore,
    labels: tuple[str, ...],
    task: Task = Task.CLASSIFY,
    progress: Progress = no_progress,
    workers: int = 0,
) -> Added:
    """Add what is new in a folder, a CSV or Parquet manifest or another source, and tell what became of every row.

    Each chunk of rows is stored on its own: after a crash or Ctrl-C the same call goes on, since a known local file whose
    size and time are unchanged is not read again, unless it was set aside. A remote file that is known is taken to be
    unchanged. `workers` 0 means one per processor.

    Raises:
        BadManifest: the source as a whole cannot be used; nothing was added.
        BadLabel: a label is not in the label set, or of another kind than `task` needs; nothing was added.
    """
    source = Listing(source) if isinstance(source, str) else source
    survey = survey_source(source, labels=labels, task=task)
    report = Added(rows=survey.rows, added=0, unchanged=0, labelled=survey.labelled)
    done = 0
    with _inspectors(survey, workers or _processors()) as submit:
        started = (_begin(rows, survey, store=store, submit=submit) for rows in _chunks(_holdout_first(source, survey)))
        for chunk in _ahead(started, depth=3):
            report = _finish(chunk, store, report)
            done += len(chunk.rows)
            progress("adding to the pool", done, survey.rows)
    return report


def _inspectors(survey: Survey, workers: int) -> AbstractContextManager[Submit]:
    if survey.remote:
        return in_threads(max(workers, REMOTE_THREADS))
    return in_processes(workers) if survey.rows >= PROCESSES_FROM else in_threads(workers)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _holdout_first(source: Source, survey: Survey) -> Iterator[Row]:
    if not survey.holdout:
        yield from source.rows()
        return
    for split in (Split.HOLDOUT, Split.POOL):
        yield from (row for row in source.rows() if row.split is split)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _ahead(chunks: Iterable[_Chunk], *, depth: int) -> Iterator[_Chunk]:
    """The same chunks, with the inspection of `depth` of them under way, so that storing one holds nobody up."""
    started: deque[_Chunk] = deque()
    for chunk in chunks:
        started.append(chunk)
        if len(started) == depth:
            yield started.popleft()
    yield from started


def _begin(rows: list[Row], survey: Survey, *, store: SampleStore, submit: Submit) -> _Chunk:
    known = store.known([row.uri for row in rows if _is_text(row.uri)])
    refused, unread = list[SetAside](), list[str]()
    for row in rows:
        was = known.get(row.uri)
        refusal = _refuse_new(row, survey.holdout_groups) if was is None else _refuse_known(row, was)
        if refusal:
            refused.append(refusal)
        elif was is None or was.sample.split is Split.ASIDE or not _is_unchanged(row.uri, was):
            unread.append(row.uri)
    looks = [submit(unread[start : start + PART]) for start in range(0, len(unread), PART)]
    return _Chunk(rows, known, refused, looks)


def _is_text(uri: str) -> bool:
    """Whether a database can hold it: file names may be any bytes, which Python shows as lone surrogates."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_new(row: Row, holdout_groups: frozenset[str]) -> SetAside | None:
    if not _is_text(row.uri):
        uri = row.uri.encode(errors="backslashreplace").decode()
        return SetAside(uri, Cause.BAD_IMAGE, "has a name that is not valid UTF-8; rename it")
    if row.split is Split.POOL and row.group in holdout_groups:
        return SetAside(row.uri, Cause.HOLDOUT, f"is set aside: its group {row.group!r} is in the holdout")
    return None


def _refuse_known(row: Row, was: Fingerprint) -> SetAside | None:
    sample = was.sample
    try:
        truth = row.truth(was.width, was.height)
    except BadLabel as error:
        return _refuse_label(row.uri, error)
    moved = row.split is Split.HOLDOUT and sample.split is not Split.HOLDOUT
    agreed = truth is None or (sample.truth is not None and agree(truth, sample.truth))
    if agreed and row.group in (None, sample.group) and not moved:
        return None
    return SetAside(
        row.uri,
        Cause.DIFFERS,
        f"is known with label {told(sample.truth)}, group {sample.group!r} and split '{sample.split}', and now comes "
        f"with {told(truth)}, {row.group!r} and '{row.split}'; the first stands, start a new project to change it",
    )


def _refuse_label(uri: str, error: BadLabel) -> SetAside:
    return SetAside(uri, Cause.BAD_LABEL, f"has a label that cannot be used: {error}")


def _is_unchanged(uri: str, known: Fingerprint) -> bool:
    if is_remote(uri):
        return True
    try:
        now = Path(uri).stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (known.size_bytes, known.mtime_ns)


def _finish(chunk: _Chunk, store: SampleStore, report: Added) -> Added:
    rows = {row.uri: row for row in chunk.rows}
    refused, found = list(chunk.refused), dict[str, Found]()
    inspections = [seen for look in chunk.looks for seen in look.result()]
    for seen in sorted(inspections, key=lambda seen: seen.uri not in chunk.known):  # a new copy yields to the known one
        result = _refuse_content(seen, chunk.known.get(seen.uri), found.get(seen.id)) or _found(rows[seen.uri], seen)
        if isinstance(result, Found):
            found[seen.id] = result
        else:
            refused.append(result)
    stored = store.add_samples(list(found.values()))
    refused += stored.refused
    store.set_aside(refused)
    return _count(report, rows=len(rows), added=len(stored.added), refused=refused)


def _refuse_content(seen: Inspection, known: Fingerprint | None, twin: Found | None) -> SetAside | None:
    if seen.fault is not None:
        return SetAside(seen.uri, Cause.BAD_IMAGE, seen.fault)
    if known is not None and known.sample.id != seen.id:
        return SetAside(seen.uri, Cause.CHANGED, "has changed since it was added; give the new image a name of its own")
    if twin is not None:
        return SetAside(seen.uri, Cause.DUPLICATE, f"is an exact copy of {twin.sample.uri}")
    return None


def _found(row: Row, seen: Inspection) -> Found | SetAside:
    try:
        truth = row.truth(seen.width, seen.height)
    except BadLabel as error:
        return _refuse_label(row.uri, error)
    sample = Sample(id=seen.id, uri=row.uri, group=row.group, split=row.split, truth=truth)
    return Found(sample, seen.width, seen.height, seen.size_bytes, seen.mtime_ns)


def _count(report: Added, *, rows: int, added: int, refused: list[SetAside]) -> Added:
    aside = Counter(report.aside)
    aside.update(refusal.cause for refusal in refused)
    return Added(
        rows=report.rows,
        labelled=report.labelled,
        added=report.added + added,
        unchanged=report.unchanged + rows - added - len(refused),
        aside=aside,
        examples=(*report.examples, *refused)[:20],
    )
