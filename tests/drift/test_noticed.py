"""Who notices that the champion changed, who is told, and that it ends the same after any crash."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from alloop.commands.model import model_rollback
from alloop.cycle import (
    wait_for_labels,
)
from alloop.drift import follow_champion
from alloop.errors import LabelsPending
from alloop.hands_on import roll_back
from alloop.report import write_report
from alloop.report_cycle import cycle_markdown
from alloop.summary import summarise
from alloop.tables import stage_lines
from alloop.workspace import Workspace, open_workspace
from tests.drift.conftest import (
    AFTER_PUSH,
    OPEN,
    Made,
    copied,
    do,
    drift_of,
    fallen,
    only,
    queue,
    shown,
)
from tests.loop_project import Row, answer, batch_of

CHECKOUT = Path(__file__).parents[2]


def test_twice_is_once(ws: Workspace) -> None:
    first = roll_back(ws, "v0")
    after = queue(ws)
    assert roll_back(ws, "v0").drift == first.drift
    assert queue(ws) == after


def test_only_what_is_left_gets_its_pre_labels(ws: Workspace) -> None:
    helped = {item.sample.id for item in batch_of(ws, OPEN).items if item.shown}
    done = roll_back(ws, "v0")
    assert done.renewed == len(queue(ws) & helped)


def test_there_and_back_again_they_are_gone_all_the_same(ws: Workspace) -> None:
    drift = drift_of(ws)
    assert roll_back(ws, "v1").drift is None
    assert shown(ws) == {"v1"}
    assert not queue(ws) & set(drift.withdrawn)
    assert drift_of(ws) == drift


def test_a_champion_that_other_code_made_is_noticed_by_who_waits(ws: Workspace) -> None:
    gone = fallen(ws)
    ws.ledger.interventions.roll_back("v0", reason="by a script")
    with pytest.raises(LabelsPending, match=f"0 of {12 - len(gone)} samples"):
        wait_for_labels(ws, OPEN)
    assert not queue(ws) & gone
    assert shown(ws) == {"v0"}


def test_who_waits_renews_the_pre_labels_also_on_the_way_back(ws: Workspace) -> None:
    roll_back(ws, "v0")
    ws.ledger.interventions.roll_back("v1", reason="by a script")
    follow_champion(ws, OPEN)
    assert shown(ws) == {"v1"}


def test_while_the_champion_stays_who_waits_changes_nothing(ws: Workspace) -> None:
    folder = ws.config.root / "annotation" / f"batch-{OPEN:04d}"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    follow_champion(ws, OPEN)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert ws.ledger.drifts.of(OPEN) == ()


# What people see


def test_status_table_report_and_artifact_say_it(ws: Workspace, tmp_path: Path) -> None:
    drift = drift_of(ws)
    told = (
        "the champion changed from v1 to v0 while the batch of cycle 2 waited; scored again, "
        f"{len(drift.withdrawn)} of its 9 open samples came below a random one and went back to the pool"
    )
    assert drift.told == told
    summary = summarise(ws)
    assert f"drift     {told}" in stage_lines(summary)
    found = json.loads(json.dumps(summary.to_json()))["cycles"][OPEN]["drifts"]
    assert found == [
        {
            "from": "v1",
            "to": "v0",
            "at": drift.at.isoformat(),
            "rescored": 9,
            "reference": 68,
            "threshold": drift.threshold,
            "withdrawn": len(drift.withdrawn),
            "finished": True,
            "told": told,
        }
    ]
    sentence = f"T{told[1:]}."
    assert cycle_markdown(ws, OPEN).count(sentence) == 1
    assert write_report(ws, tmp_path / "report.html").read_text().count(sentence) == 1


def test_who_rolls_back_is_told(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    model_rollback("v0", ws.config.file)
    lines = capsys.readouterr().out.splitlines()
    [drift] = ws.ledger.drifts.of(OPEN)
    assert re.fullmatch(r"v0 is the champion; \d+ open tasks show its pre-labels", lines[0])
    assert lines[1:] == [drift.told]


# Killed

DYING = """
import importlib, os, signal, sys
from pathlib import Path
module, owner, verb, when = sys.argv[1].split(":")
owner = getattr(importlib.import_module(module), owner)
keep = getattr(owner, verb)
def die(*args, **kwargs):
    if when == "after":
        keep(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, verb, die)
from alloop.commands.model import model_rollback
model_rollback("v0", Path(sys.argv[2]))
"""
MOMENTS = [
    "alloop.ledger.interventions:Interventions:roll_back:after",
    "alloop.ledger.drifts:Drifts:note:before",
    "alloop.ledger.drifts:Drifts:note:after",
    "alloop.annotation.folder:FolderTool:withdraw:after",
    "alloop.ledger.drifts:Drifts:finish:before",
    "alloop.ledger.drifts:Drifts:finish:after",
    "alloop.annotation.folder:FolderTool:publish_model:after",
]


def ended(ws: Workspace, rows: Sequence[Row]) -> tuple:
    """What became of the batch, after people have answered what they are asked."""
    asked, prelabels = queue(ws), shown(ws)
    answer(ws, OPEN, only(rows, asked))
    do(ws, OPEN, *AFTER_PUSH)
    [drift] = ws.ledger.drifts.of(OPEN)
    found = drift.rescored, drift.reference, drift.threshold, drift.withdrawn, drift.finished_at is not None
    trained = ws.ledger.labels.training_set(OPEN).hash
    return found, asked, prelabels, ws.ledger.batches.outcomes(OPEN), trained, ws.ledger.decisions.all()


@pytest.fixture(scope="module")
def undisturbed(made: Made, rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """How it ends when nobody is killed."""
    with copied(made, tmp_path_factory.mktemp("undisturbed") / "p") as ws:
        roll_back(ws, "v0")
        return ended(ws, rows)


def by_hand(ws: Workspace) -> None:
    roll_back(ws, "v0")


def by_waiting(ws: Workspace) -> None:
    with pytest.raises(LabelsPending):
        wait_for_labels(ws, OPEN)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_and_gone_on_it_ends_the_same(
    made: Made, rows: list[Row], undisturbed: tuple, moment: str, tmp_path: Path
) -> None:
    shutil.copytree(made(), tmp_path / "p")
    command = [sys.executable, "-c", DYING, moment, str(tmp_path / "p" / "alloop.toml")]
    assert subprocess.run(command, check=False, cwd=CHECKOUT).returncode == -signal.SIGKILL
    for go_on in (by_hand, by_waiting):
        shutil.copytree(tmp_path / "p", tmp_path / go_on.__name__)
        with open_workspace(tmp_path / go_on.__name__) as ws:
            go_on(ws)
            assert ended(ws, rows) == undisturbed
