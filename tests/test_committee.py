from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from alloop.acquisition.disagreement import MEASURES
from alloop.choosing import replay_batch
from alloop.committee import committee_of, dissent
from alloop.report import write_report
from alloop.sections import CommitteeSection
from alloop.summary import summarise
from alloop.workspace import Workspace
from tests.small_project import run_cycles, small_project, write_images


@pytest.mark.parametrize("strategy", ["disagreement", "disagreement-kmeans"])
def test_the_loop_asks_a_committee_once_there_are_two_models(tmp_path: Path, strategy: str) -> None:
    more = 'seed_sd_points = 0.5\nrule = "off"\n[promotion]\ntolerance_points = 100'
    with small_project(tmp_path / "p", write_images(tmp_path / "data"), ladder=(strategy,), more=more) as ws:
        run_cycles(ws, 4)
        rows = summarise(ws).cycles
        page = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
        assert [replay_batch(ws, number) for number in range(4)] == [()] * 4
    assert [row.choosing.committee for row in rows] == [None, (), ("v1", "v0"), ("v2", "v1")]
    assert "only one model yet" in page
    assert "v2, v1" in page


class Ledger:
    """A ledger of models by cycle; the champion of `scorer` scored the pool."""

    def __init__(self, names: dict[str, str], scorer: str) -> None:
        self.models = self.steps = self
        self._versions = [Version(name, sha256) for name, sha256 in names.items()]
        self._scorer = scorer

    def of(self, cycle: int) -> tuple["Version", ...]:
        return tuple(version for version in self._versions if version.cycle == cycle)

    def get(self, name: str) -> "Version":
        return next(version for version in self._versions if version.name == name)

    def facts(self, cycle: int, step: str) -> dict[str, str]:
        return {"model_version": self._scorer}


class Version:
    """A model version as far as a committee cares."""

    def __init__(self, name: str, sha256: str) -> None:
        self.name, self.sha256, self.cycle = name, sha256, int(name[1])


@pytest.mark.parametrize(
    ("names", "scorer", "members"),
    [
        ({"v0": "a"}, "v0", []),
        ({"v0": "a", "v1": "b"}, "v1", ["v1", "v0"]),
        ({"v0": "a", "v1": "b", "v1.r1": "c", "v1.r2": "d"}, "v1", ["v1", "v1.r1", "v1.r2"]),
        ({"v0": "a", "v1": "b", "v1.r1": "b"}, "v1", ["v1", "v0"]),
        ({"v0": "a", "v1": "b", "v2": "c"}, "v0", ["v0", "v2"]),
        ({"v0": "a", "v1": "a", "v2": "a"}, "v2", []),
    ],
    ids=["alone", "the one before", "other seeds", "seeds change nothing", "a newer challenger", "all the same"],
)
def test_who_sits_in_the_committee(names: dict[str, str], scorer: str, members: list[str]) -> None:
    found = committee_of(Ledger(names, scorer), 3)  # type: ignore[arg-type]
    assert [version.name for version in found] == members


def asked(ws: Workspace, *names: str) -> np.ndarray:
    """How far the named models disagree about the holdout, (40,)."""
    samples = [answer.sample for answer in ws.ledger.holdout.frozen()[1]]
    return dissent(ws, [ws.ledger.models.get(name) for name in names], samples)


def test_every_sample_is_judged_by_every_member(tmp_path: Path) -> None:
    with small_project(tmp_path / "p", write_images(tmp_path / "data")) as ws:
        run_cycles(ws, 2)
        apart, alike = asked(ws, "v0", "v1"), asked(ws, "v1", "v1")
    assert apart.shape == (40,)
    assert len(np.unique(apart)) > 2  # in how much they say, not in votes alone
    assert not alike.any()


def test_votes_alone_count_where_the_configuration_says_so(tmp_path: Path) -> None:
    more = '[committee]\nmeasure = "vote-entropy"'
    with small_project(tmp_path / "p", write_images(tmp_path / "data"), more=more) as ws:
        run_cycles(ws, 2)
        apart = asked(ws, "v0", "v1")
    assert np.unique(apart) == pytest.approx([0, np.log(2)], abs=1e-6)


def test_the_configuration_knows_all_measures() -> None:
    assert get_args(CommitteeSection.model_fields["measure"].annotation) == tuple(MEASURES)
