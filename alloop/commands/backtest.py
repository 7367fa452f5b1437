"""`alloop backtest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.commands.shown import print_table

if TYPE_CHECKING:
    from alloop.backtest import Plan

__all__ = ["backtest"]


def backtest(
    manifest: Annotated[str, typer.Option(help="CSV or Parquet with uri,label and, where known, group,split.")],
    strategies: Annotated[str, typer.Option(help="Names with commas between; 'loop' is the whole loop as it ships.")],
    model: Annotated[str, typer.Option(help="frozen, classifier, or your own 'package.module:factory'.")] = "frozen",
    seeds: Annotated[int, typer.Option(min=1, help="How often; five make an interval, ten a narrow one.")] = 10,
    start: Annotated[int, typer.Option(min=1, help="Answers in the first batch.")] = 50,
    batch: Annotated[int, typer.Option(min=1, help="Answers in each later batch.")] = 50,
    budget: Annotated[int, typer.Option(min=1, help="Answers in all.")] = 600,
    out: Annotated[Path, typer.Option(help="What is finished is kept here; the page and the figure too.")] = Path(
        "backtest-out"
    ),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file too.")] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="Repeat images 1 to 400 times, as video does.")] = False,
    repeat_to: Annotated[int, typer.Option(min=2, help="The pool's size with --repeat.")] = 25_000,
    repeat_groups: Annotated[
        bool, typer.Option("--repeat-groups", help="Copies of one image share a group that strategies see.")
    ] = False,
    blend: Annotated[float, typer.Option(min=0, max=0.5, help="This share of the pool nobody can tell.")] = 0.0,
    annotator_error: Annotated[float, typer.Option(min=0, max=1, help="Share of wrong answers.")] = 0.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes of one thread each; 0 means one per core.")] = 0,
    image_size: Annotated[int, typer.Option(min=8, help="Pixels a side for the classifier.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of the classifier.")] = 300,
) -> None:
    """Find out which strategy saves how many labels on your own labelled images; killed, it goes on where it was."""
    from alloop.arms import Terms
    from alloop.backtest import Plan
    from alloop.sections import ModelSection
    from alloop.variants import Variant

    plan = Plan(
        manifest=manifest,
        out=out,
        strategies=tuple(name.strip() for name in strategies.split(",") if name.strip()),
        seeds=seeds,
        terms=Terms(start, batch, budget, annotator_error),
        model=ModelSection(kind=model, image_size=image_size, steps=steps),
        variant=Variant(repeat_to if repeat else None, known_groups=repeat and repeat_groups, blend_share=blend),
        workers=workers,
    )
    _carry_out(plan, json_file)


def _carry_out(plan: "Plan", json_file: Path | None) -> None:
    """Walk what is not walked yet, and tell what was found."""
    from alloop.backtest import run_backtest
    from alloop.backtest_report import savings_table, write_json, write_page
    from alloop.findings import conclude, find
    from alloop.progress import shown_progress

    with shown_progress() as progress:
        found = run_backtest(plan, progress=progress)
    findings = find(found)
    print_table(savings_table(findings, seeds=plan.seeds))
    if json_file is not None:
        write_json(found, json_file)
    print(conclude(found, findings))
    print(f"open {write_page(found, plan.out)} in a browser: curves, tables and how it was measured")
