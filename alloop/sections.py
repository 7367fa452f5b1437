"""The tables of alloop.toml as frozen records: every key, its default, and what it must be."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from alloop.errors import ConfigError
from alloop.nouns import Task
from alloop.working_hours import ALWAYS, parse_hours

__all__ = [
    "CONTROL",
    "LADDERS",
    "AcquisitionSection",
    "AnnotationSection",
    "AnnotatorsSection",
    "BudgetSection",
    "CommitteeSection",
    "CvatSection",
    "FolderSection",
    "LabelStudioSection",
    "LedgerSection",
    "LoopSection",
    "ModelSection",
    "NotifySection",
    "Project",
    "PromotionSection",
    "Section",
    "ServiceSection",
    "SimulatedSection",
    "SlaSection",
    "SwitchingSection",
]

YOLO = {"architecture": "yolov8n", "image_size": 640, "batch_size": 16, "mode": "warm"}
"""What `[model]` means by default when kind is yolo."""
LADDERS = {
    Task.CLASSIFY: ("auto", "badge", "uncertainty-coreset", "power-margin"),
    Task.DETECT: ("auto", "disagreement-kmeans", "uncertainty-coreset", "random"),
    Task.SEGMENT: ("auto", "disagreement-kmeans", "uncertainty-coreset", "random"),
}
"""The strategies in the order they are tried, unless `loop.ladder` names others."""
CONTROL = {Task.CLASSIFY: 0.10, Task.DETECT: 0.25, Task.SEGMENT: 0.25}
"""The random part of a batch, unless `loop.control_share` says otherwise: detectors were misled by uncertainty in 9 of 9
comparisons, so they get more of it (2026-11)."""


class Section(BaseModel):
    """A table of alloop.toml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Project(Section):
    """`[project]`: whose loop this is."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    task: Task = Task.CLASSIFY
    labels: tuple[str, ...] = Field(min_length=1)
    seed: int = 0

    @field_validator("labels")
    @classmethod
    def distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a label set that names one class twice."""
        if len(set(labels)) != len(labels):
            raise ValueError("a label stands in it twice")
        return labels


class LedgerSection(Section):
    """`[ledger]`: a SQLAlchemy URL; SQLite or Postgres. A password can be in it, so it is never shown."""

    url: str = Field(default="sqlite:///ledger.db", repr=False)


class ModelSection(Section):
    """`[model]`: which model learns, and how; some defaults depend on `kind`.

    `prelabel_confidence` is how sure a detector must be of a box to show it to annotators.
    """

    kind: str = "classifier"
    architecture: str = "small"
    backbone: str = "hog"
    weights: Path | None = None
    image_size: int = Field(default=64, ge=8, le=4096)
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    mode: Literal["scratch", "warm"] = "scratch"
    threads: int = Field(default=0, ge=0)
    device: str = "auto"
    prelabel_confidence: float = Field(default=0.25, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def by_kind(cls, given: Any) -> Any:
        """Fill in what is usual for the kind of model."""
        return YOLO | given if isinstance(given, dict) and given.get("kind") == "yolo" else given


class CommitteeSection(Section):
    """`[committee]`: whose second opinion the strategies `disagreement` ask for.

    `models`: other trained models of the registry. `views`: the same detector on the mirrored image. `sam2`: SAM-2 with
    the user's own `checkpoint` file, and `config` naming its size. Else "package.module:factory" of a MaskModel.
    """

    kind: str = "models"
    checkpoint: Path | None = None
    config: str = "configs/sam2.1/sam2.1_hiera_t.yaml"
    image_size: int = Field(default=512, ge=64, le=4096)
    propose: bool = False
    device: str = "auto"


class LoopSection(Section):
    """`[loop]`: how much is labelled per cycle, and who chooses it.

    A batch has at least `control_least` random samples, though no more than a fifth of it for that reason, and none with a
    `control_share` of 0.
    """

    batch: int = Field(default=500, ge=1)
    start: int | None = Field(default=None, ge=1)
    holdout: int = Field(default=300, ge=1)
    ladder: tuple[str, ...] = Field(default=LADDERS[Task.CLASSIFY], min_length=1)
    control_share: float = Field(default=CONTROL[Task.CLASSIFY], ge=0.0, lt=1.0)
    control_least: int = Field(default=20, ge=0)
    shard: int = Field(default=4096, ge=1)
    poll_s: float = Field(default=60.0, gt=0)

    @property
    def first_batch(self) -> int:
        """The size of the batch of cycle 0: `start`, or a normal batch."""
        return self.start or self.batch


class AcquisitionSection(Section):
    """`[acquisition]`: options on whichever strategy chooses, as `alloop.acquisition.options.Options` explains them.

    `gradient_budget_s` is the most seconds that the strategy `expected-gradient` may take for gradients in a cycle.
    `box_score`, `box_aggregate` and `empty_share` are for detectors.
    """

    one_per_group: bool = False
    duplicate_share: float | None = None
    class_weight: bool = False
    shortlist_ratio: float | None = None
    box_score: str | None = None
    box_aggregate: str | None = None
    empty_share: float = Field(default=0.2, ge=0, le=1)
    gradient_budget_s: float = Field(default=600.0, gt=0)


class SwitchingSection(Section):
    """`[switching]`: when a strategy has to go."""

    rule: Literal["evidence", "strict", "off"] = "evidence"
    threshold_points: float = 1.0
    unclear_bound: float = Field(default=0.15, gt=0, le=1)
    judged_share: float = Field(default=0.8, gt=0, le=1)
    seed_sd_points: float | None = Field(default=None, ge=0)
    replicates: int = Field(default=3, ge=1, le=20)
    on_exhausted: Literal["hold", "continue"] = "hold"


class PromotionSection(Section):
    """`[promotion]`: a challenger this much worse than the champion is kept but not promoted."""

    tolerance_points: float = Field(default=0.5, ge=0)


class SlaSection(Section):
    """`[sla]`: hours from open to decision, and per stage where named; time of day, nights and weekends included.

    With `degrade`, a batch that would miss the deadline is closed once the share `quorum` of it is answered, and the next
    one is made as small as people can answer in time.
    """

    cycle_hours: float = Field(default=48.0, gt=0)
    stage_hours: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    degrade: bool = False
    quorum: float = Field(default=0.8, gt=0, le=1)


class AnnotatorsSection(Section):
    """`[annotators]`: when people work, by the clocks of their time zone: forecasts count on them in these hours only."""

    hours: str = ALWAYS
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def understood(self) -> "AnnotatorsSection":
        """Refuse hours and time zones that mean nothing."""
        try:
            parse_hours(self.hours, self.time_zone)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self


class NotifySection(Section):
    """`[notify]`: who is told when a cycle is at risk, breached or recovered.

    Addresses carry secrets and belong into the environment: ALLOOP_NOTIFY__APPRISE, Apprise URLs with spaces between, and
    ALLOOP_NOTIFY__WEBHOOK_URL, which gets signed JSON when ALLOOP_NOTIFY__WEBHOOK_SECRET is set.
    """

    apprise: SecretStr | None = None
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    timeout_s: float = Field(default=10.0, gt=0, le=60)

    @field_validator("apprise", "webhook_url", "webhook_secret", mode="before")
    @classmethod
    def never_wrong(cls, given: Any) -> Any:
        """Take a list or a number for its text: an error about a value would show it."""
        if given is None or isinstance(given, SecretStr):
            return given
        return " ".join(map(str, given)) if isinstance(given, list) else str(given)


class BudgetSection(Section):
    """`[budget]`: where the loop ends; unset means never."""

    labels: int | None = Field(default=None, ge=1)
    annotator_hours: float | None = Field(default=None, gt=0)


class SimulatedSection(Section):
    """`[annotation.simulated]`: people made of random numbers, on a virtual clock or on the wall's."""

    annotators: int = Field(default=3, ge=1)
    error_rate: float = Field(default=0.02, ge=0, le=1)
    pickup_hours: float = Field(default=2.0, ge=0)
    seconds_per_sample: float = Field(default=60.0, gt=0)
    ambiguous: str = "unclear"
    clock: Literal["virtual", "wall"] = "virtual"


class FolderSection(Section):
    """`[annotation.folder]`: where batches are written and answers read."""

    path: Path = Path("annotation")
    images: Literal["link", "copy"] = "link"


class LabelStudioSection(Section):
    """`[annotation.label_studio]`: a Label Studio server, and the title of the project there (None: this project's name).

    The token belongs into the environment, as ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN. `images` says how browsers get them:
    `signed` URLs of `alloop serve`, or `local-files` under `local_root`, which Label Studio serves itself.
    """

    url: str = "http://127.0.0.1:8080"
    project: str | None = Field(default=None, min_length=3)
    token: SecretStr | None = None
    images: Literal["signed", "local-files"] = "signed"
    local_root: Path | None = None


class CvatSection(Section):
    """`[annotation.cvat]`: a CVAT server, and the title of the project there (None: this project's name).

    Secrets belong into the environment, as ALLOOP_ANNOTATION__CVAT__TOKEN, or ALLOOP_ANNOTATION__CVAT__PASSWORD for
    `user`. A job of `job_size` images is done when it is completed at `stage`.
    """

    url: str = "http://127.0.0.1:8080"
    project: str | None = Field(default=None, min_length=1, max_length=256)
    token: SecretStr | None = None
    user: str = ""
    password: SecretStr | None = None
    organization: str = ""
    job_size: int = Field(default=25, ge=1)
    stage: Literal["annotation", "validation", "acceptance"] = "annotation"


class AnnotationSection(Section):
    """`[annotation]`: which tool the annotators use, and how much of a batch is answered by several of them.

    A random `overlap_share` of what is to be trained on is asked of `overlap` different annotators. Boxes agree from
    `agreement` on, a mean F1 between answers: at 0.6 one missed object beside two others is agreement, and of two against
    two a single common one is not.
    """

    tool: Literal["simulated", "folder", "label-studio", "cvat"] = "folder"
    overlap_share: float = Field(default=0.0, ge=0, le=1)
    overlap: int = Field(default=2, ge=2)
    agreement: float = Field(default=0.6, gt=0, le=1)
    simulated: SimulatedSection = SimulatedSection()
    folder: FolderSection = FolderSection()
    label_studio: LabelStudioSection = LabelStudioSection()
    cvat: CvatSection = CvatSection()

    @model_validator(mode="after")
    def enough_people(self) -> "AnnotationSection":
        """Refuse to wait for people who do not exist."""
        people = self.simulated.annotators
        if self.tool == "simulated" and self.overlap_share and self.overlap > people:
            raise ValueError(
                f"overlap is {self.overlap} with {people} simulated annotators; lower it, or add annotators"
            )
        return self


class ServiceSection(Section):
    """`[service]`: where `alloop serve` and `alloop assist` listen, and how the browsers of annotators reach the images.

    `webhook_url` is where annotation tools reach it, where that is not `public_url`, such as inside a cluster.
    Secrets belong into the environment, as ALLOOP_SERVICE__WEBHOOK_SECRET, ALLOOP_SERVICE__SIGNING_KEY and
    ALLOOP_SERVICE__ASSIST_PASSWORD; what needs one that is not set is refused.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=1, le=65535)
    assist_port: int = Field(default=8091, ge=1, le=65535)
    public_url: str | None = None
    webhook_url: str | None = None
    image_days: float = Field(default=30.0, gt=0)
    webhook_secret: SecretStr | None = None
    signing_key: SecretStr | None = None
    assist_user: str = "alloop"
    assist_password: SecretStr | None = None

    @field_validator("webhook_secret", "signing_key", "assist_password", mode="before")
    @classmethod
    def never_wrong(cls, given: Any) -> Any:
        """Take a number for its digits: an error about a value would show it."""
        return given if given is None or isinstance(given, SecretStr) else str(given)
