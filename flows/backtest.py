"""A backtest as one flow run: its progress, its table and its verdict are artifacts."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from alloop.arms import Terms
from alloop.backtest import Backtest, Plan, run_backtest
from alloop.backtest_report import savings_markdown, write_json, write_page
from alloop.variants import Variant
from tasks.progress import task_progress

__all__ = ["backtest"]


@flow(name="backtest", persist_result=False)
def backtest(
    manifest: str,
    out: str,
    strategies: list[str],
    seeds: int = 10,
    start: int = 50,
    batch: int = 50,
    budget: int = 600,
    repeat_to: int | None = None,
    blend: float = 0.0,
) -> str:
    """Compare strategies on a labelled manifest with the frozen model, as `alloop backtest` does.

    Returns:
        The path of backtest.html in `out`, beside which lie curves.png and backtest.json.
    """
    plan = Plan(
        manifest=manifest,
        out=Path(out),
        strategies=tuple(strategies),
        seeds=seeds,
        terms=Terms(start, batch, budget),
        variant=Variant(repeat_to, blend_share=blend),
    )
    return show(walk(plan))


@task(name="walk-arms", cache_policy=NO_CACHE, persist_result=False)
def walk(plan: Plan) -> Backtest:
    """Walk what has not been walked yet."""
    with task_progress() as progress:
        return run_backtest(plan, progress=progress)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def show(found: Backtest) -> str:
    """Put the table and the verdict up, and write the files."""
    create_markdown_artifact(savings_markdown(found), key="alloop-backtest", description=found.dataset)
    write_json(found, found.plan.out / "backtest.json")
    return str(write_page(found, found.plan.out))
