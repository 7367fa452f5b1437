"""`alloop export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alloop.commands.shown import HERE, ConfigOption
from alloop.formats.kinds import Target

if TYPE_CHECKING:
    from alloop.formats.placing import Item
    from alloop.nouns import TrainingLabel
    from alloop.workspace import Workspace

__all__ = ["export"]

SHOWN = 20
"""Images left out that are named."""


def export(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    target: Annotated[
        Target | None, typer.Option("--format", help="coco (usual) or yolo for boxes, csv for classes.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy local images, where links would do.")] = False,
    config: ConfigOption = HERE,
) -> None:
    """Set out the label set: what the latest cycle trained on, and the frozen holdout."""
    from alloop.errors import LabelsPending
    from alloop.formats.setting_out import HOLDOUT, TRAIN, Form, set_out
    from alloop.progress import shown_progress
    from alloop.workspace import open_workspace

    with shown_progress() as progress, open_workspace(config) as ws:
        cycles, frozen = ws.ledger.cycles.all(), ws.ledger.holdout.frozen()
        train = ws.ledger.labels.training_set(cycles[-1].number).labels if cycles else ()
        if not train and frozen is None:
            raise LabelsPending("no batch is complete yet, so there is no label set; label the first batch")
        splits = {TRAIN: _items(ws, train)} | ({HOLDOUT: _items(ws, frozen[1])} if frozen else {})
        project = ws.config.project
        form = Form(project.task, project.labels, target, "copy" if copy else "link")
        refused = set_out(splits, out, form, progress=progress)
    counts = ", ".join(f"{len(items)} in {split}" for split, items in splits.items())
    left_out = f"; {len(refused)} of them are left out:" if refused else ""
    print(f"wrote {out} as {form.chosen}: {counts}{left_out}")
    for refusal in refused[:SHOWN]:
        print(f"  {refusal.where} {refusal.reason}")


def _items(ws: "Workspace", labels: "Sequence[TrainingLabel]") -> "list[Item]":
    from alloop.formats.placing import Item

    files = ws.ledger.samples.known([label.sample.uri for label in labels])
    found = ((label, files[label.sample.uri]) for label in labels)
    return [
        Item(label.sample, label.content, file.width, file.height, file.size_bytes, file.mtime_ns)
        for label, file in found
    ]
