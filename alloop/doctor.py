"""A look at everything the loop stands on: each finding is fine, or says what to do."""

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from alloop.announce import channels_of
from alloop.errors import AlloopError, BadImage
from alloop.images import read_image
from alloop.ledger.database import shown_url
from alloop.nouns import Lane, Sample, Split
from alloop.plurals import counted
from alloop.reachability import api_health, clock_offsets, is_configured, knock, table_versions
from alloop.service.secrets import missing, variable
from alloop.workspace import Workspace, open_workspace

__all__ = ["Finding", "diagnose"]

AT_ONCE, OTHERS = 300, 20
"""Images that are opened of the open batch and of the holdout each, and of the rest of the pool."""
FREE_BYTES = 1 << 30
SHARD = 4096
SKEW_S = 5.0
"""Seconds that two clocks may differ: an answer's time is the tool's, and the promise about time is kept by ours."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, whether it is in order, and what was seen or is to be done."""

    what: str
    ok: bool
    says: str


def diagnose(config: Path, *, prefect_api: str | None = None) -> tuple[Finding, ...]:
    """Everything that can be told without changing the project; a broken configuration ends it early.

    `prefect_api` is the address of Prefect's API, where one is set. A service that runs is sent one hint, which it stores.
    """
    found = [*_packages(), Finding("compute", True, _compute()), _look("prefect", partial(_prefect, prefect_api))]
    try:
        with open_workspace(config) as ws:
            found.append(Finding("configuration", True, str(ws.config.file)))
            looks = (_ledger, _secrets, _pool, _images, _model, _files, _tool, _prelabels, _webhook, _disk)
            found += [_look(look.__name__.strip("_"), partial(look, ws)) for look in looks]
            found.append(_look("clocks", partial(_clocks, ws, prefect_api)))
    except (AlloopError, OSError) as error:
        found.append(Finding("configuration", False, _told(error)))
    return tuple(found)


def _look(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except (AlloopError, OSError) as error:
        return Finding(name, False, _told(error))


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}); check the path and its permissions"
    return str(error)


def _packages() -> Iterator[Finding]:
    for name in ("alloop", "prefect", "fastapi", "torch", "scikit-learn"):
        yield Finding(f"package {name}", True, metadata.version(name))
    for name, extra in (("ultralytics", "yolo"), ("torchvision", "yolo"), ("sam2", "sam2"), ("cvat_sdk", "cvat")):
        there = importlib.util.find_spec(name) is not None
        yield Finding(f"package {name}", True, "installed" if there else f"absent; pip install 'alloop[{extra}]'")


def _compute() -> str:
    import torch

    gpu = f"CUDA on {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no CUDA"
    return f"{gpu}, {counted(torch.get_num_threads(), 'thread')}"


def _prefect(api: str | None) -> str:
    """Read from the package's own words: Prefect is never imported here."""
    wanted = [Requirement(line) for line in metadata.requires("alloop") or ()]
    supported = next(line.specifier for line in wanted if line.name == "prefect")
    installed = metadata.version("prefect")
    if installed not in supported:
        raise AlloopError(
            f"{installed} is installed, and alloop works with {supported}; pip install 'prefect{supported}'"
        )
    if api is None:
        return f"{installed}; no PREFECT_API_URL is set, so a server is started when one is needed"
    return f"{installed}, {api_health(api)} answers"


def _ledger(ws: Workspace) -> str:
    there, newest = table_versions(ws.ledger.database)
    if there != newest:
        raise AlloopError(
            f"the tables are of version {there}, and this alloop's of {newest}; run the newer alloop of the two"
        )
    return f"{shown_url(ws.config.ledger_url)} is of this version, {newest}"


def _secrets(ws: Workspace) -> str:
    """What the service lacks, if there is to be one, and whom announcements reach."""
    told, section, annotation = len(channels_of(ws.config.notify)) - 1, ws.config.service, ws.config.annotation
    notified = f"announcements go to the log and {counted(told, 'other channel')}"
    if not is_configured(ws.config):
        return f"no service is configured, so none is needed; {notified}"
    signs = annotation.tool != "label-studio" or annotation.label_studio.images == "signed"
    lacking = [fault for fault in missing(section) if signs or variable("signing_key") not in fault]
    if lacking:
        raise AlloopError("; ".join(lacking))
    return f"the service's are set; {notified}"


def _pool(ws: Workspace) -> str:
    counts = ws.ledger.samples.counts()
    if not counts["samples"]:
        raise AlloopError("the pool is empty; add images with 'alloop pool add'")
    return f"{counted(counts['samples'], 'sample')}, {counts['unlabelled']} unlabelled, {counts['set_aside']} set aside"


def _images(ws: Workspace) -> str:
    """What people are asked about and what measures is opened first; of the rest others in every cycle."""
    dice = ws.dice(len(ws.ledger.cycles.all()), "doctor")
    looked = {
        "of the open batch": _some(_open_batch(ws), dice, most=AT_ONCE),
        "of the holdout": _some(_measuring(ws), dice, most=AT_ONCE),
        "others": _others(ws, dice),
    }
    lost = [(kind, fault) for kind, samples in looked.items() for fault in map(_fault_of, samples) if fault]
    if lost:
        count = Counter(kind for kind, _ in lost)
        told = ", ".join(f"{count[kind]} of {len(looked[kind])} {kind}" for kind in looked if count[kind])
        raise AlloopError(f"images do not open, {told}; the first: {lost[0][1]}")
    return f"{', '.join(f'{len(samples)} {kind}' for kind, samples in looked.items() if samples) or 'none'} open"


def _open_batch(ws: Workspace) -> list[Sample]:
    cycles = ws.ledger.cycles.all()
    if not cycles or cycles[-1].closed_at is not None:
        return []
    return [item.sample for item in ws.ledger.batches.get(cycles[-1].number).items if item.lane is not Lane.HOLDOUT]


def _measuring(ws: Workspace) -> list[Sample]:
    gone = ws.ledger.holdout.dropped()
    return [sample for sample in ws.ledger.holdout.all() if sample.id not in gone]


def _others(ws: Workspace, dice: np.random.Generator) -> list[Sample]:
    size = ws.ledger.samples.counts().get(Split.POOL, 0)
    places = set(dice.choice(size, min(OTHERS, size), replace=False).tolist())
    pool = (sample for shard in ws.ledger.samples.everything(shard=SHARD) for sample in shard)
    return [sample for place, sample in enumerate(pool) if place in places]


def _some(samples: list[Sample], dice: np.random.Generator, *, most: int) -> list[Sample]:
    return samples if len(samples) <= most else [samples[place] for place in dice.permutation(len(samples))[:most]]


def _fault_of(sample: Sample) -> BadImage | None:
    try:
        read_image(sample.uri)
    except BadImage as fault:
        return fault
    return None


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
    if len(versions) == 1:
        return "the model file has the hash that was registered"
    return f"{len(versions)} model files have the hashes that were registered"


def _tool(ws: Workspace) -> str:
    changes = ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name))
    refused = (
        f", {counted(len(changes.refused), 'answer')} cannot be used: see 'alloop report'" if changes.refused else ""
    )
    return f"{ws.tool.name} answers{refused}"


def _prelabels(ws: Workspace) -> str:
    """The model that scores is the model that pre-labels, also after somebody took an older one back."""
    champion, cycles = ws.ledger.models.champion(), ws.ledger.cycles.all()
    if champion is None or not cycles or cycles[-1].closed_at is not None:
        return "no open task shows any"
    cycle = cycles[-1].number
    waited = any(stage.step == "wait_for_labels" and stage.finished_at for stage in ws.ledger.steps.of(cycle))
    refs = ws.ledger.batches.refs(cycle)
    versions = {x.shown.model_version for x in ws.ledger.batches.get(cycle).items if x.shown and x.sample.id in refs}
    if waited or not versions:
        return "no open task shows any"
    shown = ws.ledger.interventions.shown(cycle) or ", ".join(sorted(versions))
    if shown != champion.name:
        raise AlloopError(
            f"the open tasks show those of {shown}, and the champion is {champion.name}; renew them with "
            f"'alloop model rollback {champion.name}'"
        )
    return f"the open tasks show those of the champion {champion.name}"


def _webhook(ws: Workspace) -> str:
    if not is_configured(ws.config):
        return f"no service is configured; answers are noticed every {ws.config.loop.poll_s:g} s"
    return knock(ws)


def _clocks(ws: Workspace, prefect_api: str | None) -> str:
    offsets = clock_offsets(ws, prefect_api)
    for name, seconds in offsets.items():
        if abs(seconds) > SKEW_S:
            side = "ahead of" if seconds > 0 else "behind"
            raise AlloopError(f"the clock of {name} is {abs(seconds):.0f} s {side} this machine's; set both by NTP")
    if not offsets:
        return "there is no other clock to compare this machine's with"
    return ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in offsets.items())


def _disk(ws: Workspace) -> str:
    free = shutil.disk_usage(ws.config.state).free
    if free < FREE_BYTES:
        raise AlloopError(f"{free >> 20} MiB are free in {ws.config.state}; make room for models and score files")
    return f"{free >> 30} GiB are free"
