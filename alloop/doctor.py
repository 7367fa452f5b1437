"""A look at everything the loop stands on: each finding is fine, or says what to do."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from alloop.errors import AlloopError
from alloop.images import read_image
from alloop.ledger.database import shown_url
from alloop.workspace import Workspace, open_workspace

__all__ = ["Finding", "diagnose"]

LOOKED_AT = 20
"""Images that are opened to see whether the pool is still where it was."""
FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, whether it is in order, and what was seen or is to be done."""

    what: str
    ok: bool
    says: str


def diagnose(config: Path) -> tuple[Finding, ...]:
    """Everything that can be told without changing anything; a broken configuration ends it early."""
    found = list(_packages())
    try:
        with open_workspace(config) as ws:
            found.append(Finding("configuration", True, str(ws.config.file)))
            found.append(Finding("ledger", True, f"{shown_url(ws.config.ledger_url)} is of this version"))
            looks: tuple[Callable[[Workspace], str], ...] = (_pool, _images, _model, _files, _tool, _disk)
            found += [_look(look, ws) for look in looks]
    except (AlloopError, OSError) as error:
        found.append(Finding("configuration", False, str(error)))
    return tuple(found)


def _look(look: Callable[[Workspace], str], ws: Workspace) -> Finding:
    name = look.__name__.strip("_")
    try:
        return Finding(name, True, look(ws))
    except (AlloopError, OSError) as error:
        return Finding(name, False, str(error))


def _packages() -> Iterator[Finding]:
    for name in ("alloop", "prefect", "fastapi", "torch", "scikit-learn"):
        yield Finding(f"package {name}", True, metadata.version(name))
    for name, extra in (("ultralytics", "yolo"), ("torchvision", "yolo"), ("sam2", "sam2"), ("cvat_sdk", "cvat")):
        there = importlib.util.find_spec(name) is not None
        yield Finding(f"package {name}", True, "installed" if there else f"absent; pip install 'alloop[{extra}]'")


def _pool(ws: Workspace) -> str:
    counts = ws.ledger.samples.counts()
    if not counts["samples"]:
        raise AlloopError("the pool is empty; add images with 'alloop pool add'")
    return f"{counts['samples']} samples, {counts['unlabelled']} unlabelled, {counts['set_aside']} set aside"


def _images(ws: Workspace) -> str:
    shard = next(iter(ws.ledger.samples.everything(shard=LOOKED_AT)), ())
    for sample in shard:
        read_image(sample.uri)
    return f"{len(shard)} of them open"


def _model(ws: Workspace) -> str:
    champion = ws.ledger.models.champion()
    if champion is None:
        ws.new_model()
        return f"{ws.config.model.kind}, no champion yet"
    ws.model(champion)
    return f"champion {champion.name} loads and is the file that was registered"


def _files(ws: Workspace) -> str:
    versions = [version for cycle in ws.ledger.cycles.all() for version in ws.ledger.models.of(cycle.number)]
    for version in versions:
        ws.registry.path(version.sha256)
    return f"{len(versions)} model files have the hashes that were registered"


def _tool(ws: Workspace) -> str:
    changes = ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name))
    refused = f", {len(changes.refused)} answers cannot be used: see 'alloop report'" if changes.refused else ""
    return f"{ws.tool.name} answers{refused}"


def _disk(ws: Workspace) -> str:
    free = shutil.disk_usage(ws.config.state).free
    if free < FREE_BYTES:
        raise AlloopError(f"{free >> 20} MiB are free in {ws.config.state}; make room for models and score files")
    return f"{free >> 30} GiB are free"
