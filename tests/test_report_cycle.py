"""One cycle as markdown: what an operator reads on the page of a run."""

import io
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from alloop.cycle import open_cycle
from alloop.report_cycle import BAR, cycle_markdown
from alloop.summary import summarise
from alloop.workspace import Workspace
from tests.scene_project import scene_project
from tests.small_project import run_cycles, run_until_pushed, small_project, write_images


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Two closed cycles, and a third whose batch nobody has answered yet."""
    root = tmp_path_factory.mktemp("waiting")
    with small_project(root / "project", write_images(root / "data"), more="[sla]\ncycle_hours = 2.5") as ws:
        run_cycles(ws, 2)
        run_until_pushed(ws)
        yield ws


def images(page: str) -> list[Image.Image]:
    found = re.findall(r"!\[[^]]+\]\(data:image/(?:png|jpeg);base64,([^)]+)\)", page)
    return [Image.open(io.BytesIO(b64decode(text))) for text in found]


def cells(page: str) -> dict[str, list[str]]:
    """{first cell: the others} of all rows of all tables."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_a_closed_cycle_shows_its_curve_and_its_batch(waiting: Workspace) -> None:
    curve, batch = images(cycle_markdown(waiting, 1))
    assert (curve.format, batch.format) == ("PNG", "JPEG")
    assert curve.width == batch.width == 720


def test_the_decision_stands_first_as_a_sentence(waiting: Workspace) -> None:
    decision = summarise(waiting).cycles[1].decision
    assert decision is not None
    title, reason = cycle_markdown(waiting, 1).split("\n\n")[:2]
    assert title.startswith(f"# project, cycle 1: {decision.action}")
    assert reason[-40:].rstrip(".") == decision.reason[-39:].rstrip(".")


def test_every_stage_has_its_clock_as_a_bar_of_one_length(waiting: Workspace) -> None:
    row, found = summarise(waiting).cycles[1], cells(cycle_markdown(waiting, 1))
    bars = [found[stage.step.replace("_", r"\_")][0] for stage in row.stages]
    assert len(bars) == 7
    assert {len(bar) for bar in bars} == {BAR}
    assert {*"".join(bars)} <= {"█", "░"}


def test_the_longest_bar_is_the_longest_stage(waiting: Workspace) -> None:
    row, found = summarise(waiting).cycles[1], cells(cycle_markdown(waiting, 1))
    whole = max(row.hours, row.limit_hours)
    waited = next(stage for stage in row.stages if stage.step == "wait_for_labels")
    assert found[r"wait\_for\_labels"][0].count("█") == round(BAR * waited.hours / whole) > 0
    assert found["**in all**"][0].count("█") == round(BAR * row.hours / whole)


def test_unclear_answers_and_the_control_lane_are_told(waiting: Workspace) -> None:
    found = cells(cycle_markdown(waiting, 1))
    assert "control" in found["unclear"][0]
    assert re.fullmatch(r"\d+ of \d+", found["agreed with pre-label, control lane"][0])


def test_an_open_cycle_says_what_it_waits_for(waiting: Workspace) -> None:
    page = cycle_markdown(waiting, 2)
    assert page.startswith("# project, cycle 2: waiting for labels\n")
    assert r"is at wait\_for\_labels, 0 of 12 samples are answered; there is no decision yet." in page


def test_an_open_cycle_shows_its_batch_and_no_empty_rows(waiting: Workspace) -> None:
    page = cycle_markdown(waiting, 2)
    assert len(images(page)) == 1
    assert "All 12 images. Stripes: light grey for open." in page
    rows = cells(page.split("| stage |")[0])
    assert {"strategy", "batch", "time"} <= set(rows)
    assert not {"accuracy", "lift", "model", "unclear", "labels in all"} & set(rows)


def test_a_page_is_small_enough_for_a_database(tmp_path: Path) -> None:
    with scene_project(tmp_path, count=120) as ws:
        run_cycles(ws, 2)
        page = cycle_markdown(ws, 1)
    assert "Lines: " in page
    assert len(page.encode()) < 200_000


def test_a_cycle_that_has_only_been_opened_has_a_page(tmp_path: Path) -> None:
    with small_project(tmp_path / "project", write_images(tmp_path / "data")) as ws:
        page = cycle_markdown(ws, open_cycle(ws))
    assert "cycle 0: score" in page
    assert images(page) == []
