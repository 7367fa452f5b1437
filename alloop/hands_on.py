"""What people do to a running loop by hand: pause a cycle, give it up without losing a label, take an older model back."""

from dataclasses import dataclass

from alloop.drift import reconsider
from alloop.errors import ConfigError, CycleClosed, LoopError
from alloop.ledger.drifts import Drift
from alloop.ledger.expiry import AskedItem
from alloop.nouns import STEPS, Action, Cycle, Decision, Lane
from alloop.plurals import counted
from alloop.publishing import publish_champion
from alloop.sla import breaches
from alloop.workspace import Workspace

__all__ = ["RolledBack", "cancel_cycle", "pause_cycle", "resume_cycle", "roll_back"]


@dataclass(frozen=True)
class RolledBack:
    """What came of taking an older model back: open tasks that show its pre-labels, and what it means for the open batch.

    `drift` is None where no batch waits that another model has chosen.
    """

    renewed: int
    drift: Drift | None


def pause_cycle(ws: Workspace) -> str:
    """From now on no step of the open cycle begins; a sentence that says so. One that is at work finishes.

    CycleClosed when no cycle is open, or it is being cancelled.
    """
    cycle = _open_cycle(ws)
    since = ws.ledger.interventions.pause(cycle.number)
    return (
        f"cycle {cycle.number} is paused since {since:%Y-%m-%d %H:%M} UTC, its clock of {ws.limits.cycle_hours:g} h runs "
        "on; go on with 'alloop cycle resume'"
    )


def resume_cycle(ws: Workspace) -> str:
    """Let the steps of a paused cycle begin again; a sentence that says so. CycleClosed as for `pause_cycle`."""
    cycle = _open_cycle(ws)
    if not ws.ledger.interventions.resume(cycle.number):
        return f"cycle {cycle.number} is not paused"
    return f"cycle {cycle.number} is paused no longer; go on with 'alloop run'"


def cancel_cycle(ws: Workspace) -> Decision:
    """Give the open cycle up: what nobody answered leaves the queue and is in the pool again, every answer is kept.

    A holdout that was drawn stays drawn: the next cycle asks for those of its samples that have no answer yet, and
    freezes it. The intention is noted first. Done again after a crash, it goes on, and after its end it gives what was
    decided then.

    Raises:
        CycleClosed: no cycle is open.
        LeaseHeld: somebody works on a step of it.
        ToolUnavailable: nothing is lost, and trying again goes on.
    """
    cycle = _newest(ws)
    if cycle.closed_at is not None:
        return _cancelled(ws, cycle)
    ws.ledger.interventions.cancel(cycle.number)
    done = {stage.step for stage in ws.ledger.steps.of(cycle.number) if stage.finished_at is not None}
    if "wait_for_labels" not in done:
        _take_back(ws, cycle.number)
    stages, now = ws.ledger.steps.of(cycle.number), ws.clock.now()
    ws.ledger.decisions.raise_flags(breaches(cycle, stages, ws.limits, now))
    step = next(step for step in STEPS if step not in done)
    ws.ledger.interventions.close(
        Decision(
            cycle=cycle.number,
            action=Action.CANCEL,
            judged=cycle.strategy,
            strategy=cycle.strategy,
            reason=_reason(step, ws.ledger.expiry.items(cycle.number)),
            threshold_points=ws.rules.threshold_points,
        )
    )
    return _cancelled(ws, cycle)


def roll_back(ws: Workspace, name: str) -> RolledBack:
    """Make an older model champion again, withdraw what it finds not worth labelling, and show its pre-labels on the rest.

    Done again, it does what could not be done.

    Raises:
        ConfigError: there is no model of that name.
        LoopError: it was never evaluated, or a batch is being chosen with the present champion.
        ModelCorrupt: its file is not the one that was registered.
        ToolUnavailable: the model is champion; trying again does the rest.
    """
    version, champion = ws.ledger.models.get(name), ws.ledger.models.champion()
    if version is None:
        models = [model.name for cycle in ws.ledger.cycles.all() for model in ws.ledger.models.of(cycle.number)]
        raise ConfigError(f"there is no model '{name}'; known are {', '.join(models) or 'none yet'}")
    if ws.ledger.models.evaluation(name) is None:
        raise LoopError(
            f"model {name} was never evaluated on the holdout, so it cannot be champion; choose another one"
        )
    ws.model(version)
    was = champion.name if champion else "none"
    ws.ledger.interventions.roll_back(name, reason=f"rolled back by a person from {was}")
    cycle = _newest(ws)
    drift = reconsider(ws, cycle.number)
    renewed = publish_champion(ws)
    if cycle.closed_at is None:
        ws.ledger.interventions.show(cycle.number, name)
    return RolledBack(renewed, drift)


def _newest(ws: Workspace) -> Cycle:
    cycles = ws.ledger.cycles.all()
    if not cycles:
        raise CycleClosed("no cycle has been opened yet; open one with 'alloop run'")
    return cycles[-1]


def _open_cycle(ws: Workspace) -> Cycle:
    cycle = _newest(ws)
    if cycle.closed_at is not None:
        raise CycleClosed(f"no cycle is open, cycle {cycle.number} has ended; open the next one with 'alloop run'")
    return cycle


def _cancelled(ws: Workspace, cycle: Cycle) -> Decision:
    decision = ws.ledger.decisions.all()[-1]
    if decision.action is not Action.CANCEL:
        raise CycleClosed(
            f"no cycle is open, cycle {cycle.number} ended with '{decision.action}'; there is nothing to cancel"
        )
    return decision


def _take_back(ws: Workspace, cycle: int) -> None:
    """Withdraw what is not answered; the tool is read before and after, so that an answer of this moment counts."""
    batch, begun = ws.ledger.batches.get(cycle), {stage.step for stage in ws.ledger.steps.of(cycle)}
    if "push_to_annotation" not in begun:
        return
    if batch.items and len(ws.ledger.batches.refs(cycle)) < len(batch.items):
        ws.ledger.batches.confirm(
            cycle, ws.tool.push(batch)
        )  # killed amid a push: the tool may hold tasks we cannot name
    _read(ws)
    items = ws.ledger.expiry.items(cycle)
    ws.tool.withdraw([item.ref for item in items if not item.is_answered and item.ref is not None])
    _read(ws)


def _read(ws: Workspace) -> None:
    ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)))


def _reason(step: str, items: tuple[AskedItem, ...]) -> str:
    told, size = f"cancelled by a person at {step}", len(items)
    if not items:
        return f"{told}, before a batch was chosen"
    left = [item for item in items if not item.answered_at]
    answered = size - len(left)
    if not left:
        all_of_it = (
            "its one sample had an answer, which is" if size == 1 else f"all {size} samples had answers, which are"
        )
        return f"{told}: {all_of_it} kept"
    back = "in the pool again"
    if any(item.lane is Lane.HOLDOUT for item in left):
        back += ", or asked for again where they belong to the holdout"
    if not answered:
        return f"{told}: nobody had answered its {counted(size, 'sample')}, now {back}"
    kept = "had answers, which are kept" if answered > 1 else "had an answer, which is kept"
    others = "the others are" if len(left) > 1 else "the other one is"
    return f"{told}: {answered} of {size} samples {kept}; {others} {back}"
