"""The table of cycles for a terminal, and the lines above and below it."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from alloop.corrections import Corrections
from alloop.nouns import Evaluation, Flag, Lift
from alloop.refused_words import refused_words
from alloop.resampling import METRIC_NAMES
from alloop.sla import AT_RISK, BREACHED
from alloop.summary import CycleRow, Summary

__all__ = ["correction_line", "cost_lines", "cycle_table", "duration", "flag_line", "metric_of", "stage_lines"]

WIDE = 100
"""Columns of a terminal that has room for everything."""
FLAGS = 4
"""Announcements that `alloop status` repeats; the report has all of them."""


def metric_of(summary: Summary) -> str:
    """What models are judged by: as the newest evaluation says, or as the next one will."""
    found = [row.evaluation.metric for row in summary.cycles if row.evaluation]
    return found[-1] if found else METRIC_NAMES[summary.task]


def correction_line(done: Corrections) -> str:
    """What people did to the boxes that were proposed to them, in one line."""
    return f"kept {done.kept}, corrected {done.corrected}, drawn {done.drawn}, deleted {done.deleted}"


def cycle_table(summary: Summary, *, columns: int = WIDE) -> Table:
    """One row a cycle, at most 100 columns wide, or 80; a cycle over its promised hours is red and marked with "!".

    In a terminal of fewer than 100 `columns` the unclear answers are left out, and long names of strategies folded.
    """
    is_wide = columns >= WIDE
    caption = f"{_upper(summary.standing)}."
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False, caption=caption, caption_justify="left")
    for name in ("cycle", "labels", f"{metric_of(summary)} [95%]", "lift [95%]"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strategy", overflow="fold", min_width=10, max_width=20 if is_wide else 10)
    table.add_column("decision", no_wrap=True)
    if is_wide:
        table.add_column(" unclear", justify="right", no_wrap=True)
    table.add_column(f" h/{summary.limit_hours:g}", justify="right", no_wrap=True)
    for row in summary.cycles:
        cells = _cells(row)
        table.add_row(*(cells if is_wide else (*cells[:-2], cells[-1])))
    return table


def stage_lines(summary: Summary) -> list[str]:
    """What `alloop status` says above the table: pool, champion, clocks of the open cycle, boxes, drift, flags, refused answers."""
    counts, champion = summary.counts, summary.champion
    made_up = (summary.is_simulated and "simulated annotators", summary.is_virtual and "virtual hours")
    told = ", ".join(word for word in made_up if word)
    lines = [
        f"project   {summary.project}{told and f' ({told})'}",
        f"pool      {counts.pool} samples, {counts.unlabelled} unlabelled; holdout {counts.holdout}"
        f"{'' if counts.holdout_is_frozen else ' (not frozen yet)'}; {len(summary.set_aside)} set aside",
        f"champion  {f'{champion.name}, trained on {champion.labels} labels' if champion else 'none yet'}",
    ]
    if summary.open_cycle is not None:
        clocks = (f"{stage.step} {duration(stage.hours)}" for stage in summary.cycles[-1].stages)
        lines.append(f"clocks    {', '.join(clocks) or 'no step has begun'}")
    lines += [f"boxes     {line}" for line in _box_lines(summary)]
    lines += [f"drift     {drift.told}" for row in summary.cycles for drift in row.drifts]
    lines += [f"flag      cycle {flag.cycle}: {flag_line(flag)}" for flag in summary.flags[-FLAGS:]]
    if len(summary.flags) > FLAGS:
        lines.append(f"flags     {len(summary.flags) - FLAGS} earlier ones; 'alloop report' shows all")
    if summary.refusals:
        lines.append(f"refused   {refused_words(summary.refusals)}")
    if not summary.cycles:
        lines.append(f"loop      {summary.standing}")
    return lines


def cost_lines(summary: Summary) -> list[str]:
    """What gradients cost, and people's work on boxes: a line for each cycle that took any."""
    costs = [(row.number, row.choosing.gradient_s) for row in summary.cycles]
    spent = [f"cycle {number}: gradients took {seconds:.1f} s" for number, seconds in costs if seconds is not None]
    return spent + [f"boxes of {line}" for line in _box_lines(summary)]


def _box_lines(summary: Summary) -> list[str]:
    done = [(row.number, row.corrections) for row in summary.cycles]
    return [f"cycle {number}: {correction_line(found)}" for number, found in done if found is not None]


def _cells(row: CycleRow) -> list[Text]:
    rate = row.unclear_rate
    hours = Text(f"{row.hours:.1f}!", style="bold red") if row.is_overdue else Text(f"{row.hours:.1f}")
    return [
        Text(str(row.number)),
        Text("–" if row.labels is None else str(row.labels)),
        Text(_points(row.evaluation)),
        Text(_lift(row.lift)),
        Text(row.cycle.strategy),
        Text(row.decision.action.value if row.decision else "open"),
        Text("–" if rate is None else f"{rate:.0%}"),
        hours,
    ]


def _points(found: Evaluation | None) -> str:
    return "–" if found is None else f"{found.points:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _lift(lift: Lift | None) -> str:
    return "–" if lift is None else f"{lift.points:+.1f} [{lift.low:+.1f}, {lift.high:+.1f}]"


def duration(hours: float) -> str:
    """Hours in the unit that suits them: "41 s", "12 min", "10.8 h", "48 h"."""
    if 3600 * hours < 59.5:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if 60 * hours < 59.5 else f"{f'{hours:.1f}'.removesuffix('.0')} h"


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def flag_line(flag: Flag) -> str:
    """An announcement in a few words; what is at risk has not taken these hours yet."""
    when = "after" if flag.kind == BREACHED else "and may take" if flag.kind == AT_RISK else "and takes about"
    return f"{flag.stage} {flag.kind.replace('_', ' ')} {when} {duration(flag.hours)}"
