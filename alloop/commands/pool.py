"""`alloop pool add`, `alloop pool drop` and `alloop pool status`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption
from alloop.formats.kinds import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alloop.manifest import Source
    from alloop.nouns import Sample
    from alloop.sample_store import SetAside
    from alloop.sections import Project
    from alloop.workspace import Workspace

__all__ = ["pool_add", "pool_drop", "pool_status"]

SHOWN = 20
"""Refusals that are printed; all are in the ledger."""


def pool_add(
    source: Annotated[str | None, typer.Argument(help="A folder of images, or a CSV or Parquet manifest.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="What people drew: a COCO file, or a YOLO or Pascal VOC folder.")
    ] = None,
    kind: Annotated[Format | None, typer.Option("--format", help="Of --labels; without it, their names tell.")] = None,
    holdout: Annotated[
        str | None, typer.Option(help="Of --labels: the split that measures, in data.yaml or by its folder's name.")
    ] = None,
    label_studio: Annotated[
        str | None, typer.Option("--from-label-studio", help="Instead of a source: the title or id of a project there.")
    ] = None,
    config: ConfigOption = HERE,
    workers: Annotated[int, typer.Option(help="Processes that read images; 0 means one per core.")] = 0,
) -> None:
    """Add what is new; set aside what cannot be used, with a reason."""
    from alloop.progress import shown_progress
    from alloop.workspace import open_workspace

    if labels is None and (kind or holdout):
        raise typer.BadParameter("--format and --holdout are about --labels; name them too")
    if (source is None) == (label_studio is None) or (label_studio is not None and labels is not None):
        raise typer.BadParameter("name a source, perhaps with --labels, or --from-label-studio and a project")
    with shown_progress() as progress, open_workspace(config) as ws:
        if label_studio is not None:
            _move_in(ws.telling(progress), label_studio, workers=workers)
            return
        assert source is not None
        with _opened(source, labels, (kind, holdout), ws.config.project) as opened:
            _add(ws.telling(progress), opened, workers=workers, tell_labels=labels is not None)


def _add(
    ws: "Workspace", opened: "str | Source", *, workers: int, tell_labels: bool, refused: "Sequence[SetAside]" = ()
) -> None:
    """Add a source, and tell what became of it and of what was `refused` before."""
    from alloop.pool import add_to_pool
    from alloop.workspace import PoolStore

    added = add_to_pool(
        opened,
        store=PoolStore(ws),
        labels=ws.manifest_labels,
        task=ws.config.project.task,
        progress=ws.progress,
        workers=workers,
    )
    aside = sum(added.aside.values())
    print(f"{added.added} added, {added.unchanged} known, {aside + len(refused)} set aside")
    if tell_labels:
        print(f"{added.labelled} of {added.rows} have labels{', counting what is set aside' if aside else ''}")
    for refusal in (*added.examples, *refused[:SHOWN]):
        print(f"  {refusal.uri} {refusal.reason}")


def _move_in(ws: "Workspace", project: str, *, workers: int) -> None:
    from alloop.moving_in import move_in
    from alloop.workspace import PoolStore

    with move_in(ws.config, project, progress=ws.progress) as source:
        PoolStore(ws).set_aside(source.refused)
        _add(ws, source, workers=workers, tell_labels=True, refused=source.refused)


@contextmanager
def _opened(
    source: str, labels: Path | None, how: tuple[Format | None, str | None], project: "Project"
) -> "Iterator[str | Source]":
    if labels is None:
        yield source
        return
    from alloop.formats.labelled_images import Wanted, open_labels

    kind, holdout = how
    with open_labels(Wanted(source, labels, project.labels, project.task, kind, holdout)) as labelled:
        yield labelled


def pool_drop(
    uris: Annotated[list[str], typer.Argument(help="Images, named as in the manifest or by their path.")],
    holdout: Annotated[
        bool,
        typer.Option("--holdout", help="Also images of the holdout: models are compared on the rest from then on."),
    ] = False,
    config: ConfigOption = HERE,
) -> None:
    """Take images out for good: they train no more, nobody is asked about them, and 'pool add' does not bring them back."""
    from alloop.dropping import drop_samples, samples_at
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        samples = samples_at(ws, uris)
        if not holdout:
            _refuse_holdout(samples)
        done = drop_samples(ws, samples)
    print(f"{done.pool} dropped from the pool")
    if done.holdout:
        print(
            f"{done.holdout} dropped from the holdout; {done.left} images measure every model from now on, "
            f"and {done.measured_again} models were measured again on them"
        )


def _refuse_holdout(samples: "Sequence[Sample]") -> None:
    from alloop.errors import ConfigError
    from alloop.nouns import Split

    held = [sample.uri for sample in samples if sample.split is Split.HOLDOUT]
    if held:
        raise ConfigError(
            f"{len(held)} of these images are in the holdout, such as {held[0]}: without them every model is measured "
            "and compared on the rest, for good; if you mean that, say --holdout"
        )


def pool_status(config: ConfigOption = HERE) -> None:
    """Count what is in the pool, and why images were set aside."""
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        for name, count in ws.ledger.samples.counts().items():
            print(f"{name:>12} {count}")
        aside = ws.ledger.samples.aside()
        for cause, count in Counter(refused.cause for refused in aside).most_common():
            print(f"{'':>12} {count} {cause}")
    for refused in aside[:SHOWN]:
        print(f"  {refused.uri} {refused.reason}")
    if len(aside) > SHOWN:
        print(f"  and {len(aside) - SHOWN} more; 'alloop report' lists them")
