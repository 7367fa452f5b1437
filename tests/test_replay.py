"""A batch is chosen again from what was known then, whatever has happened to its images since."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alloop.choosing import replay_batch
from alloop.cycle import diversity_select, open_cycle, score_pool
from alloop.dropping import drop_samples
from alloop.errors import BadImage
from alloop.nouns import Sample
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, add_manifest, for_holdout, project, write_digits
from tests.small_project import run_cycles

STRATEGIES = ("margin", "uncertainty-coreset", "uncertainty-kmeans")


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """30 for the holdout, 50 for the pool; files that a test may delete."""
    digits = write_digits(tmp_path / "images")
    return for_holdout(digits[:30]) + digits[30:]


@pytest.fixture(params=STRATEGIES)
def ws(tmp_path: Path, rows: list[Row], request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """The batch of cycle 1 has been chosen and answered."""
    with project(tmp_path / "p", rows) as made:
        file = made.config.file
    file.write_text(file.read_text().replace('["margin", "random"]', f'["{request.param}"]'))
    with open_workspace(file) as ws:
        run_cycles(ws, 2)
        assert ws.ledger.cycles.get(1).strategy == request.param
        yield ws


def left_in_pool(ws: Workspace) -> list[Sample]:
    return [sample for shard in ws.ledger.samples.unlabelled(shard=100) for sample in shard]


def chosen(ws: Workspace) -> list[Sample]:
    return [item.sample for item in ws.ledger.batches.get(1).items]


def test_what_was_not_chosen_then_may_be_set_aside_since(ws: Workspace) -> None:
    drop_samples(ws, left_in_pool(ws)[:5])
    assert replay_batch(ws, 1) == ()


def test_what_was_chosen_then_may_be_set_aside_since(ws: Workspace) -> None:
    drop_samples(ws, chosen(ws)[:5])
    assert replay_batch(ws, 1) == ()


def test_what_was_labelled_then_may_be_set_aside_since(ws: Workspace) -> None:
    drop_samples(ws, [label.sample for label in ws.ledger.labels.training_set(0).labels][:3])
    assert replay_batch(ws, 1) == ()


def test_what_was_set_aside_before_the_choice_stays_away_also_when_it_has_come_back(
    tmp_path: Path, rows: list[Row]
) -> None:
    with project(tmp_path / "p", rows) as ws:
        run_cycles(ws, 1)
        score_pool(ws, open_cycle(ws))
        lost = left_in_pool(ws)[:30]
        kept = {sample.uri: Path(sample.uri).read_bytes() for sample in lost}
        for uri in kept:
            Path(uri).unlink()
        add_manifest(ws)
        diversity_select(ws, 1)
        for uri, raw in kept.items():
            Path(uri).write_bytes(raw)
        add_manifest(ws)
        assert {sample.id for sample in lost} <= {sample.id for sample in left_in_pool(ws)}
        assert replay_batch(ws, 1) == ()


def test_where_scores_suffice_no_image_is_looked_at(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        run_cycles(ws, 2)
        (tmp_path / "images").rename(tmp_path / "away")
        assert replay_batch(ws, 1) == ()


def test_where_they_do_not_the_missing_image_is_named(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as made:
        file = made.config.file
    file.write_text(file.read_text().replace('["margin", "random"]', '["uncertainty-kmeans"]'))
    with open_workspace(file) as ws:
        run_cycles(ws, 2)
        lost = left_in_pool(ws)[0]
        Path(lost.uri).unlink()
        with pytest.raises(BadImage, match=f"1 images cannot be read any more, such as {lost.uri}; restore them"):
            replay_batch(ws, 1)
