"""A backtest for programs and for people: JSON, a table for the terminal, and a page with the curves."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from alloop.backtest import BASELINES, Backtest
from alloop.figures import strategy_bands
from alloop.findings import Finding, bands, conclude, find
from alloop.plurals import counted
from alloop.savings import FEWEST_SEEDS, Estimate, Saving
from alloop.whole_files import write_atomically
from alloop.workspace import FIRST

__all__ = ["savings_markdown", "savings_table", "to_json", "write_json", "write_page"]

COLUMNS = ("50 %", "100 % [95 %]", "worst", "reached", "of dedup [95 %]", "curve [95 %]", "s/batch")
TOO_FEW = ", too few for an interval"
LOOP_NOTE = "'loop' is the whole loop as it ships, with its ladder, switching and promotion"


def to_json(backtest: Backtest) -> dict[str, Any]:
    """The backtest as plain JSON values; qualities and savings are fractions, heights are points, keys are stable.

    A curve has an entry in `accuracy`, `macro_recall`, `labels` and `unclear_share` for every entry of `n`, which counts the
    answers people gave, unclear ones included. A baseline has several runs per seed, the first of each seed first.
    """
    findings, plan = find(backtest), backtest.plan
    terms, pool = plan.terms, backtest.pool
    return {
        "dataset": backtest.dataset,
        "protocol": {
            "start": terms.start,
            "batch": terms.batch,
            "budget": terms.budget,
            "seeds": plan.seeds,
            "first_batch": FIRST,
            "baseline_runs": BASELINES,
            "control_share": terms.control_share,
            "annotator_error": terms.annotator_error,
            "model": plan.model.kind,
            "pool": pool.pool,
            "holdout": pool.holdout,
            "unclear_in_pool": pool.unclear,
            "left_out": pool.left_out,
            "set_aside": pool.set_aside,
        },
        "verdict": conclude(backtest, findings),
        "strategies": {finding.strategy: _finding_json(finding) for finding in findings},
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "curves": [
            {
                "seed": arm.seed,
                "run": arm.run,
                "n": [point.n for point in points],
                "accuracy": [point.accuracy for point in points],
                "macro_recall": [point.macro_recall for point in points],
                "labels": [point.labels for point in points],
                "unclear_share": [point.unclear_share for point in points],
                "chosen_by": [point.strategy for point in points],
            }
            for arm, points in finding.runs
        ],
        "saving_vs_random": _savings_json(finding.over_random),
        "saving_vs_random_dedup": _savings_json(finding.over_dedup),
        "macro_recall_saving_vs_random": _savings_json(finding.recall_over_random),
        "height_vs_random_points": _estimate_json(finding.height),
        "macro_recall_height_vs_random_points": _estimate_json(finding.recall_height),
        "unclear_share_per_cycle": list(finding.unclear),
        "seconds_per_selection": finding.select_s,
    }


def _savings_json(savings: Mapping[str, Saving]) -> dict[str, Any]:
    return {
        share: {
            **_estimate_json(found.mean),
            "worst": found.worst,
            "reached": sum(found.reached),
            "seeds": len(found.values),
            "values": list(found.values),
            "censored": [not reached for reached in found.reached],
        }
        for share, found in savings.items()
    }


def _estimate_json(found: Estimate) -> dict[str, Any]:
    return {"mean": found.mean, "ci95": list(found.interval) if found.interval else None}


def write_json(backtest: Backtest, path: Path) -> Path:
    """Write `to_json` to `path`, whole or not at all."""
    return write_atomically(path, (json.dumps(to_json(backtest), indent=1) + "\n").encode())


def savings_table(findings: Sequence[Finding], *, seeds: int) -> Table:
    """One row a strategy, at most 100 columns wide: savings in per cent of the baseline's labels, with 95 % intervals."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        caption=f"% of labels saved at the accuracy of random after 50 and 100 % of the budget, "
        f"{counted(seeds, 'seed')}{TOO_FEW if seeds < FEWEST_SEEDS else ''}; curve: points above random's in the mean",
        caption_justify="left",
    )
    table.add_column("strategy", overflow="fold", min_width=12, max_width=20)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for finding in findings:
        table.add_row(*_cells(finding))
    return table


def savings_markdown(backtest: Backtest) -> str:
    """The same rows as a markdown table, under the verdict."""
    findings = find(backtest)
    rows = [("strategy", *COLUMNS), ("---",) + ("---:",) * len(COLUMNS), *map(_cells, findings)]
    return "\n".join([conclude(backtest, findings), "", *(f"| {' | '.join(cells)} |" for cells in rows)]) + "\n"


def _cells(finding: Finding) -> tuple[str, ...]:
    final = finding.over_random["100"]
    return (
        finding.strategy,
        f"{100 * finding.over_random['50'].mean.mean:.0f}",
        _interval(final.mean, by=100, digits=0),
        f"{100 * final.worst:.0f}",
        f"{sum(final.reached)} of {len(final.values)}",
        _interval(finding.over_dedup["100"].mean, by=100, digits=0),
        _interval(finding.height, by=1, digits=1),
        f"{finding.select_s:.2f}",
    )


def _interval(found: Estimate, *, by: float, digits: int) -> str:
    text = f"{by * found.mean:.{digits}f}"
    if found.interval is None:
        return text
    low, high = (f"{by * edge:.{digits}f}" for edge in found.interval)
    return f"{text} [{low}, {high}]"


def write_page(backtest: Backtest, folder: Path) -> Path:
    """Write curves.png and backtest.html, which needs nothing else, into `folder`; the path of the page."""
    from jinja2 import Environment, StrictUndefined

    findings = find(backtest)
    curves = strategy_bands(bands(findings))
    write_atomically(folder / "curves.png", curves)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(interval=_interval)
    page = environment.from_string(resources.files("alloop").joinpath("backtest.html").read_text(encoding="utf-8"))
    text = page.render(
        b=backtest,
        terms=backtest.plan.terms,
        findings=findings,
        verdict=conclude(backtest, findings),
        curves=f"data:image/png;base64,{b64encode(curves).decode()}",
        first=FIRST,
        baselines=BASELINES,
        intervals=TOO_FEW if backtest.plan.seeds < FEWEST_SEEDS else ", with 95 % t intervals",
        loop_note=LOOP_NOTE if any(finding.strategy == "loop" for finding in findings) else "",
        has_unclear=any(share > 0 for finding in findings for share in finding.unclear),
    )
    return write_atomically(folder / "backtest.html", text.encode())
