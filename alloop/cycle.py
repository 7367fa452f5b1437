"""THE LOOP: seven steps that a Prefect task, the command line and the backtest all walk.

    score_pool → diversity_select → push_to_annotation → wait_for_labels → retrain → holdout_eval → strategy_switch

Each step takes a workspace and a cycle's number, and gives the number back. What a step found out stands in the
ledger; done again, a step finds that and does nothing. So a killed run goes on where it was, and nothing is pushed,
trained or counted twice.
"""

from collections.abc import Callable
from functools import partial

from alloop.agreement import judge
from alloop.asking import labels_pending, refuse_lost_tasks
from alloop.choosing import choose_batch
from alloop.clock import WallClock
from alloop.confidence import calibrate
from alloop.drift import follow_champion
from alloop.effort import measure_effort, rule_of
from alloop.errors import CycleClosed, LabelsPending, LeaseHeld, LeaseLost, LoopError
from alloop.holdout import holdout_hash
from alloop.judging import evaluate, gather_evidence, measure_again, predict_holdout, replicates, train
from alloop.ledger.leases import Lease
from alloop.lost_images import without_lost
from alloop.metrics import should_promote
from alloop.nouns import Decision, TrainingLabel
from alloop.opening import drawn_for_holdout, first_nominal, later_nominal
from alloop.pool_scores import score_unlabelled
from alloop.quorum import close_at_quorum, should_close
from alloop.shortlisted import refuse_unfit
from alloop.sla import breaches
from alloop.switching import decide
from alloop.workspace import FIRST, Workspace

__all__ = [
    "decision_of",
    "diversity_select",
    "holdout_eval",
    "open_cycle",
    "patiently",
    "push_to_annotation",
    "retrain",
    "score_pool",
    "strategy_switch",
    "wait_for_labels",
    "wait_until_labelled",
    "walk",
]


Step = Callable[[Workspace, int], int]
LOOK_AGAIN_S = 2.0
"""How soon to look whether somebody else has finished a step."""


def open_cycle(ws: Workspace) -> int:
    """The number of the open cycle, or of a new one.

    PoolEmpty without samples, PoolExhausted when they are too few for a batch, CycleClosed while the loop holds or a person
    has paused the cycle, ConfigError when the model cannot give what the strategy needs.
    """
    cycles, history = ws.ledger.cycles.all(), ws.ledger.decisions.all()
    if cycles and cycles[-1].closed_at is None:
        if (why := ws.ledger.interventions.held_back(cycles[-1].number)) is not None:
            raise CycleClosed(why)
        return cycles[-1].number
    first = ws.ledger.models.champion() is None  # also after a first cycle that was cancelled
    strategy = FIRST if first else history[-1].strategy
    if not first and strategy not in ws.config.loop.ladder:
        strategy = ws.config.loop.ladder[0]  # the ladder was changed since that decision
    nominal = first_nominal(ws, asked_before=bool(history)) if first else later_nominal(ws)
    refuse_unfit(ws, ws.strategy(strategy))
    if not cycles:
        ws.new_model()  # one that cannot be made is told before people have worked for it
    return ws.ledger.cycles.open_next(strategy=strategy, nominal=nominal).number


def walk(ws: Workspace, cycle: int, *, wait: bool) -> Decision:
    """A cycle from wherever it stands to its decision; LabelsPending when answers are missing and nobody waits."""
    look = wait_until_labelled if wait else wait_for_labels
    for step in (score_pool, diversity_select, push_to_annotation, look, retrain, holdout_eval, strategy_switch):
        patiently(step, ws, cycle)
    return decision_of(ws, cycle)


def patiently(step: Step, ws: Workspace, cycle: int) -> int:
    """Do a step, or while another process does it, wait until that one has finished or is gone."""
    told = ""
    while True:
        try:
            return step(ws, cycle)
        except (LeaseHeld, LeaseLost) as held:
            why = str(held).partition(";")[0]
            if why != told:
                told = why
                ws.progress_of(cycle)(f"waiting here, because {why}", 0, 0)
            WallClock().sleep(
                LOOK_AGAIN_S
            )  # the time of day, like leases: another process does not live on virtual time


def decision_of(ws: Workspace, cycle: int) -> Decision:
    """What a closed cycle ended with."""
    for decision in ws.ledger.decisions.all():
        if decision.cycle == cycle:
            return decision
    raise CycleClosed(f"cycle {cycle} has no decision yet; run it to its end with 'alloop run'")


def score_pool(ws: Workspace, cycle: int) -> int:
    """Score every unlabelled sample with the champion, shard by shard into files."""
    with ws.ledger.steps.working(cycle, "score_pool") as lease:
        if lease is not None:
            if ws.ledger.holdout.frozen() is None:
                _draw_holdout(ws)
            score_unlabelled(ws, lease)
    return cycle


def _draw_holdout(ws: Workspace) -> None:
    """A holdout of whole groups, unless the manifest brought one; frozen at once when all its labels are known."""
    if not ws.ledger.holdout.all():
        ws.ledger.holdout.assign(drawn_for_holdout(ws))
    samples = ws.ledger.holdout.all()
    known = {sample.id: sample.truth for sample in samples if sample.truth is not None}
    if len(known) == len(samples):
        labels = [TrainingLabel(sample, known[sample.id]) for sample in samples]
        ws.ledger.holdout.freeze(known, digest=holdout_hash(labels), dropped=0)


def diversity_select(ws: Workspace, cycle: int) -> int:
    """Choose the batch: a random control slice, and the strategy's pick of the shortlist."""
    with ws.ledger.steps.working(cycle, "diversity_select") as lease:
        if lease is not None:
            choice = choose_batch(ws, cycle)
            record, options = ws.ledger.cycles.get(cycle), ws.config.acquisition.model_dump(exclude_none=True)
            facts = {"samples": len(choice.items), "shortlist": choice.shortlist, "strategy": record.strategy}
            ws.ledger.batches.record(lease, choice.items, **facts, **choice.facts, **options)
    return cycle


def push_to_annotation(ws: Workspace, cycle: int) -> int:
    """Put the batch into the annotators' one queue; what is there already stays as it is."""
    with ws.ledger.steps.working(cycle, "push_to_annotation") as lease:
        if lease is not None:
            batch = ws.ledger.batches.get(cycle)
            if batch.items:
                ws.ledger.batches.confirm(cycle, ws.tool.push(batch))
            missing = len(batch.items) - len(ws.ledger.batches.refs(cycle))
            if missing:
                raise LoopError(f"{ws.tool.name} confirmed all but {missing} samples of cycle {cycle}; run it again")
            with ws.ledger.steps.finishing(lease, samples=len(batch.items)):
                pass
    return cycle


def wait_for_labels(ws: Workspace, cycle: int) -> int:
    """Take in what people answered, and close the batch when it is complete; LabelsPending until then."""
    with ws.ledger.steps.working(cycle, "wait_for_labels") as lease:
        if lease is not None:
            refuse_lost_tasks(ws, cycle)
            hint = ws.ledger.hints.newest()  # before the tool is read: what comes in meanwhile goes on waiting
            ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)))
            ws.ledger.hints.handle(hint)
            follow_champion(ws, cycle)  # which may have changed since the batch was chosen
            answered, asked = ws.ledger.labels.pending(cycle)
            ws.progress_of(cycle)("waiting for labels", answered, asked)
            if answered < asked and not should_close(ws, cycle, ws.clock.now()):
                raise labels_pending(ws, cycle)
            if answered < asked:
                close_at_quorum(ws, cycle)
            _close_batch(ws, lease)
    return cycle


def _close_batch(ws: Workspace, lease: Lease) -> None:
    agreed = partial(judge, rule=rule_of(ws))
    if ws.ledger.holdout.frozen() is not None:
        ws.ledger.labels.close_batch(lease, judge=agreed)
        return
    samples = ws.ledger.holdout.all()
    answers = {sample.id: sample.truth for sample in samples if sample.truth is not None}
    held = {sample.id for sample in samples}  # a person may have dropped some of those that people were asked about
    answers |= {key: said for key, said in ws.ledger.labels.holdout_answers(lease.cycle).items() if key in held}
    if not answers:
        raise LoopError("nobody could label any sample of the holdout; start again with clearer images")
    frozen = [TrainingLabel(sample, answers[sample.id]) for sample in samples if sample.id in answers]
    ws.ledger.labels.close_batch(lease, judge=agreed, holdout=answers, digest=holdout_hash(frozen))


def wait_until_labelled(ws: Workspace, cycle: int) -> int:
    """The same, looking again every `loop.poll_s` seconds of the project's clock, and soon after a hint."""
    while True:
        try:
            return wait_for_labels(ws, cycle)
        except LabelsPending:
            _rest(ws)


def _rest(ws: Workspace) -> None:
    """Until it is time to look again, or a hint came in."""
    left = ws.config.loop.poll_s
    nap = left if ws.is_simulated else LOOK_AGAIN_S  # nobody sends hints on a virtual clock
    while left > 0:
        ws.clock.sleep(min(nap, left))
        left -= nap
        if ws.ledger.hints.waiting():
            return


def retrain(ws: Workspace, cycle: int) -> int:
    """Train on the labels that had joined when the batch closed, and register the file."""
    with ws.ledger.steps.working(cycle, "retrain") as lease:
        if lease is not None:
            done = len(ws.ledger.models.of(cycle))
            for replicate in range(done, replicates(ws, cycle)):
                train(ws, lease, replicate)
            answers = {label.sample.id: label.content for label in ws.ledger.labels.training_set(cycle).labels}
            effort = measure_effort(ws, cycle, answers)
            with ws.ledger.steps.finishing(lease, models=len(ws.ledger.models.of(cycle)), **effort):
                pass
    return cycle


def holdout_eval(ws: Workspace, cycle: int) -> int:
    """Measure this cycle's models on the frozen holdout, and make the challenger champion unless it is worse."""
    with ws.ledger.steps.working(cycle, "holdout_eval") as lease:
        if lease is not None:
            measure_again(ws)
            versions = ws.ledger.models.of(cycle)
            answers = [predict_holdout(ws, version) for version in versions]
            evaluations = [evaluate(ws, *pair) for pair in zip(versions, answers, strict=True)]
            champion = ws.ledger.models.champion()
            best = ws.ledger.models.evaluation(champion.name) if champion else None
            tolerance = ws.config.promotion.tolerance_points
            better = should_promote(evaluations[0].points, best.points if best else None, tolerance_points=tolerance)
            calibration = without_lost(ws, cycle, lambda: calibrate(ws, cycle, answers[0]))
            standing = f"{best.version} with {best.points:.1f}" if best else "no champion"
            ws.ledger.models.record_evaluations(
                lease,
                evaluations,
                promote=evaluations[0].version if better else None,
                reason=f"{evaluations[0].version} with {evaluations[0].points:.1f} points against {standing}",
                calibration=calibration and vars(calibration),
            )
    return cycle


def strategy_switch(ws: Workspace, cycle: int) -> int:
    """Decide from lift and unclear answers what chooses the next batch, and close the cycle."""
    with ws.ledger.steps.working(cycle, "strategy_switch") as lease:
        if lease is not None:
            decision = decide(gather_evidence(ws, cycle), ws.ledger.decisions.all(), ws.rules)
            record, stages = ws.ledger.cycles.get(cycle), ws.ledger.steps.of(cycle)
            ws.ledger.decisions.raise_flags(breaches(record, stages, ws.limits, ws.clock.now()))
            ws.ledger.decisions.record(lease, decision)
    return cycle
