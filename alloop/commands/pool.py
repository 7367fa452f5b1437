"""`alloop pool add` and `alloop pool status`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption
from alloop.formats.kinds import Format

if TYPE_CHECKING:
    from alloop.config import Project
    from alloop.manifest import Source

__all__ = ["pool_add", "pool_status"]


def pool_add(
    source: Annotated[str, typer.Argument(help="A folder of images, or a CSV or Parquet manifest.")],
    labels: Annotated[
        Path | None, typer.Option(help="What people drew: a COCO file, or a YOLO or Pascal VOC folder.")
    ] = None,
    kind: Annotated[Format | None, typer.Option("--format", help="Of --labels; without it, their names tell.")] = None,
    holdout: Annotated[
        str | None, typer.Option(help="Of --labels: the split that measures, in data.yaml or by its folder's name.")
    ] = None,
    config: ConfigOption = HERE,
    workers: Annotated[int, typer.Option(help="Processes that read images; 0 means one per core.")] = 0,
) -> None:
    """Add what is new; set aside what cannot be used, with a reason."""
    from alloop.pool import add_to_pool
    from alloop.progress import shown_progress
    from alloop.workspace import PoolStore, open_workspace

    if labels is None and (kind or holdout):
        raise typer.BadParameter("--format and --holdout are about --labels; name them too")
    with shown_progress() as progress, open_workspace(config) as ws:
        project = ws.config.project
        with _opened(source, labels, (kind, holdout), project) as opened:
            added = add_to_pool(
                opened,
                store=PoolStore(ws),
                labels=ws.manifest_labels,
                task=project.task,
                progress=progress,
                workers=workers,
            )
    print(f"{added.added} added, {added.unchanged} known, {sum(added.aside.values())} set aside")
    if labels is not None:
        print(f"{added.labelled} of {added.rows} have labels")
    for refusal in added.examples:
        print(f"  {refusal.uri} {refusal.reason}")


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


def pool_status(config: ConfigOption = HERE) -> None:
    """Count what is in the pool."""
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        for name, count in ws.ledger.samples.counts().items():
            print(f"{name:>12} {count}")
