"""Where people are told to label, and what is said when their tasks are gone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alloop.asking import labels_pending, refuse_lost_tasks
from alloop.config import Config
from alloop.cycle import wait_for_labels, walk
from alloop.errors import LabelsPending, ToolUnavailable
from alloop.hands_on import cancel_cycle
from alloop.sections import AnnotationSection, CvatSection, LabelStudioSection
from alloop.workspace import Workspace
from tests.loop_project import Row, answer, batch_of, for_holdout, project, without_labels, write_digits
from tests.small_project import run_until_pushed


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    digits = write_digits(tmp_path / "images")
    return for_holdout(digits[:30]) + without_labels(digits[30:])


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """Eight samples wait in a folder."""
    with project(tmp_path / "p", rows, tool="folder") as ws:
        run_until_pushed(ws)
        yield ws


def told(ws: Workspace, annotation: AnnotationSection) -> str:
    config: Config = ws.config.model_copy(update={"annotation": annotation})
    return str(labels_pending(Workspace(config, ws.ledger, ws.registry, ws.tool, ws.clock), 0))


def test_the_folder_is_named_with_its_path(ws: Workspace) -> None:
    with pytest.raises(LabelsPending) as pending:
        wait_for_labels(ws, 0)
    folder = ws.config.root / "annotation" / "batch-0000"
    assert str(pending.value) == f"0 of 8 samples of cycle 0 are answered; label the rest in {folder}"


def test_from_the_project_it_is_named_as_it_lies_there(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ws.config.root)
    assert str(labels_pending(ws, 0)).endswith("; label the rest in annotation/batch-0000")


def test_a_tool_is_named_with_its_address_and_project(ws: Workspace) -> None:
    here = LabelStudioSection(url="https://labels.example.org")
    there = CvatSection(url="https://cvat.example.org", project="Shapes")
    assert told(ws, AnnotationSection(tool="label-studio", label_studio=here)).endswith(
        "label the rest in Label Studio at https://labels.example.org, project 'p'"
    )
    assert told(ws, AnnotationSection(tool="cvat", cvat=there)).endswith(
        "label the rest in CVAT at https://cvat.example.org, project 'Shapes'"
    )


def test_simulated_annotators_are_nowhere(ws: Workspace) -> None:
    assert told(ws, AnnotationSection(tool="simulated")).endswith("; label the rest")


def test_when_the_folder_is_gone_it_is_said_and_no_answer_is_taken_back(ws: Workspace, rows: list[Row]) -> None:
    known = write_digits(ws.config.root / "known")
    names = {Path(uri).name: label for uri, label, _, _ in known}
    last = batch_of(ws, 0).items[-1].sample.id
    answer(ws, 0, lambda sample: None if sample.id == last else {"label": names[Path(sample.uri).name]})
    with pytest.raises(LabelsPending, match="7 of 8"):
        wait_for_labels(ws, 0)
    folder = ws.config.root / "annotation" / "batch-0000"
    shutil.move(folder, ws.config.root / "away")
    with pytest.raises(ToolUnavailable, match=f"the tasks of cycle 0 are gone from {folder}; restore them, or give"):
        wait_for_labels(ws, 0)
    assert ws.ledger.labels.pending(0) == (7, 8)
    shutil.move(ws.config.root / "away", folder)
    answer(ws, 0, lambda sample: {"label": names[Path(sample.uri).name]})
    assert walk(ws, 0, wait=False).cycle == 0


def test_what_is_said_then_helps(ws: Workspace) -> None:
    shutil.rmtree(ws.config.root / "annotation")
    cancel_cycle(ws)
    assert run_until_pushed(ws) == 1
    assert (ws.config.root / "annotation" / "batch-0001" / "tasks.jsonl").exists()


def test_a_batch_in_which_nobody_is_asked_needs_no_folder(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "more")
    with project(tmp_path / "q", for_holdout(digits[:30]) + digits[30:], tool="folder") as ws:
        run_until_pushed(ws)
        refuse_lost_tasks(ws, 0)
        assert batch_of(ws, 0).items == ()
