"""Where people find the samples that they are asked about, and whether they still can."""

from pathlib import Path

from alloop.errors import LabelsPending, ToolUnavailable
from alloop.refused_words import refused_aside
from alloop.workspace import Workspace

__all__ = ["labels_pending", "refuse_lost_tasks"]


def labels_pending(ws: Workspace, cycle: int) -> LabelsPending:
    """How many answers a cycle waits for, and where they are given."""
    answered, asked = ws.ledger.labels.pending(cycle)
    return LabelsPending(
        f"{answered} of {asked} samples of cycle {cycle} are answered{refused_aside(ws)}; label the rest{_place(ws, cycle)}"
    )


def refuse_lost_tasks(ws: Workspace, cycle: int) -> None:
    """Raise ToolUnavailable when the folder with the tasks of a batch is gone: read then, its answers would count as deleted."""
    if ws.config.annotation.tool != "folder" or not ws.ledger.batches.get(cycle).items:
        return
    folder = _folder(ws, cycle)
    if not (folder / "tasks.jsonl").exists():
        raise ToolUnavailable(
            f"the tasks of cycle {cycle} are gone from {folder}; restore them, or give this batch up with "
            "'alloop cycle cancel' and be asked anew by 'alloop run'"
        )


def _place(ws: Workspace, cycle: int) -> str:
    section, name = ws.config.annotation, ws.config.project.name
    if section.tool == "folder":
        return f" in {_folder(ws, cycle)}"
    if section.tool == "label-studio":
        return f" in Label Studio at {section.label_studio.url}, project '{section.label_studio.project or name}'"
    if section.tool == "cvat":
        return f" in CVAT at {section.cvat.url}, project '{section.cvat.project or name}'"
    return ""


def _folder(ws: Workspace, cycle: int) -> Path:
    """Where the folder tool has a batch; shown from the present folder, if it lies in that."""
    folder: Path = ws.config.root / ws.config.annotation.folder.path / f"batch-{cycle:04d}"
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
