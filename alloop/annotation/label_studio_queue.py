"""The order in which annotators get their tasks.

Label Studio's "Uncertainty sampling" serves the lowest prediction score first, among the predictions whose version is
the project's `model_version`, and everything else at random afterwards. So each task that is open has a prediction of
the present version, with or without regions, and its score is its place in the queue: the newest batch first, each
batch by rank. The version is called after the model that pre-labels and the newest batch, such as `v3/b12`.
"""

from collections.abc import Callable, Mapping, Sequence

from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_tasks import OPEN, Record, chunks, listing
from alloop.errors import ConfigError
from alloop.nouns import Batch

__all__ = ["named", "newest_cycle", "prediction", "renew", "score", "version_for"]

RANKS = 1_000_000
"""No batch is larger. A fixed number, so that a batch which grows while it is pushed keeps its order."""
WANTED = "data,total_annotations,predictions,model_version,result"
"""The last two are those of each prediction."""
UNTRAINED = "no-model"


def named(model: str, cycle: int) -> str:
    """The version of a queue whose newest batch is that of `cycle`."""
    return f"{model}/b{cycle}"


def newest_cycle(version: str | None) -> int | None:
    """The cycle in the version of a queue; None when it is none of ours."""
    cycle = (version or "").rpartition("/b")[2]
    return int(cycle) if cycle.isdecimal() and "/b" in (version or "") else None


def version_for(batch: Batch, present: str | None) -> str:
    """The version that a batch's tasks get: a new one for a new batch, the present one for what belongs there."""
    newest = newest_cycle(present)
    if present and newest is not None and newest >= batch.cycle:
        return present
    models = [item.prelabel.model_version for item in batch.items if item.prelabel is not None]
    return named(models[0] if models else UNTRAINED, batch.cycle)


def prediction(data: Record, version: str, results: Sequence[Record]) -> Record:
    """The prediction that puts a task at its place, and shows `results`."""
    return {"model_version": version, "score": score(data["cycle"], data["rank"]), "result": list(results)}


def score(cycle: int, rank: int) -> float:
    """The place of a task in the queue, 0 to 1, the lowest first: each batch has a band below that of the one before."""
    bottom, top = 1 / (cycle + 2), 1 / (cycle + 1)
    return bottom + (top - bottom) * rank / RANKS


def renew(
    api: Api, project: int, version: str, write: Callable[[Sequence[Record]], Mapping[str, list[Record]]]
) -> None:
    """Give each open task a prediction of `version` unless it has one, then make that the project's version.

    `write` tells the regions {sample id: results} for the data of pre-labelled tasks; where it tells none, a task keeps
    those it shows, and so does one that somebody has answered: the next person is shown the same. Cut off anywhere, it is finished by doing it again: until the last request the old order stands.
    """
    present = api.get(f"/api/projects/{project}")["model_version"]
    if present == version:
        return
    found = listing(api, project, OPEN, include=WANTED, fields="all")
    tasks = [task for task in found if "batch_id" in task["data"]]
    lacking = [task for task in tasks if all(one["model_version"] != version for one in task["predictions"])]
    for some in chunks(lacking):
        fresh = write([task["data"] for task in some if task["data"]["prelabelled"] and not task["total_annotations"]])
        rows = [{"task": task["id"], **_renewed(task, fresh, version=version, present=present)} for task in some]
        made = api.post(f"/api/projects/{project}/import/predictions", rows)["created"]
        if made != len(rows):  # it leaves out what it finds wrong, and says so in its log only
            raise ConfigError(f"Label Studio took {made} of {len(rows)} predictions for {version}; its log says why")
    if tasks:  # a version without any prediction is refused
        api.patch(f"/api/projects/{project}", {"model_version": version})


def _renewed(task: Record, fresh: Mapping[str, list[Record]], *, version: str, present: str | None) -> Record:
    return prediction(task["data"], version, fresh.get(task["data"]["item_id"], _shown(task, present)))


def _shown(task: Record, version: str | None) -> list[Record]:
    """The regions that a task shows now; none if it was not to have any."""
    shown = [one["result"] for one in task["predictions"] if one["model_version"] == version]
    return shown[0] if shown and task["data"]["prelabelled"] else []
