"""alloop.toml and the ALLOOP_* environment become one frozen Config; nobody else reads the environment.

An environment variable overrides the file: `ALLOOP_LEDGER__URL` stands for `url` in `[ledger]`; a list is JSON.
Paths in the file are relative to the file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from alloop.errors import ConfigError
from alloop.nouns import Task

__all__ = ["Config", "load_config"]

SHOWN = 60
"""Characters of a wrong value that its error shows."""


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
    """`[model]`: which model learns, and how."""

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


class LoopSection(Section):
    """`[loop]`: how much is labelled per cycle, and who chooses it."""

    batch: int = Field(default=500, ge=1)
    start: int | None = Field(default=None, ge=1)
    holdout: int = Field(default=300, ge=1)
    ladder: tuple[str, ...] = Field(default=("auto", "badge", "uncertainty-coreset", "power-margin"), min_length=1)
    control_share: float = Field(default=0.10, ge=0.0, lt=1.0)
    shard: int = Field(default=4096, ge=1)
    poll_s: float = Field(default=60.0, gt=0)

    @property
    def first_batch(self) -> int:
        """The size of the batch of cycle 0: `start`, or a normal batch."""
        return self.start or self.batch


class AcquisitionSection(Section):
    """`[acquisition]`: options on whichever strategy chooses, as `alloop.acquisition.options.Options` explains them.

    `gradient_budget_s` is the most seconds that the strategy `expected-gradient` may take for gradients in a cycle.
    """

    one_per_group: bool = False
    duplicate_share: float | None = None
    class_weight: bool = False
    shortlist_ratio: float | None = None
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
    """`[sla]`: hours from open to decision, and per stage where named."""

    cycle_hours: float = Field(default=48.0, gt=0)
    stage_hours: dict[str, float] = Field(default_factory=dict)


class BudgetSection(Section):
    """`[budget]`: where the loop ends; unset means never."""

    labels: int | None = Field(default=None, ge=1)
    annotator_hours: float | None = Field(default=None, gt=0)


class SimulatedSection(Section):
    """`[annotation.simulated]`: people made of random numbers on a virtual clock."""

    annotators: int = Field(default=3, ge=1)
    error_rate: float = Field(default=0.02, ge=0, le=1)
    pickup_hours: float = Field(default=2.0, ge=0)
    seconds_per_sample: float = Field(default=60.0, gt=0)
    ambiguous: str = "unclear"


class FolderSection(Section):
    """`[annotation.folder]`: where batches are written and answers read."""

    path: Path = Path("annotation")
    images: Literal["link", "copy"] = "link"


class AnnotationSection(Section):
    """`[annotation]`: which tool the annotators use."""

    tool: Literal["simulated", "folder"] = "folder"
    simulated: SimulatedSection = SimulatedSection()
    folder: FolderSection = FolderSection()


class Config(BaseSettings):
    """All settings of one project; `file` is the alloop.toml they came from."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="ALLOOP_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )
    name: ClassVar[str] = "alloop.toml"

    file: Path
    project: Project
    ledger: LedgerSection = LedgerSection()
    model: ModelSection = ModelSection()
    loop: LoopSection = LoopSection()
    acquisition: AcquisitionSection = AcquisitionSection()
    switching: SwitchingSection = SwitchingSection()
    promotion: PromotionSection = PromotionSection()
    sla: SlaSection = SlaSection()
    budget: BudgetSection = BudgetSection()
    annotation: AnnotationSection = AnnotationSection()

    @property
    def root(self) -> Path:
        """The folder that relative paths start from."""
        return self.file.parent

    @property
    def state(self) -> Path:
        """The folder for score files, models and evaluations."""
        return self.root / ".alloop"

    @property
    def ledger_url(self) -> str:
        """The ledger's URL with a relative SQLite path made absolute."""
        relative = re.match(r"(sqlite(?:\+\w+)?:///)(?![/:])(.+)", self.ledger.url)
        if relative is None:
            return self.ledger.url
        return relative[1] + str((self.root / relative[2]).absolute())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (env_settings, init_settings)


def load_config(path: Path) -> Config:
    """The configuration in `path` (a file, or a folder with alloop.toml in it); ConfigError names what is wrong."""
    file = path / Config.name if path.is_dir() else path
    _refuse_unknown_variables(os.environ)
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}; make one with 'alloop init {file.parent}'") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); check its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}; mend that line") from error
    if "file" in tables:
        raise ConfigError(f"{file}: unknown key 'file'{_nearest(('file',))}")
    try:
        return Config(file=file.absolute(), **tables)
    except ValidationError as error:
        raise ConfigError(f"{file}: {'; '.join(_sentences(error))}") from None  # its text holds the values, secrets too
    except SettingsError as error:
        raise ConfigError(
            f"the environment is not valid: {error}; write a list as JSON, such as ALLOOP_LOOP__LADDER='[\"margin\"]'"
        ) from None


def _refuse_unknown_variables(names: Iterable[str]) -> None:
    """ConfigError for a variable such as ALLOOP_LEDGR__URL, which would change nothing."""
    for name in names:
        section, nested, _ = name.upper().removeprefix("ALLOOP_").partition("__")
        if name.upper().startswith("ALLOOP_") and nested and section.lower() not in _sections():
            raise ConfigError(f"the environment has {name}, and there is no section{_nearest((section.lower(),))}")


def _sentences(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            yield f"unknown key '{place}'{_nearest(fault['loc'])}"
        elif fault["type"] == "missing":
            yield f"'{place}' is missing; set it"
        elif fault["type"] in ("model_type", "model_attributes_type"):
            yield f"'{place}' is a table; write [{place}] above its keys"
        elif fault["loc"][0] == "ledger":
            yield f"'{place}': {fault['msg']}"
        else:
            yield f"'{place}' is {_short(fault['input'])}: {fault['msg'].removeprefix('Value error, ')}"


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


def _sections() -> list[str]:
    return [name for name in Config.model_fields if name != "file"]


def _nearest(place: tuple[Any, ...]) -> str:
    model: type[BaseModel] = Config
    for part in place[:-1]:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    names = _sections() if model is Config else list(model.model_fields)
    near = difflib.get_close_matches(str(place[-1]), names, n=1)
    known = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
    return f"; {known}"
