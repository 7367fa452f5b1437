"""The ledger of one project: its verbs, sorted by what they speak of. Each verb is one transaction."""

from dataclasses import dataclass

from alloop.clock import Clock
from alloop.ledger.announcements import Announcements
from alloop.ledger.attempts import Attempts
from alloop.ledger.batches import Batches
from alloop.ledger.database import Database, open_database
from alloop.ledger.decisions import Decisions
from alloop.ledger.drifts import Drifts
from alloop.ledger.expiry import Expiry
from alloop.ledger.hints import Hints
from alloop.ledger.holdouts import Holdout
from alloop.ledger.interventions import Interventions
from alloop.ledger.labels import Labels
from alloop.ledger.models import Models
from alloop.ledger.projects import Asked, enter_project
from alloop.ledger.samples import Samples
from alloop.ledger.steps import Cycles, Steps
from alloop.nouns import Task

__all__ = ["Ledger", "open_ledger"]


@dataclass(frozen=True)
class Ledger:
    """What has happened in one project. Doing a verb twice is the same as doing it once."""

    database: Database
    samples: Samples
    holdout: Holdout
    cycles: Cycles
    steps: Steps
    batches: Batches
    labels: Labels
    models: Models
    decisions: Decisions
    hints: Hints
    attempts: Attempts
    announcements: Announcements
    expiry: Expiry
    interventions: Interventions
    drifts: Drifts

    def close(self) -> None:
        """Give the database connections back."""
        self.database.close()


def open_ledger(
    url: str, *, project: str, task: Task, labels: tuple[str, ...], clock: Clock, wall: Clock | None = None
) -> Ledger:
    """The project's ledger at `url`, made when it is new.

    Times are those of `clock`; leases run on `wall`, the time of day unless a test hands in another.
    ConfigError when the project has begun with another task or label set.
    """
    database = open_database(url)
    try:
        enter_project(database, Asked(project, task, labels), clock.now())
    except BaseException:
        database.close()
        raise
    steps = Steps(database, project, clock, wall=wall)
    return Ledger(
        database=database,
        samples=Samples(database, project, clock),
        holdout=Holdout(database, project, clock),
        cycles=Cycles(database, project, clock),
        steps=steps,
        batches=Batches(database, project, clock, steps),
        labels=Labels(database, project, clock, steps),
        models=Models(database, project, clock, steps),
        decisions=Decisions(database, project, clock, steps),
        hints=Hints(database, project, clock),
        attempts=Attempts(database, project, wall=wall),
        announcements=Announcements(database, project, clock, wall=wall),
        expiry=Expiry(database, project, clock),
        interventions=Interventions(database, project, clock, wall=wall),
        drifts=Drifts(database, project, clock),
    )
