"""One cycle as markdown, for Prefect's pages: what was decided and why, the figures, the batch, the clocks.

Prefect's pages show pictures from data URIs, PNG and JPEG, and tables (looked at in both user interfaces of 3.8.8, 2026-11).
The clocks are bars of block characters in a table, since those follow the colours of the page and are read by machines too.
"""

import re

from alloop.contact_sheet import contact_sheet
from alloop.curves import Curve, curve_of
from alloop.errors import CycleClosed
from alloop.figures import learning_curve
from alloop.gallery import Gallery, show_batch
from alloop.nouns import Task
from alloop.report_words import calibration_words, data_uri, decision_words, pull_words, sentence, unclear_words
from alloop.resampling import METRIC_NAMES
from alloop.summary import CycleRow, Summary, summarise
from alloop.tables import correction_line, duration, metric_of
from alloop.workspace import Workspace

__all__ = ["cycle_markdown", "cycle_title"]

BAR = 24
"""Characters of the longest bar that there can be: the whole cycle."""
WAITING = {"wait_for_labels": "waiting for labels"}
"""Steps whose name is no English."""


def cycle_title(ws: Workspace, cycle: int) -> str:
    """A cycle in a line, such as "digits, cycle 7: waiting for labels"; CycleClosed when there is none of that number."""
    summary = summarise(ws)
    return _title(summary, _row(summary, cycle))


def cycle_markdown(ws: Workspace, cycle: int) -> str:
    """One cycle as markdown, closed or open, with pictures within the text; CycleClosed when there is none of that number."""
    summary = summarise(ws)
    row, metric = _row(summary, cycle), metric_of(summary)
    gallery = show_batch(ws, cycle)
    so_far = _until(curve_of(summary, name="the loop"), row)
    parts = [
        f"# {_escape(_title(summary, row))}",
        _escape(_reason(summary, row)),
        *(_escape(sentence(drift.told)) for drift in row.drifts),
        _numbers_table(row, metric, gallery),
        f"![learning curve: {metric} over labels]({data_uri(learning_curve([so_far], metric=metric))})"
        if row.evaluation
        else "",
        _batch(gallery),
        _stages_table(row),
        "Annotators are simulated." if summary.is_simulated else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(summary: Summary, cycle: int) -> CycleRow:
    row = next((row for row in summary.cycles if row.number == cycle), None)
    if row is None:
        raise CycleClosed(f"there is no cycle {cycle} in '{summary.project}'; see 'alloop status'")
    return row


def _title(summary: Summary, row: CycleRow) -> str:
    at = summary.open_cycle
    state = decision_words(row.decision) if row.decision or at is None else WAITING.get(at.step, at.step)
    return f"{summary.project}, cycle {row.number}: {state}"


def _reason(summary: Summary, row: CycleRow) -> str:
    if row.decision is not None:
        return sentence(row.decision.reason)
    return sentence(f"{summary.standing}; there is no decision yet")


def _until(curve: Curve, row: CycleRow) -> Curve:
    """The curve as it was when this cycle was evaluated; every cycle before it was evaluated too."""
    size = row.number + 1
    marks = tuple(mark for mark in curve.marks if mark.n < (row.labels or 0))
    n, points, low, high = curve.n[:size], curve.points[:size], curve.low[:size], curve.high[:size]
    return Curve(curve.name, n, points, low, high, curve.answers[:size], marks)


def _numbers_table(row: CycleRow, metric: str, gallery: Gallery) -> str:
    found, lift = row.evaluation, row.lift
    boxes = {} if row.corrections is None else {"boxes": correction_line(row.corrections)}
    is_class = metric == METRIC_NAMES[Task.CLASSIFY]
    calibration = {"calibration error": calibration_words(row.calibration)} if is_class else {}
    pull = {"pull of pre-labels": pull_words(row.effort)} if row.effort and row.effort.anchoring else {}
    cells = {
        "strategy": row.cycle.strategy,
        "labels in all": "–" if row.labels is None else str(row.labels),
        "batch": ", ".join(f"{count} {outcome}" for outcome, count in row.tally.items()) or f"{row.batch} asked",
        "unclear": unclear_words(row),
        **{f"agreed with pre-label, {one.lane} lane": f"{one.agreed} of {one.labelled}" for one in gallery.agreements},
        **pull,
        **boxes,
        metric: f"{found.points:.1f} ({found.low:.1f} to {found.high:.1f})" if found else "–",
        **calibration,
        "lift": f"{lift.points:+.2f} ({lift.low:+.2f} to {lift.high:+.2f})"
        if lift
        else "not judged"
        if row.decision
        else "–",
        "model": f"{row.challenger.name}{', promoted' if row.promoted else ''}" if row.challenger else "–",
        "time": f"{duration(row.hours)} of {duration(row.limit_hours)}{', overdue' if row.is_overdue else ''}",
    }
    rows = "\n".join(f"| {name} | {_escape(value)} |" for name, value in cells.items() if value != "–")
    return f"| what | found |\n|---|---|\n{rows}"


def _batch(gallery: Gallery) -> str:
    """The first images of the batch as one picture, and how to read it."""
    sheet = contact_sheet(gallery.tiles)
    if sheet is None:
        return ""
    shown = "All" if sheet.shown == gallery.batch else f"The first {sheet.shown} of"
    told = ". ".join(sheet.legend)
    return f"![the first images of the batch]({data_uri(sheet.jpeg)})\n\n{shown} {gallery.batch} images. {told}."


def _stages_table(row: CycleRow) -> str:
    whole = max([row.hours, row.limit_hours, *(stage.hours for stage in row.stages)])
    lines = [
        f"| {_escape(stage.step)} | {_bar(stage.hours / whole if whole else 0.0)} | {duration(stage.hours)} "
        f"| {'–' if stage.work_s is None else duration(stage.work_s / 3600)} |"
        for stage in row.stages
    ]
    total = f"| **in all** | {_bar(row.hours / whole if whole else 0.0)} | **{duration(row.hours)}** | |"
    head = f"| stage | of {duration(row.limit_hours)} promised | clock | work |"
    return "\n".join([head, "|---|:---|---:|---:|", *lines, total])


def _bar(share: float) -> str:
    """A bar of block characters before a ground that is as long as all of it may be; eighths of one leave gaps there."""
    full = round(BAR * share)
    return "█" * full + "░" * (BAR - full)


def _escape(text: str) -> str:
    """Text that markdown takes literally, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(text.split()))
