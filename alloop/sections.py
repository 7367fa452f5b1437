"""The tables of alloop.toml as frozen records, with every key and its default; those about the loop are next door."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from alloop.errors import ConfigError
from alloop.loop_sections import (
    CONTROL,
    LADDERS,
    AcquisitionSection,
    BudgetSection,
    LoopSection,
    PromotionSection,
    Section,
    SlaSection,
    SwitchingSection,
)
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

NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
YOLO = {"architecture": "yolov8n", "image_size": 640, "batch_size": 16, "mode": "warm"}
"""What `[model]` means by default when kind is yolo."""


class Project(Section):
    """`[project]`: whose loop this is."""

    name: str
    task: Task = Task.CLASSIFY
    labels: tuple[str, ...]
    seed: int = 0

    @field_validator("name")
    @classmethod
    def plain(cls, name: str) -> str:
        """Refuse a name that would not do for files, queues and addresses."""
        if not re.fullmatch(NAME, name):
            near = re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:63].strip("-_") or "my-project"
            raise ValueError(
                f"a name is made of up to 63 of a-z, 0-9, '-' and '_' and begins with a letter or digit; write '{near}'"
            )
        return name

    @field_validator("labels")
    @classmethod
    def distinct(cls, labels: tuple[str, ...], known: ValidationInfo) -> tuple[str, ...]:
        """Refuse a label set that names one class twice, or leaves nothing to tell apart."""
        twice = [label for label in labels if labels.count(label) > 1]
        if twice:
            raise ValueError(f"the label '{twice[0]}' stands in it twice; keep one")
        if not labels:
            raise ValueError("there is no label in it; write all classes of your images")
        if len(labels) == 1 and known.data.get("task") is Task.CLASSIFY:
            raise ValueError("classify tells labels apart, so it needs two or more; add what else an image can be")
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
    `measure` is how far classifiers disagree: in all their probabilities, or in their top classes alone.
    """

    kind: str = "models"
    measure: Literal["jensen-shannon", "vote-entropy"] = "jensen-shannon"
    checkpoint: Path | None = None
    config: str = "configs/sam2.1/sam2.1_hiera_t.yaml"
    image_size: int = Field(default=512, ge=64, le=4096)
    propose: bool = False
    device: str = "auto"


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
    `signed` URLs of `alloop serve`, or `local-files` under `local_root`, which Label Studio serves itself. `image_hosts` are
    hosts of an inner network from which images may be taken over.
    """

    url: str = "http://127.0.0.1:8080"
    project: str | None = Field(default=None, min_length=3)
    token: SecretStr | None = None
    images: Literal["signed", "local-files"] = "signed"
    local_root: Path | None = None
    image_hosts: tuple[str, ...] = ()


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
