"""Backtests of a few seconds: real images, real models, the loop itself."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from alloop.arms import Arm, Terms
from alloop.backtest import Backtest, Plan, run_backtest
from alloop.backtest_report import savings_markdown, savings_table, to_json, write_json, write_page
from alloop.cli import main
from alloop.cycle import open_cycle, walk
from alloop.errors import ConfigError
from alloop.findings import find
from alloop.labelled import PinnedConfig
from alloop.nouns import Lane, Split
from alloop.pool import add_to_pool
from alloop.sections import AnnotationSection, LedgerSection, Project
from alloop.variants import Variant
from alloop.workspace import PoolStore, open_workspace

TERMS = Terms(start=8, batch=8, budget=20)
"""Three cycles, the last of which is smaller."""

NORMAL = """
[project]
name = "normal"
labels = ["0", "1", "2", "3"]
[model]
kind = "frozen"
[loop]
batch = 8
start = 8
ladder = ["margin"]
poll_s = 1e7
[switching]
rule = "off"
[promotion]
tolerance_points = 100
[annotation]
tool = "simulated"
[annotation.simulated]
error_rate = 0
pickup_hours = 0
"""


def paint_digits(folder: Path) -> Path:
    """70 digits from 0 to 3 for the pool, 30 for the holdout."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=4)
    folder.mkdir(parents=True)
    rows = ["uri,label,split"]
    for number in range(100):
        pixels = np.rint(digits.images[number] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16)).save(folder / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{digits.target[number]},{'holdout' if number % 10 >= 7 else 'pool'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_digits(tmp_path_factory.mktemp("images") / "digits")


@pytest.fixture(scope="module")
def plan(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("out")
    return Plan(manifest=str(manifest), out=out, strategies=("margin", "loop"), seeds=2, terms=TERMS, workers=1)


@pytest.fixture(scope="module")
def walked(plan: Plan) -> Backtest:
    """A backtest that nothing interrupted, in this process."""
    return run_backtest(plan)


def timeless(backtest: Backtest) -> dict[str, Any]:
    """All that must be the same when it is done again."""
    found = to_json(backtest)
    for strategy in found["strategies"].values():
        del strategy["seconds_per_selection"]
    return found


# What is walked


def test_an_arm_is_the_loop_of_a_normal_project(walked: Backtest, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_text(NORMAL)
    with open_workspace(tmp_path) as ws:
        add_to_pool(str(manifest), store=PoolStore(ws), labels=ws.manifest_labels)
        batches = []
        for size in (8, 8, 4):
            loop = ws.config.loop.model_copy(update={"batch": size})
            now = replace(ws, config=ws.config.model_copy(update={"loop": loop}))
            cycle = open_cycle(now)
            walk(now, cycle, wait=True)
            batches.append(
                [item.sample.id for item in ws.ledger.batches.get(cycle).items if item.lane is not Lane.HOLDOUT]
            )
    assert [list(point.batch) for point in walked.points[Arm("margin", 0)]] == batches


def test_random_is_always_walked_three_times_a_seed_and_its_twin_once(walked: Backtest) -> None:
    for name, runs in (("random", (0, 1, 2)), ("random-dedup", (0,))):
        found = sorted((arm.seed, arm.run) for arm in walked.points if arm.strategy == name)
        assert found == [(seed, run) for seed in (0, 1) for run in runs]


def test_all_strategies_of_a_seed_have_the_same_start(walked: Backtest) -> None:
    for seed in (0, 1):
        starts = {points[0].batch for arm, points in walked.points.items() if arm.seed == seed}
        assert len(starts) == 1


def test_seeds_start_differently(walked: Backtest) -> None:
    assert walked.points[Arm("margin", 0)][0].batch != walked.points[Arm("margin", 1)][0].batch


def test_further_runs_of_a_baseline_differ_after_the_start(walked: Backtest) -> None:
    first, second = walked.points[Arm("random", 0, 0)], walked.points[Arm("random", 0, 1)]
    assert first[0].batch == second[0].batch
    assert first[1].batch != second[1].batch


def test_the_budget_is_spent_exactly(walked: Backtest) -> None:
    for points in walked.points.values():
        assert [point.n for point in points] == [8, 16, 20]
        chosen = [key for point in points for key in point.batch]
        assert len(chosen) == len(set(chosen)) == 20


def test_the_loop_climbs_its_ladder(walked: Backtest) -> None:
    assert walked.points[Arm("loop", 0)][1].strategy == TERMS.ladder[0]


def test_the_environment_of_a_project_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALLOOP_LEDGER__URL", "sqlite:////production.db")
    config = PinnedConfig(
        file=tmp_path / "alloop.toml",
        project=Project(name="x", labels=("a", "b")),
        ledger=LedgerSection(url="sqlite://"),
    )
    assert config.ledger_url == "sqlite://"
    assert config.annotation == AnnotationSection()


# What is reported


def test_the_json_has_the_documented_format(walked: Backtest, tmp_path: Path) -> None:
    found = json.loads(write_json(walked, tmp_path / "found.json").read_text())
    assert found["dataset"] == "digits/manifest.csv"
    assert {key: found["protocol"][key] for key in ("start", "batch", "budget", "seeds")} == {
        "start": 8,
        "batch": 8,
        "budget": 20,
        "seeds": 2,
    }
    assert list(found["strategies"]) == ["random", "random-dedup", "margin", "loop"]
    for strategy in found["strategies"].values():
        for curve in strategy["curves"]:
            assert curve["n"] == [8, 16, 20]
            assert all(0 <= share <= 1 for share in curve["accuracy"] + curve["macro_recall"])
        assert [curve["seed"] for curve in strategy["curves"]][:2] == [0, 1]
        for against in ("saving_vs_random", "saving_vs_random_dedup"):
            assert list(strategy[against]) == ["50", "75", "100"]
            for saving in strategy[against].values():
                assert saving["ci95"] is None  # two seeds are too few
                assert saving["worst"] <= saving["mean"]
                assert saving["reached"] <= saving["seeds"] == 2
        assert strategy["seconds_per_selection"] > 0


def test_the_page_needs_nothing_else(walked: Backtest, tmp_path: Path) -> None:
    text = write_page(walked, tmp_path).read_text()
    assert text.startswith("<!doctype html>")
    assert "http" not in text.replace("http-equiv", "")
    assert "2 seeds are too few for an interval" in text
    assert "over 2 seeds, too few for an interval." in text
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_has_a_row_for_each_strategy(walked: Backtest) -> None:
    table = savings_table(find(walked), seeds=2)
    assert table.row_count == 4
    assert "2 seeds, too few for an interval" in str(table.caption)
    assert savings_markdown(walked).count("\n| ") == 6


# Killed, and done again


def test_a_killed_backtest_goes_on_and_comes_to_the_same(walked: Backtest, plan: Plan, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alloop", "backtest", "--manifest", plan.manifest, "--strategies", "margin,loop"]
    command += ["--seeds", "2", "--start", "8", "--batch", "8", "--budget", "20", "--workers", "2"]
    with subprocess.Popen([*command, "--out", str(tmp_path)], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(done := list((tmp_path / "arms").glob("*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
    assert 2 <= len(done) < len(plan.arms)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    stamps = {path: path.stat().st_mtime_ns for path in done}
    assert timeless(run_backtest(replace(plan, out=tmp_path))) == timeless(walked)
    assert {path: path.stat().st_mtime_ns for path in done} == stamps


def test_what_is_walked_is_not_walked_again(walked: Backtest, plan: Plan) -> None:
    told: list[str] = []
    assert run_backtest(plan, progress=lambda what, *_: told.append(what)).points == walked.points
    assert told == []


def test_two_backtests_in_one_folder_are_refused(plan: Plan, tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another backtest is at work"):
            run_backtest(replace(plan, out=tmp_path))


# Harder pools


def test_repeated_and_blended_pools_are_walked(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan(
        manifest=str(manifest),
        out=Path("relative"),
        strategies=(),
        seeds=1,
        terms=Terms(start=8, batch=12, budget=20, annotator_error=0.5),
        variant=Variant(repeated_to=200, blend_share=0.25),
        workers=1,
    )
    found = run_backtest(plan)
    assert (found.pool.pool, found.pool.holdout, found.pool.unclear) == (200, 30, 50)
    assert found.dataset == "digits/manifest.csv (repeated to 200, 25% blends)"
    last = found.points[Arm("random", 0)][-1]
    assert last.labels < last.n == 20
    assert sum(find(found)[0].unclear) > 0


def test_copies_of_one_image_share_a_group_only_when_asked(manifest: Path, tmp_path: Path) -> None:
    def groups(variant: Variant) -> set[str | None]:
        plan = Plan(
            str(manifest), tmp_path / str(variant.known_groups), (), 1, Terms(8, 8, 9), variant=variant, workers=1
        )
        ledger = LedgerSection(url=f"sqlite:///{run_backtest(plan).pool.ledger}")
        config = PinnedConfig(
            file=tmp_path / "alloop.toml",
            project=Project(name="backtest", labels=("0", "1", "2", "3")),
            ledger=ledger,
            annotation=AnnotationSection(tool="simulated"),
        )
        with open_workspace(config) as ws:
            return {sample.group for shard in ws.ledger.samples.everything(shard=500) for sample in shard}

    assert groups(Variant(repeated_to=100)) == {None}
    assert len(groups(Variant(repeated_to=100, known_groups=True))) == 70


def test_a_holdout_is_drawn_by_whole_groups_where_there_is_none(manifest: Path, tmp_path: Path) -> None:
    lines = manifest.read_text().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    rows = [f"{manifest.parent / name},{label},g{number // 4}" for number, (name, label, _) in enumerate(cells)]
    (tmp_path / "m.csv").write_text("\n".join(["uri,label,group", *rows]))
    plan = Plan(str(tmp_path / "m.csv"), tmp_path / "out", (), 1, Terms(8, 8, 9), workers=1)
    pool = run_backtest(plan).pool
    assert (pool.pool, pool.holdout) == (76, 24)
    config = PinnedConfig(
        file=pool.folder / "alloop.toml",
        project=Project(name="backtest", labels=pool.labels),
        annotation=AnnotationSection(tool="simulated"),
    )
    with open_workspace(config) as ws:
        held = {sample.group for sample in ws.ledger.holdout.all()}
        rest = {sample.group for shard in ws.ledger.samples.everything(shard=500) for sample in shard}
        assert all(sample.split is Split.HOLDOUT for sample in ws.ledger.holdout.all())
    assert not held & rest


# What bad input gets


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one sentence of `alloop backtest` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["alloop", "backtest", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("alloop: ")
    assert "Traceback" not in "".join(said)
    return said[-1]


def test_an_unknown_strategy(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--manifest", manifest, "--strategies", "margins", "--out", tmp_path / "out")
    assert "there is no strategy 'margins'; did you mean 'margin'?" in refused(monkeypatch, capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_budget_beyond_the_pool(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--manifest", manifest, "--strategies", "margin", "--out", tmp_path, "--budget", 71, "--workers", 1)
    assert "a budget of 71 is more than the pool of 70 images" in refused(monkeypatch, capsys, *arguments)


def test_a_manifest_without_labels(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.csv").write_text(f"uri\n{manifest.parent / '000.png'}\n")
    arguments = ("--manifest", tmp_path / "m.csv", "--strategies", "margin", "--out", tmp_path / "out")
    assert "has no labels" in refused(monkeypatch, capsys, *arguments)


def test_a_manifest_of_one_class(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.csv").write_text(f"uri,label\n{manifest.parent / '000.png'},0\n")
    arguments = ("--manifest", tmp_path / "m.csv", "--strategies", "margin", "--out", tmp_path / "out")
    assert "names the class 0 only" in refused(monkeypatch, capsys, *arguments)


@pytest.mark.parametrize(("numbers", "says"), [((8, 8, 8), "leaves nothing"), ((0, 8, 20), "make no backtest")])
def test_numbers_that_make_no_backtest(numbers: tuple[int, int, int], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        Plan("m.csv", tmp_path, ("margin",), 1, Terms(*numbers))


def test_what_cannot_be_used_is_left_out_and_counted(manifest: Path, tmp_path: Path) -> None:
    rows = manifest.read_text().splitlines()
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes((manifest.parent / f"{number:03d}.png").read_bytes())
    (tmp_path / "9.png").write_bytes(b"no image")
    absolute = [f"{manifest.parent}/{row}" for row in rows[1:]]
    extra = [f"{tmp_path}/0.png,{rows[1].split(',')[1]},pool", f"{tmp_path}/9.png,1,pool", f"{tmp_path}/1.png,,pool"]
    (tmp_path / "m.csv").write_text("\n".join([rows[0], *absolute, *extra]))
    plan = Plan(str(tmp_path / "m.csv"), tmp_path / "out", (), 1, Terms(8, 8, 9), workers=1)
    pool = run_backtest(plan).pool
    assert (pool.pool, pool.holdout, pool.set_aside, pool.left_out) == (70, 30, 2, 1)
