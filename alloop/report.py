"""What the loop did and why, for people: one HTML file that needs nothing else."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from alloop.average_precision import DetectionResults, Precision, precision_of
from alloop.curves import Curve, Saving, curve_of, saving
from alloop.errors import ConfigError, LoopError
from alloop.figures import learning_curve, stage_clock, wasted_slots
from alloop.gallery import KINDS, TAG_UNITS, show_batch
from alloop.judging import results_of
from alloop.nouns import Task
from alloop.report_words import calibration_words, data_uri, decision_words, pull_words, sentence, unclear_words
from alloop.resampling import METRIC_NAMES
from alloop.summary import Summary, summarise
from alloop.tables import correction_line, duration, metric_of
from alloop.whole_files import write_atomically
from alloop.workspace import Workspace

__all__ = ["compare", "headline", "verdict", "write_report"]

LISTED = 50
"""Images that were set aside, and refused answers, that are listed one by one."""


@dataclass(frozen=True)
class Detail:
    """What else is to be told about a detector on the holdout: its precision, or in `missing` why that is not known.

    `classes` holds (name, average precision in points, objects found, objects there), the weakest class first.
    """

    version: str
    precision: Precision | None = None
    classes: tuple[tuple[str, float, int, int], ...] = ()
    missing: str = ""


def write_report(ws: Workspace, path: Path, *, baseline: Workspace | None = None) -> Path:
    """Write the project's report to `path` as one HTML file, whole or not at all.

    `baseline` is a second project in which the same loop ran with the strategy `random`, from the same start.
    """
    if path.exists() and not path.is_file():  # such as /dev/stdout, which would be replaced
        raise ConfigError(
            f"{path} is {'a folder' if path.is_dir() else 'no file'}; name the file that the report goes to"
        )
    page = _render(ws, summarise(ws), summarise(baseline) if baseline else None)
    return write_atomically(path, page.encode())


def _render(ws: Workspace, summary: Summary, baseline: Summary | None) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(sentence=sentence, short=decision_words, png=data_uri, duration=duration)
    environment.filters.update(calibrated=calibration_words, corrected=correction_line, pull=pull_words)
    environment.filters.update(unclear=unclear_words)
    page = environment.from_string(resources.files("alloop").joinpath("report.html").read_text(encoding="utf-8"))
    return page.render(
        s=summary,
        headline=headline(summary),
        comparison=compare(summary, baseline) if baseline else None,
        metric=metric_of(summary),
        has_boxes=summary.task is not Task.CLASSIFY,
        is_warm=ws.config.model.mode == "warm",
        tag_units=TAG_UNITS,
        kinds=KINDS,
        detail=_detail(ws, summary),
        curve=_curve(summary, baseline),
        has_baseline=baseline is not None,
        clock=stage_clock(summary.cycles) if summary.cycles else None,
        waste=wasted_slots(summary.cycles) if any(row.unclear for row in summary.cycles) else None,
        galleries={row.number: show_batch(ws, row.number) for row in summary.cycles},
        listed=LISTED,
        ladder=ws.config.loop.ladder,
        rule=ws.config.switching.rule,
        threshold=ws.config.switching.threshold_points,
    )


def _curve(summary: Summary, baseline: Summary | None) -> bytes | None:
    if not any(row.evaluation for row in summary.cycles):
        return None
    return learning_curve(_curves(summary, baseline), metric=metric_of(summary))


def _curves(summary: Summary, baseline: Summary | None) -> list[Curve]:
    curves = [curve_of(summary, name="the loop")]
    return curves if baseline is None else [*curves, curve_of(baseline, name="random")]


def _detail(ws: Workspace, summary: Summary) -> Detail | None:
    """About the newest model that was measured; None for classifiers, and before there is one."""
    measured = [row.challenger for row in summary.cycles if row.evaluation and row.challenger]
    if not measured or summary.task is Task.CLASSIFY:
        return None
    newest = measured[-1]
    try:
        found = results_of(ws, newest)
    except LoopError as error:  # the page tells what happened all the same
        return Detail(newest.name, missing=sentence(str(error)))
    if not isinstance(found, DetectionResults):
        return None
    precision, (hits, there) = precision_of(found), found.tally()
    counts = {name: (int(hit), int(number)) for name, hit, number in zip(found.labels, hits, there, strict=True)}
    weakest = sorted(precision.by_class.items(), key=lambda one: (one[1], one[0]))
    return Detail(newest.name, precision, tuple((name, points, *counts[name]) for name, points in weakest))


def headline(summary: Summary) -> str:
    """What the loop achieved, in one sentence."""
    champion, best = summary.champion, summary.champion_evaluation
    if champion is None or best is None:
        return f"No model has been trained yet: {summary.standing}."
    among = "" if champion.labels == summary.labels else f", trained on {champion.labels} of them,"
    is_share = best.metric == METRIC_NAMES[Task.CLASSIFY]
    reached = (
        f"is right on {best.points:.1f}% of" if is_share else f"reaches {best.points:.1f} points of {best.metric} on"
    )
    return (
        f"After {summary.labels} labels the champion {champion.name}{among} {reached} the frozen holdout "
        f"(95% interval {best.low:.1f} to {best.high:.1f}, {best.samples} samples)."
    )


def compare(summary: Summary, baseline: Summary) -> str:
    """What the loop saved against random, and whether that is more than noise, in one or two sentences."""
    holdouts = [{row.evaluation.holdout_hash for row in x.cycles if row.evaluation} for x in (summary, baseline)]
    if holdouts[0] != holdouts[1]:
        return "Random was measured on another holdout, so the two curves must not be compared."
    loop, random = _curves(summary, baseline)
    labels, answers = saving(loop, random), saving(loop.in_answers(), random.in_answers())
    if labels is None or answers is None:
        return "There is nothing to compare with random yet."
    return verdict(labels, answers)


def verdict(labels: Saving, answers: Saving) -> str:
    """What a saving comes to, in words.

    It is judged by answers: an unclear one costs as much as a label, and strategies differ in how many they draw.
    """
    costs = _needed(labels, answers)
    if abs(answers.saved) < 1:
        return f"Random was as good: {costs}."
    if answers.is_within_noise:
        return (
            f"Within noise: {costs}, but the intervals of the two overlap there. One run of each cannot settle it; "
            "'alloop backtest' with several seeds can."
        )
    if answers.saved > 0:
        return f"The loop saved {answers.share:.0%}: {costs}."
    return f"Random was better: {costs}."


def _needed(labels: Saving, answers: Saving) -> str:
    text = (
        f"for {labels.target_points:.1f} points the loop needed {labels.labels:.0f} labels and random "
        f"{labels.random_labels:.0f}"
    )
    if round(labels.labels) == round(answers.labels) and round(labels.random_labels) == round(answers.random_labels):
        return text
    return f"{text}; counting unclear answers, which cost as much, {answers.labels:.0f} and {answers.random_labels:.0f}"
