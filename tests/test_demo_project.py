"""The project of the demo with Label Studio, before any server is started."""

import csv
import stat

import pytest

from alloop.config import load_config
from alloop.errors import ConfigError
from alloop.nouns import Split
from alloop.workspace import open_workspace
from deployments.demo_project import START, fill_pool, keys_of, make_project, truths_of
from deployments.label_studio import _is_for_it, find_program


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A demo folder with its pool."""
    folder = tmp_path_factory.mktemp("demo")
    config = make_project(folder, batch=12, poll_s=30.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN", "t" * 40)
        patch.setenv("ALLOOP_SERVICE__SIGNING_KEY", "k" * 32)
        fill_pool(config)
        yield folder


def test_people_are_left_with_most_of_the_pool(folder):
    with open_workspace(folder) as ws:
        counts = ws.ledger.samples.counts()
    assert counts[Split.HOLDOUT] == 450
    assert START - 5 <= counts[Split.POOL] - counts["unlabelled"] <= START  # five digits are there twice


def test_the_first_cycle_asks_nobody(folder):
    assert load_config(folder).loop.first_batch < START - 5


def test_whoever_simulates_knows_every_image(folder):
    with open_workspace(folder) as ws:
        uris = [one.uri for some in ws.ledger.samples.everything(shard=5000) for one in some]
    truths = truths_of(folder)
    assert {truths[uri] for uri in uris} == {*"0123456789", "unclear"}


def test_a_blend_has_no_label_for_the_loop(folder):
    with (folder / "digits" / "start.csv").open(newline="") as file:
        assert "unclear" not in {row["label"] for row in csv.DictReader(file)}


def test_a_second_start_keeps_the_settings_and_the_keys(folder):
    before = (folder / "alloop.toml").read_text(), keys_of(folder)
    make_project(folder, batch=50, poll_s=1.0)
    assert ((folder / "alloop.toml").read_text(), keys_of(folder)) == before


def test_nobody_else_can_read_the_keys(tmp_path):
    keys_of(tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out" / "keys.json").stat().st_mode) == 0o600


def test_label_studio_gets_neither_our_modules_nor_our_secrets():
    wanted = {"PATH", "LABEL_STUDIO_USER_TOKEN"}
    others = {"PYTHONPATH", "ALLOOP_SERVICE__WEBHOOK_SECRET", "PREFECT_HOME", "HOME", "DJANGO_DB"}
    assert {name for name in wanted | others if _is_for_it(name)} == wanted


def test_where_label_studio_is_missing_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOOP_LABEL_STUDIO_VENV", str(tmp_path))
    with pytest.raises(ConfigError, match="make demo-label-studio"):
        find_program()
