"""The user's labelled images, made ready once for every walk of a backtest: their labels become the hidden oracle."""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from alloop.config import Config
from alloop.errors import BadLabel, BadManifest
from alloop.holdout import draw_holdout
from alloop.manifest import Row, is_remote, read_source
from alloop.nouns import Content, Progress, Sample, Split
from alloop.pool import add_to_pool
from alloop.sections import AnnotationSection, LedgerSection, ModelSection, Project
from alloop.variants import Made, Variant, write_blends, write_copies
from alloop.whole_files import write_atomically
from alloop.workers import Tick, run_all
from alloop.workspace import PoolStore, Workspace, open_workspace

__all__ = ["NAME", "LabelledPool", "PinnedConfig", "prepare_pool"]

NAME = "backtest"
"""The project's name in every ledger of a backtest."""
UNCLEAR = AnnotationSection().simulated.ambiguous
SEED = 20260101
HELD, MOST_HELD = 0.25, 2000
"""A manifest without a holdout gives this share of its images to one, and no more than so many."""
SHARD, PART = 4096, 512
MEMORY = LedgerSection(url="sqlite://")


class PinnedConfig(Config):
    """A Config made of its arguments only: a project's ALLOOP_* variables must not reach into a backtest."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


@dataclass(frozen=True)
class LabelledPool:
    """A pool whose labels are known to simulated annotators only, and a holdout that is frozen from the start.

    `folder` holds the ledger that every walk begins with, and what is known about the images that never changes.
    `left_out` counts the rows without a label, `set_aside` the images that cannot be used or are copies of others.
    """

    folder: Path
    name: str
    labels: tuple[str, ...]
    pool: int
    holdout: int
    unclear: int
    set_aside: int
    left_out: int

    @property
    def ledger(self) -> Path:
        """The ledger with all samples and without any cycle."""
        return self.folder / "ledger.db"

    @property
    def features(self) -> Path:
        """Where models find what was read from the images."""
        return self.folder / ".alloop" / "features"


def prepare_pool(
    manifest: str, out: Path, *, model: ModelSection, variant: Variant, workers: int, progress: Progress
) -> LabelledPool:
    """Make the manifest's images ready in a folder of `out` named after all that defines them; once is enough.

    Rows with the split `holdout` are the holdout; without any, whole groups are drawn once, classes in proportion.

    Raises:
        BadManifest: the manifest cannot be read, or has no labels.
        BadLabel: there are fewer than two classes.
    """
    if Path(manifest).suffix in (".json", ".yaml", ".yml"):
        raise BadManifest(
            f"{manifest} holds boxes, and a backtest is for classes; give a .csv or .parquet with uri, label"
        )
    rows = list(read_source(manifest))
    labelled = [row for row in rows if row.label]
    labels = tuple(sorted({str(row.label) for row in labelled} - {UNCLEAR}))
    if not labelled:
        raise BadManifest(f"{manifest} has no labels, and a backtest needs them; fill its column 'label'")
    if len(labels) < 2:
        raise BadLabel(f"{manifest} names the class {', '.join(labels)} only; a backtest needs two or more")
    folder = out.absolute() / f"pool-{_digest(rows, variant)}"
    ready = folder / "ready.json"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        counts = _build(labelled, labels, folder, variant=variant, progress=progress)
        name = f"{Path(manifest).absolute().parent.name}/{Path(manifest).name}"
        facts = {"name": name, "labels": labels, "left_out": len(rows) - len(labelled), **counts}
        write_atomically(ready, json.dumps(facts).encode())
    facts = json.loads(ready.read_text(encoding="utf-8"))
    found = LabelledPool(folder, **facts | {"labels": tuple(facts["labels"])})
    _read_images(found, model, workers=workers, progress=progress)
    return found


def _digest(rows: Sequence[Row], variant: Variant) -> str:
    """Sixteen characters that change when a row, a local file or the variant does."""
    digest = hashlib.sha256(json.dumps(asdict(variant), sort_keys=True).encode())
    for row in rows:
        stamp: tuple[int, ...] = ()
        if not is_remote(row.uri) and Path(row.uri).exists():
            stat = Path(row.uri).stat()
            stamp = (stat.st_size, stat.st_mtime_ns)
        digest.update(repr((row.uri, row.label, row.group, row.split.value, stamp)).encode())
    return digest.hexdigest()[:16]


def _build(
    rows: Sequence[Row], labels: tuple[str, ...], folder: Path, *, variant: Variant, progress: Progress
) -> dict[str, int]:
    """Add the originals, then what is made from those that were accepted, so that no copy of a holdout image exists."""
    config = PinnedConfig(
        file=folder / Config.name,
        project=Project(name=NAME, labels=labels),
        annotation=AnnotationSection(tool="simulated"),
    )
    with open_workspace(config) as ws:
        _add(ws, _split(rows), folder / "originals.csv", progress, known_groups=variant.known_groups)
        (folder / "images").mkdir()
        made = list(_made(ws, folder, variant, progress))
        if made:
            _add(ws, made, folder / "made.csv", progress)
        counts = ws.ledger.samples.counts()
        pool = [sample.id for shard in ws.ledger.samples.everything(shard=SHARD) for sample in shard]
        unclear = sum(truth.class_name == UNCLEAR for truth in ws.ledger.samples.truths(pool).values())
    found = {name: counts.get(name, 0) for name in ("pool", "holdout", "set_aside")}
    return {**found, "unclear": unclear}


def _split(rows: Sequence[Row]) -> list[Row]:
    """The rows with a holdout of clear images among them, the manifest's own or one drawn once."""
    clear = [row for row in rows if row.label != UNCLEAR]
    if any(row.split is Split.HOLDOUT for row in clear):
        return [row for row in rows if row.split is Split.POOL or row.label != UNCLEAR]
    samples = [Sample(row.uri, row.uri, row.group, truth=Content(row.label)) for row in clear]
    size = max(1, min(MOST_HELD, round(HELD * len(clear))))
    held = draw_holdout(samples, size, np.random.default_rng(SEED))
    return [Row(row.uri, row.label, row.group, Split.HOLDOUT if row.uri in held else Split.POOL) for row in rows]


def _made(ws: Workspace, folder: Path, variant: Variant, progress: Progress) -> Iterator[Row]:
    """The copies and blends of the accepted originals; a copy has its original's label and group, a blend is unclear."""
    pool = [sample for shard in ws.ledger.samples.everything(shard=SHARD) for sample in shard]
    truths = ws.ledger.samples.truths([sample.id for sample in pool])
    names = {key: str(truth.class_name) for key, truth in truths.items()}
    side, images = max(64, ws.config.model.image_size), folder / "images"
    total = len(pool) if variant.repeated_to is None else round(variant.repeated_to * (1 - variant.blend_share))
    copies: Iterable[Made] = ()
    if variant.repeated_to is not None:
        copies = write_copies(pool, images, total=total, seed=variant.seed, side=side, progress=progress)
    for made in copies:
        yield Row(str(made.path), names[made.origin.id], made.origin.group)
    clear = [sample for sample in pool if names[sample.id] != UNCLEAR]
    classes = [names[sample.id] for sample in clear]
    count = round(total * variant.blend_share / (1 - variant.blend_share))
    for made in write_blends(clear, classes, images, count=count, seed=variant.seed, side=side):
        yield Row(str(made.path), UNCLEAR)


def _add(ws: Workspace, rows: Sequence[Row], manifest: Path, progress: Progress, *, known_groups: bool = False) -> None:
    """Add rows by way of a manifest; with `known_groups` an image without a group becomes one of its own."""
    with manifest.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("uri", "label", "group", "split"))
        for number, row in enumerate(rows):
            group = row.group or (f"copies of {number}" if known_groups else "")
            lines.writerow((row.uri, row.label, group, row.split.value))
    add_to_pool(str(manifest), store=PoolStore(ws), labels=ws.manifest_labels, progress=progress)


def _read_images(found: LabelledPool, model: ModelSection, *, workers: int, progress: Progress) -> None:
    """Decode and embed every image once; a model of the user's own, without `prepare`, reads them when it needs them."""
    marker = found.folder / f"read-{hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:16]}"
    if marker.exists():
        return
    config = PinnedConfig(
        file=found.folder / Config.name,
        project=Project(name=NAME, labels=found.labels),
        model=model,
        annotation=AnnotationSection(tool="simulated"),
    )
    with open_workspace(config) as ws:
        shards = [*ws.ledger.samples.everything(shard=SHARD), ws.ledger.holdout.all()]
        parts = [shard[start : start + PART] for shard in shards for start in range(0, len(shard), PART)]
        tasks = [(config.model_copy(update={"ledger": MEMORY}), part) for part in parts]
        run_all(_embed, tasks, workers=workers, ticked=lambda done: progress("embedding images", done, len(tasks)))
        for reader in (ws.new_model(), ws.embedder()):
            prepare = getattr(reader, "prepare", None)
            if prepare is not None:
                prepare(shards, total=found.pool + found.holdout, progress=progress)
    marker.touch()


def _embed(task: tuple[Config, Sequence[Sample]], tick: Tick) -> None:
    """Embed a part of the images into the cache, in a process of its own: threads would wait for each other."""
    config, samples = task
    one = config.model_copy(update={"model": config.model.model_copy(update={"threads": 1})})
    with open_workspace(one) as ws:
        ws.embedder().predict(samples, embeddings=True)
    tick()
