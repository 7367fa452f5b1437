"""The adapters that a configuration names, constructed: models, second opinions, annotation tools."""

import difflib
import importlib
from typing import TYPE_CHECKING, Any, cast

from alloop.acquisition.contract import Need
from alloop.acquisition.options import Options
from alloop.acquisition.strategies import find_strategy
from alloop.annotation.base import AnnotationTool
from alloop.clock import Clock
from alloop.config import Config
from alloop.errors import AlloopError, ConfigError
from alloop.ledger import Ledger
from alloop.models.base import MaskModel, Model
from alloop.nouns import Task
from alloop.sections import LabelStudioSection, ModelSection
from alloop.sla import Limits
from alloop.switching import Rules

if TYPE_CHECKING:
    from alloop.annotation.label_studio_client import Server

__all__ = ["anchored", "check", "label_studio_server", "make_mask_model", "make_model", "make_tool", "options_of"]

KINDS = ("classifier", "frozen", "yolo")
"""The models that alloop brings."""
COMMITTEES = ("models", "views", "sam2")
"""The second opinions that alloop brings."""


def check(config: Config) -> None:
    """Refuse names that nothing stands for, before anything is written."""
    boxes = config.project.task is not Task.CLASSIFY
    for name in config.loop.ladder:
        strategy = find_strategy(name)
        if boxes and Need.MODEL in strategy.needs and strategy.score_boxes is None:
            raise ConfigError(
                f"strategy '{name}' is for classifiers; take it out of loop.ladder, or set task to classify"
            )
    options_of(config)
    Rules(ladder=config.loop.ladder)
    Limits(config.sla.cycle_hours, config.sla.stage_hours)
    _check_kind("model", config.model.kind, KINDS)
    _check_kind("committee", config.committee.kind, COMMITTEES)
    if boxes and config.model.kind in ("classifier", "frozen"):
        raise ConfigError(
            f"a {config.model.kind} model cannot {config.project.task}; set [model] kind to yolo, "
            "or to your own 'package.module:factory'"
        )
    if not boxes and config.committee.kind != "models":
        raise ConfigError(
            f"[committee] kind '{config.committee.kind}' is for detectors; classifiers disagree with other models"
        )


def _check_kind(section: str, kind: str, known: tuple[str, ...]) -> None:
    if kind not in known and ":" not in kind:
        near = difflib.get_close_matches(kind, known, n=1)
        brought = f"use {', '.join(known)}, or your own 'package.module:factory'"
        hint = f"did you mean '{near[0]}'?" if near else brought
        raise ConfigError(f"there is no {section} '{kind}'; {hint}")


def options_of(config: Config) -> Options:
    """What `[acquisition]` changes about strategies; only a detector can see nothing at all."""
    given = config.acquisition.model_dump(exclude={"gradient_budget_s"})
    return Options(**given | ({"empty_share": None} if config.project.task is Task.CLASSIFY else {}))


def anchored(config: Config) -> ModelSection:
    """`[model]` with its files, weights and an architecture's yaml, found from the folder of alloop.toml."""
    section, found = config.model, dict[str, Any]()
    if section.weights:
        found["weights"] = config.root / section.weights
    if section.architecture.endswith((".yaml", ".yml")):
        found["architecture"] = str(config.root / section.architecture)
    return section.model_copy(update=found)


def make_model(config: Config) -> Model:
    """An untrained model as `[model]` wants it; ConfigError or MissingExtra say what it lacks."""
    section, cache = anchored(config), config.state / "features"
    if section.kind == "classifier":
        from alloop.models import classifier

        return classifier.from_config(config.project, section, cache=cache)
    if section.kind == "frozen":
        from alloop.models import frozen

        return frozen.from_config(config.project, section, cache=cache)
    if section.kind == "yolo":
        from alloop.models import yolo

        return yolo.from_config(config.project, section, cache=cache)
    return cast("Model", _made("model", section.kind, config.project, section))


def make_mask_model(config: Config) -> MaskModel:
    """The model of masks that `[committee]` names; ConfigError or MissingExtra say what it lacks."""
    section = config.committee
    if section.kind == "sam2":
        from alloop.models import sam2

        return sam2.from_config(section, config.root)
    if section.checkpoint is not None:
        section = section.model_copy(update={"checkpoint": config.root / section.checkpoint})
    return cast("MaskModel", _made("committee", section.kind, config.project, section))


def _made(what: str, kind: str, *given: Any) -> object:
    """The user's own model, from their factory at "package.module:factory"."""
    module, _, name = kind.partition(":")
    try:
        return cast("object", getattr(importlib.import_module(module), name)(*given))
    except AlloopError:
        raise
    except Exception as error:  # the user's own code may fail in any way
        told = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{what} '{kind}' cannot be made ({told}); mend it or [{what}] kind") from error


def make_tool(config: Config, ledger: Ledger, clock: Clock) -> AnnotationTool:
    """What `[annotation]` names, ready to be asked; nobody is asked yet."""
    section, project = config.annotation, config.project
    if section.tool == "simulated":
        from alloop.annotation.simulated import SimulatedAnnotators

        return SimulatedAnnotators(
            config.state / "annotators" / project.name,
            labels=project.labels,
            clock=clock,
            seed=project.seed,
            settings=section.simulated,
            truths=ledger.samples.truths,
        )
    if section.tool == "label-studio":
        return _label_studio(config, ledger, clock)
    if section.tool == "cvat":
        return _cvat(config, ledger, clock)
    from alloop.annotation.folder import FolderTool

    folder = section.folder.path if section.folder.path.is_absolute() else config.root / section.folder.path
    return FolderTool(folder, labels=project.labels, task=project.task, images=section.folder.images)


def label_studio_server(section: LabelStudioSection) -> "Server":
    """The server that `[annotation.label_studio]` names; ConfigError without a token."""
    from alloop.annotation.label_studio_client import Server

    if section.token is None:
        raise ConfigError(
            "Label Studio asks for a token; copy it from Account & Settings there into "
            "ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN"
        )
    return Server(section.url, section.token)


def _label_studio(config: Config, ledger: Ledger, clock: Clock) -> AnnotationTool:
    from alloop.annotation.form import Form
    from alloop.annotation.image_urls import local_files, reached_at, signed
    from alloop.annotation.label_studio import LabelStudioTool
    from alloop.annotation.label_studio_webhook import webhook_at

    section, project, service = config.annotation.label_studio, config.project, config.service
    server = label_studio_server(section)
    if section.images == "local-files":
        image_url = local_files(config.root / section.local_root if section.local_root else None)
    else:
        image_url = signed(project.name, service, clock)
    secret = service.webhook_secret
    return LabelStudioTool(
        server,
        section.project or project.name,
        form=Form(project.task, project.labels),
        image_url=image_url,
        size_of=ledger.samples.sizes,
        webhook=webhook_at(service.webhook_url or reached_at(service), project.name, secret) if secret else None,
    )


def _cvat(config: Config, ledger: Ledger, clock: Clock) -> AnnotationTool:
    from alloop.annotation.cvat import CvatTool, Place
    from alloop.annotation.cvat_client import Access, Server
    from alloop.annotation.form import Form
    from alloop.annotation.image_urls import signed

    section, project = config.annotation.cvat, config.project
    access = Access(section.token, section.user, section.password, section.organization)
    return CvatTool(
        Server(section.url, access),
        Place(section.project or project.name, project.name, section.job_size, section.stage),
        form=Form(project.task, project.labels),
        image_url=signed(project.name, config.service, clock, suffix=".jpg"),
        size_of=ledger.samples.sizes,
    )
