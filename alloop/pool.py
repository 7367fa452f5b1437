"""Bringing images into the pool: each becomes a sample, or is set aside with a reason; nothing stops half-way.

Who keeps the holdout clean: rows of one manifest are settled here (rows of the holdout go in first, so that they win over
their exact copies; a pool row whose group is in the manifest's holdout is set aside unread). What the ledger already
holds (its frozen holdout, its groups, its content ids) is settled by the store in `add_samples`.
"""

import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Protocol

from alloop.inspection import Inspection, Submit, in_processes, in_threads
from alloop.manifest import Row, Survey, is_remote, read_source, survey_source
from alloop.nouns import Content, Progress, Sample, Split, Task, no_progress

__all__ = ["AddReport", "Added", "Cause", "Fingerprint", "Found", "SampleStore", "SetAside", "add_to_pool"]

CHUNK = 512
"""Rows per transaction; three chunks are in memory at a time."""

PART = 32
"""Files per question to a worker: enough to pay for the pipe, few enough to share photographs evenly."""

PROCESSES_FROM = 2000
"""Local rows from which starting processes (0.3 s) pays; fewer are inspected by threads."""

REMOTE_THREADS = 16
"""Threads for remote files, which wait for the network rather than compute."""


class Cause(StrEnum):
    """Why a row of the source did not become a sample."""

    BAD_IMAGE = "bad image"
    DUPLICATE = "duplicate"
    CHANGED = "changed"
    DIFFERS = "differs"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A uri that did not become a sample; `reason` reads as a sentence after the uri."""

    uri: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A sample the store holds, and its file as it was then; `mtime_ns` is None for a remote file."""

    sample: Sample
    size_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A new sample, its upright width and height in pixels, and its file; `mtime_ns` is None for a remote file."""

    sample: Sample
    width: int
    height: int
    size_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class AddReport:
    """What the store did: the uris it added, and those it refused."""

    added: tuple[str, ...]
    refused: tuple[SetAside, ...] = ()


class SampleStore(Protocol):
    """Where samples are kept; the ledger is one."""

    def known(self, uris: Sequence[str]) -> Mapping[str, Fingerprint]:
        """Those of `uris` that are samples already; a uri that was only set aside is not among them."""

    def add_samples(self, found: Sequence[Found]) -> AddReport:
        """Add them in one transaction; of `found` no two share an id or a uri. Twice is once.

        A sample known with the same uri and id is neither added nor refused; its file's size and time are refreshed. An
        added uri is no longer set aside. Refused are: an id that another uri has (DUPLICATE), and what would break the
        holdout, such as a pool sample whose group is in it or a holdout sample whose group is in the pool (HOLDOUT).
        """

    def set_aside(self, refusals: Sequence[SetAside]) -> None:
        """Keep the newest refusal of each uri. Twice is once.

        BAD_IMAGE or CHANGED for a uri that is a sample means that its file no longer holds what was labelled.
        """


@dataclass(frozen=True)
class Added:
    """What became of a source's rows: `aside` counts the refusals by cause, `examples` are the first of them."""

    rows: int
    added: int
    unchanged: int
    aside: Mapping[Cause, int] = field(default_factory=dict)
    examples: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class _Chunk:
    rows: list[Row]
    known: Mapping[str, Fingerprint]
    refused: list[SetAside]
    looks: "list[Future[list[Inspection]]]"


def add_to_pool(
    source: str,
    *,
    store: SampleStore,
    labels: tuple[str, ...],
    task: Task = Task.CLASSIFY,
    progress: Progress = no_progress,
    workers: int = 0,
) -> Added:
    """Add what is new in a folder, or a CSV or Parquet manifest, and tell what became of every row.

    Each chunk of rows is stored on its own: after a crash or Ctrl-C the same call goes on, since a known local file whose
    size and time are unchanged is not read again, unless it was set aside. A remote file that is known is taken to be
    unchanged. `workers` 0 means one per processor.

    Raises:
        BadManifest: the source as a whole cannot be used; nothing was added.
        BadLabel: a label is not in the label set, or `task` needs boxes; nothing was added.
    """
    survey = survey_source(source, labels=labels, task=task)
    report = Added(rows=survey.rows, added=0, unchanged=0)
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


def _holdout_first(source: str, survey: Survey) -> Iterator[Row]:
    if not survey.holdout:
        yield from read_source(source)
        return
    for split in (Split.HOLDOUT, Split.POOL):
        yield from (row for row in read_source(source) if row.split is split)


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
        refusal = _refuse_new(row, survey.holdout_groups) if was is None else _refuse_known(row, was.sample)
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


def _refuse_known(row: Row, sample: Sample) -> SetAside | None:
    label = sample.truth.class_name if sample.truth else None
    moved = row.split is Split.HOLDOUT and sample.split is not Split.HOLDOUT
    if row.label in (None, label) and row.group in (None, sample.group) and not moved:
        return None
    return SetAside(
        row.uri,
        Cause.DIFFERS,
        f"is known with label {label!r}, group {sample.group!r} and split '{sample.split}', and now comes with "
        f"{row.label!r}, {row.group!r} and '{row.split}'; the first stands, start a new project to change it",
    )


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
        refusal = _refuse_content(seen, chunk.known.get(seen.uri), found.get(seen.id))
        if refusal:
            refused.append(refusal)
        else:
            found[seen.id] = _found(rows[seen.uri], seen)
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


def _found(row: Row, seen: Inspection) -> Found:
    truth = Content(class_name=row.label) if row.label is not None else None
    sample = Sample(id=seen.id, uri=row.uri, group=row.group, split=row.split, truth=truth)
    return Found(sample, seen.width, seen.height, seen.size_bytes, seen.mtime_ns)


def _count(report: Added, *, rows: int, added: int, refused: list[SetAside]) -> Added:
    aside = Counter(report.aside)
    aside.update(refusal.cause for refusal in refused)
    return Added(
        rows=report.rows,
        added=report.added + added,
        unchanged=report.unchanged + rows - added - len(refused),
        aside=aside,
        examples=(*report.examples, *refused)[:20],
    )
