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
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from alloop.errors import ConfigError
from alloop.nouns import Task
from alloop.sections import (
    CONTROL,
    LADDERS,
    AcquisitionSection,
    AnnotationSection,
    AnnotatorsSection,
    BudgetSection,
    CommitteeSection,
    LedgerSection,
    LoopSection,
    ModelSection,
    NotifySection,
    Project,
    PromotionSection,
    ServiceSection,
    SlaSection,
    SwitchingSection,
)

__all__ = ["Config", "load_config"]

SHOWN = 60
"""Characters of a wrong value that its error shows."""


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
    annotators: AnnotatorsSection = AnnotatorsSection()
    notify: NotifySection = NotifySection()
    budget: BudgetSection = BudgetSection()
    committee: CommitteeSection = CommitteeSection()
    annotation: AnnotationSection = AnnotationSection()
    service: ServiceSection = ServiceSection()

    @model_validator(mode="before")
    @classmethod
    def by_task(cls, given: Any) -> Any:
        """Fill in what is usual for the task; a task that is no task is told by its own field."""
        project, loop = given.get("project"), given.get("loop", {})
        task = project.task if isinstance(project, Project) else (project or {}).get("task", Task.CLASSIFY)
        if task not in LADDERS or not isinstance(loop, dict):
            return given
        usual = {"ladder": LADDERS[Task(task)], "control_share": CONTROL[Task(task)]}
        return {**given, "loop": usual | loop}

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
