"""From a closed batch to the evidence for a decision: training, measuring on the holdout, and lift."""

import logging
from collections.abc import Sequence
from itertools import count

import numpy as np

from alloop.errors import BadImage, LoopError
from alloop.holdout import holdout_hash
from alloop.ledger.leases import Lease
from alloop.lost_images import refuse_lost_holdout, without_lost
from alloop.metrics import Results, interval, judge, lift, only, read_results, write_results
from alloop.models.base import DetectionModel
from alloop.nouns import (
    Action,
    Evaluation,
    Lift,
    ModelVersion,
    Outcome,
    Predictions,
    Progress,
    Sample,
    Task,
    TrainingLabel,
)
from alloop.scoring import file_sha256
from alloop.switching import Evidence
from alloop.training_folders import training_folder
from alloop.workspace import Workspace

__all__ = ["evaluate", "gather_evidence", "measure_again", "predict_holdout", "replicates", "results_of", "train"]

log = logging.getLogger(__name__)

UNSURE = 0.001
"""Average precision looks at all that a detector holds possible; the same floor as ultralytics' validation."""


def replicates(ws: Workspace, cycle: int) -> int:
    """How often to train: in the second cycle several times, to see how much the seed alone moves the holdout."""
    switching = ws.config.switching
    measures = cycle == _measured_in(ws) and switching.seed_sd_points is None and switching.rule != "off"
    return switching.replicates if measures else 1


def train(ws: Workspace, lease: Lease, replicate: int) -> None:
    """Train one model on the labels that had joined when the batch closed, and register its file.

    Samples whose images are gone are set aside; Transient where it is the storage that is away.
    """
    without_lost(ws, lease.cycle, lambda: _train(ws, lease, replicate))


def _train(ws: Workspace, lease: Lease, replicate: int) -> None:
    cycle, mode = lease.cycle, ws.config.model.mode
    label_set = ws.ledger.labels.training_set(cycle)
    if not label_set.labels:
        raise LoopError(f"cycle {cycle} has no usable label to train on; all were called unclear, so mend the pool")
    champion = ws.ledger.models.champion() if mode == "warm" else None
    parent = ws.registry.path(champion.sha256) if champion else None
    seed = int(ws.dice(cycle, f"train {replicate}").integers(2**31))
    with training_folder(ws.config.state) as folder:
        told = _progress_of(ws, cycle, replicate)
        file = ws.new_model().fit(label_set.labels, parent=parent, out_dir=folder, seed=seed, progress=told)
        digest = ws.registry.store(file)
    version = ModelVersion(
        name=f"v{cycle}" if replicate == 0 else f"v{cycle}.r{replicate}",
        cycle=cycle,
        sha256=digest,
        parent=champion.name if champion else None,
        label_set_hash=label_set.hash,
        labels=len(label_set.labels),
        seed=seed,
        mode=mode,
        created_at=ws.clock.now(),
    )
    ws.ledger.models.record(lease, version, replicate=replicate)


def _progress_of(ws: Workspace, cycle: int, replicate: int) -> Progress:
    """Progress that says which of several trainings it is about: each begins with its first step again."""
    told, times = ws.progress_of(cycle), replicates(ws, cycle)
    if times == 1:
        return told
    return lambda what, done, total: told(f"{what} {replicate + 1} of {times}", done, total)


def predict_holdout(ws: Workspace, version: ModelVersion) -> Predictions:
    """What a model says about the frozen holdout; BadImage says what to do about an image of it that is gone."""
    _, holdout = _frozen(ws)
    samples = [x.sample for x in holdout]
    try:
        return _predict(ws, version, samples)
    except BadImage as error:
        refuse_lost_holdout(samples, cause=error)
        raise


def _predict(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> Predictions:
    model = ws.model(version)
    if model.task is not Task.CLASSIFY and isinstance(model, DetectionModel):
        return model.predict(samples, floor=UNSURE)
    return model.predict(samples)


def evaluate(ws: Workspace, version: ModelVersion, predictions: Predictions) -> Evaluation:
    """How good a model's predictions of the frozen holdout are; the per-sample results are kept as a file."""
    _, holdout = _frozen(ws)
    return _kept(ws, version, judge(holdout, predictions, ws.config.project.labels, task=ws.config.project.task))


def measure_again(ws: Workspace) -> int:
    """Measure every model on what is left of the holdout, from its results per sample; how many needed it. Twice is once.

    So that a curve, a lift or a promotion never compares models on different samples.
    """
    if not ws.ledger.holdout.dropped():
        return 0
    digest, _ = _frozen(ws)
    known = [version for cycle in ws.ledger.cycles.all() for version in ws.ledger.models.of(cycle.number)]
    stale = [version for version in known if _hash_of(ws, version) not in (None, digest)]
    found = list[Evaluation]()
    for version in stale:
        try:
            found.append(_kept(ws, version, results_of(ws, version)))
        except LoopError as error:  # whoever compares with it later is told the same
            log.warning("model %s cannot be measured again: %s", version.name, error)
    ws.ledger.models.record_again(found)
    return len(found)


def _hash_of(ws: Workspace, version: ModelVersion) -> str | None:
    evaluation = ws.ledger.models.evaluation(version.name)
    return evaluation.holdout_hash if evaluation else None


def _kept(ws: Workspace, version: ModelVersion, of: Results) -> Evaluation:
    """The evaluation that results on what is left of the holdout come to, with the file that keeps them."""
    digest, holdout = _frozen(ws)
    found = only(of, [label.sample.id for label in holdout])
    path = ws.config.state / "evaluations" / f"{ws.config.project.name}-{version.name}-{digest[:8]}.parquet"
    write_results(found, path)
    points, low, high = interval(found, ws.dice(version.cycle, f"interval {version.name}"))
    return Evaluation(
        version=version.name,
        cycle=version.cycle,
        metric=found.metric,
        points=points,
        low=low,
        high=high,
        samples=len(found.ids),
        holdout_hash=digest,
        results_path=str(path.relative_to(ws.config.state)),
        results_sha256=file_sha256(path),
    )


def _frozen(ws: Workspace) -> tuple[str, Sequence[TrainingLabel]]:
    frozen = ws.ledger.holdout.frozen()
    if frozen is None:
        raise LoopError("the holdout is not frozen yet; run cycle 0 to its end first")
    return (holdout_hash(frozen[1]), frozen[1]) if ws.ledger.holdout.dropped() else frozen


def gather_evidence(ws: Workspace, cycle: int) -> Evidence:
    """What a cycle showed: lift, answers, and what was spent so far."""
    measure_again(ws)
    record, tally = ws.ledger.cycles.get(cycle), ws.ledger.batches.tally(cycle)
    unclear = tally.get(Outcome.UNCLEAR, 0) + tally.get(Outcome.SKIPPED, 0)
    answered = tally.get(Outcome.LABELLED, 0) + unclear
    return Evidence(
        cycle=cycle,
        strategy=record.strategy,
        lift=_lift(ws, cycle),
        batch_answered=answered,
        batch_nominal=record.nominal,
        unclear_rate=unclear / answered if answered else 0.0,
        labels_total=len(ws.ledger.labels.training_set(cycle).labels),
        annotator_hours=ws.ledger.labels.annotator_hours(),
    )


def _lift(ws: Workspace, cycle: int) -> Lift | None:
    """Points from the last challenger that was measured to this one; none for the first, nor where neither finds anything."""
    before, now = _challenger_before(ws, cycle), ws.ledger.models.of(cycle)[0]
    if before is None or _finds_nothing(ws, before, now):
        return None
    sd = ws.config.switching.seed_sd_points
    return lift(
        results_of(ws, now),
        results_of(ws, before),
        ws.dice(cycle, "lift"),
        seed_sd_points=_seed_sd(ws) if sd is None else sd,
    )


def _finds_nothing(ws: Workspace, *versions: ModelVersion) -> bool:
    """Whether detectors are still so young that none of them finds an object: that says nothing about a strategy."""
    found = [ws.ledger.models.evaluation(version.name) for version in versions]
    return ws.config.project.task is not Task.CLASSIFY and all(one is not None and one.points == 0 for one in found)


def _challenger_before(ws: Workspace, cycle: int) -> ModelVersion | None:
    """The newest earlier challenger with an evaluation: a cycle that was cancelled may have none."""
    for number in range(cycle - 1, -1, -1):
        found = ws.ledger.models.of(number)[:1]
        if found and ws.ledger.models.evaluation(found[0].name) is not None:
            return found[0]
    return None


def results_of(ws: Workspace, version: ModelVersion) -> Results:
    """What a model answered on the frozen holdout, from the file of its evaluation; LoopError when that was changed."""
    evaluation = ws.ledger.models.evaluation(version.name)
    if evaluation is None:
        raise LoopError(f"model {version.name} was never evaluated; run its cycle to its end")
    path = ws.config.state / evaluation.results_path
    if not path.exists() or file_sha256(path) != evaluation.results_sha256:
        raise LoopError(f"the results {path} are missing or were changed; restore them from a backup")
    return read_results(path)


def _seed_sd(ws: Workspace) -> float:
    """Standard deviation in points between training seeds, from the replicates of one cycle; 0 when there are none."""
    found = [ws.ledger.models.evaluation(version.name) for version in ws.ledger.models.of(_measured_in(ws))]
    points = [evaluation.points for evaluation in found if evaluation is not None]
    return float(np.std(points, ddof=1)) if len(points) > 1 else 0.0


def _measured_in(ws: Workspace) -> int:
    """The cycle that is trained several times: the first one after the start that was not cancelled."""
    cancelled = {past.cycle for past in ws.ledger.decisions.all() if past.action is Action.CANCEL}
    return next(number for number in count(1) if number not in cancelled)
