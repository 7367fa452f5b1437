"""alloop.toml and the ALLOOP_* environment become one frozen Config; nobody else reads the environment.

An environment variable overrides the file: `ALLOOP_LEDGER__URL` stands for `url` in `[ledger]`; a list is JSON.
Paths in the file are relative to the file.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from alloop.config_faults import PREFIX, Settings, fault_sentence, json_fault, nearest
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


class Config(BaseSettings):
    """All settings of one project; `file` is the alloop.toml they came from."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
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
        written = project.get("task", Task.CLASSIFY) if isinstance(project, dict) else None
        task = project.task if isinstance(project, Project) else written
        if task not in list(LADDERS) or not isinstance(loop, dict):  # a list: what is written may have no hash
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
    settings = Settings(Config, file, os.environ)
    _refuse_unknown_variables(settings)
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}; make one with 'alloop init {file.parent}'") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); check its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}; mend that line") from error
    if "file" in tables:
        raise ConfigError(f"{file}: unknown key 'file'{nearest(('file',), settings)}")
    try:
        return Config(file=file.absolute(), **tables)
    except ValidationError as error:
        raise ConfigError(fault_sentence(error, settings)) from None  # its text holds the values, secrets too
    except SettingsError:
        raise ConfigError(json_fault(settings)) from None


def _refuse_unknown_variables(settings: Settings) -> None:
    """ConfigError for a variable such as ALLOOP_LEDGR__URL, which would change nothing."""
    for name in settings.variables:
        section, nested, _ = name.removeprefix(PREFIX).lower().partition("__")
        if nested and section not in settings.sections:
            raise ConfigError(
                f"the environment has {name}, and there is no section '{section}'{nearest((section,), settings)}"
            )
