"""Images that disappear once people have labelled them: a few are left out, and a share that is away loses nothing."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    wait_for_labels,
    walk,
)
from alloop.errors import BadImage, Transient
from alloop.ledger.label_sets import label_set_hash
from alloop.lost_images import refuse_lost_storage, without_lost
from alloop.nouns import Progress, Sample, TrainingLabel, no_progress
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, add_manifest, answer, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import LABELS, NearestCentroid, run_cycles, run_until_pushed


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """30 for the holdout, 50 for the pool; files that a test may delete."""
    digits = write_digits(tmp_path / "images")
    return for_holdout(digits[:30]) + digits[30:]


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """People have answered the second batch, which is closed: 8 + 12 labels wait for retraining."""
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as ws:
        run_until_pushed(ws)
        answer(ws, 0, truly(rows))
        walk(ws, 0, wait=False)
        answer(ws, run_until_pushed(ws), truly(rows))
        wait_for_labels(ws, 1)
        yield ws


def lose(ws: Workspace, number: int) -> list[Sample]:
    """Delete the images of some labelled samples."""
    lost = [label.sample for label in ws.ledger.labels.training_set(1).labels][:number]
    for sample in lost:
        Path(sample.uri).unlink()
    return lost


def reasons(ws: Workspace) -> dict[str, str]:
    return {refused.uri: refused.reason for refused in ws.ledger.samples.aside()}


# Training


def test_training_goes_on_without_a_labelled_image_that_is_gone(ws: Workspace) -> None:
    lost = lose(ws, 2)
    retrain(ws, 1)
    assert reasons(ws) == {
        sample.uri: "was labelled, and its image cannot be read any more; restore it and add it again"
        for sample in lost
    }
    assert ws.ledger.models.of(1)[0].labels == 18


def test_it_is_told_in_one_line(ws: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    (lost,) = lose(ws, 1)
    with caplog.at_level(logging.WARNING, "alloop"):
        retrain(ws, 1)
    (told,) = [record.getMessage() for record in caplog.records if lost.uri in record.getMessage()]
    assert told.endswith(
        f"one image of the label set cannot be read any more and left out from now on: {lost.uri}; "
        "restore and add again what is missing"
    )


def test_what_a_model_was_trained_on_is_what_its_version_says(ws: Workspace) -> None:
    lose(ws, 1)
    retrain(ws, 1)
    now = ws.ledger.labels.training_set(1)
    assert {version.label_set_hash for version in ws.ledger.models.of(1)} == {now.hash} == {label_set_hash(now.labels)}


def test_killed_between_two_trainings_it_goes_on_without_what_was_lost_since(ws: Workspace) -> None:
    program = (
        "import os, sys; from pathlib import Path; import alloop.cycle as loop\n"
        "from alloop.workspace import open_workspace\n"
        "train = loop.train\n"
        "loop.train = lambda ws, lease, number: train(ws, lease, number) if number == 0 else os.kill(os.getpid(), 9)\n"
        "with open_workspace(Path(sys.argv[1])) as ws: loop.retrain(ws, 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, ws.config.root], check=False)
    assert done.returncode == -9
    (first,) = ws.ledger.models.of(1)
    lose(ws, 1)
    retrain(ws, 1)
    assert ws.ledger.models.of(1)[0] == first
    assert [version.labels for version in ws.ledger.models.of(1)] == [20, 19]
    assert holdout_eval(ws, 1) == 1


def test_when_the_storage_is_away_nothing_is_set_aside_and_trying_again_helps(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "images").rename(tmp_path / "away")
    with pytest.raises(Transient, match=r"20 of 20 images cannot be read, such as .*: their storage seems to be away"):
        retrain(ws, 1)
    assert reasons(ws) == {}
    assert ws.ledger.models.of(1) == ()
    (tmp_path / "away").rename(tmp_path / "images")
    retrain(ws, 1)
    assert ws.ledger.models.of(1)[0].labels == 20


def test_a_restored_image_trains_again(ws: Workspace) -> None:
    (lost,) = [label.sample for label in ws.ledger.labels.training_set(1).labels][:1]
    kept = Path(lost.uri).read_bytes()
    Path(lost.uri).unlink()
    retrain(ws, 1)
    Path(lost.uri).write_bytes(kept)
    add_manifest(ws)
    assert lost.id in {label.sample.id for label in ws.ledger.labels.training_set(1).labels}


@pytest.mark.parametrize(("lost", "of", "is_away"), [(5, 100, False), (6, 100, True), (5, 5, True), (50, 1000, False)])
def test_more_than_a_few_and_more_than_a_share_is_the_storage(lost: int, of: int, is_away: bool) -> None:
    samples = [Sample(f"{number:064}", f"/{number}.png") for number in range(lost)]
    if not is_away:
        refuse_lost_storage(samples, of=of, cause=BadImage(""))
        return
    with pytest.raises(Transient, match=f"{lost} of {of} images cannot be read, such as /0.png"):
        refuse_lost_storage(samples, of=of, cause=BadImage(""))


def test_a_model_that_refuses_a_sound_image_is_not_appeased(ws: Workspace) -> None:
    def refuse() -> None:
        raise BadImage("this model wants squares; crop /a.png")

    with pytest.raises(BadImage, match="wants squares"):
        without_lost(ws, 1, refuse)
    assert reasons(ws) == {}


# Choosing


def test_the_next_batch_is_chosen_without_a_labelled_image_that_is_gone(tmp_path: Path, rows: list[Row]) -> None:
    ladder = 'ladder = ["uncertainty-coreset"]'
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as made:
        file = made.config.file
    file.write_text(file.read_text().replace('ladder = ["margin", "random"]', ladder))
    with open_workspace(file) as ws:
        run_until_pushed(ws)
        answer(ws, 0, truly(rows))
        walk(ws, 0, wait=False)
        lost = ws.ledger.labels.training_set(0).labels[0].sample
        Path(lost.uri).unlink()
        score_pool(ws, open_cycle(ws))
        diversity_select(ws, 1)
        push_to_annotation(ws, 1)
        assert list(reasons(ws)) == [lost.uri]
        assert len(ws.ledger.batches.get(1).items) == 12


# Measuring


def test_a_lost_holdout_image_is_never_left_out_by_itself(ws: Workspace) -> None:
    lost = ws.ledger.holdout.all()[0]
    retrain(ws, 1)
    Path(lost.uri).unlink()
    with pytest.raises(BadImage, match=f"'alloop pool drop --holdout {lost.uri}'"):
        holdout_eval(ws, 1)
    assert reasons(ws) == {}


def test_when_the_storage_of_the_holdout_is_away_nobody_is_told_to_drop_it(ws: Workspace, tmp_path: Path) -> None:
    retrain(ws, 1)
    (tmp_path / "images").rename(tmp_path / "away")
    with pytest.raises(Transient, match="30 of 30 images cannot be read"):
        holdout_eval(ws, 1)


def test_the_holdout_is_measured_as_ever_when_it_is_restored(ws: Workspace) -> None:
    path = Path(ws.ledger.holdout.all()[0].uri)
    path.rename(path.with_suffix(".away"))
    retrain(ws, 1)
    with pytest.raises(BadImage):
        holdout_eval(ws, 1)
    path.with_suffix(".away").rename(path)
    holdout_eval(ws, 1)
    evaluation = ws.ledger.models.evaluation("v1")
    assert evaluation is not None
    assert evaluation.samples == 30


# Folders that trainings leave


def test_what_a_killed_training_left_is_swept_by_the_next_one(ws: Workspace) -> None:
    program = (
        "import os, sys; from pathlib import Path; from alloop.training_folders import training_folder\n"
        "with training_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'best.pt').write_bytes(b'x'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, ws.config.state], check=False)
    assert len(list(ws.config.state.glob("training-*"))) == 1
    retrain(ws, 1)
    assert list(ws.config.state.glob("training-*")) == []


def test_what_a_living_process_works_in_stays(ws: Workspace) -> None:
    program = (
        "import sys; from pathlib import Path; from alloop.training_folders import training_folder\n"
        "with training_folder(Path(sys.argv[1])) as folder: print(folder, flush=True); input()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program, ws.config.state], **pipes) as other:  # type: ignore[call-overload]
        folder = Path(other.stdout.readline().strip())
        retrain(ws, 1)
        assert folder.is_dir()
        other.communicate("go on\n")
    assert not folder.exists()


class Talkative(NearestCentroid):
    """Tells of its one step."""

    def fit(self, labels: Sequence[TrainingLabel], *, progress: Progress = no_progress, **more: Any) -> Path:
        progress("train", 1, 1)
        return super().fit(labels, **more)


def talkative(_project: Any, _section: Any) -> Talkative:
    return Talkative(LABELS)


@pytest.fixture
def told(tmp_path: Path, rows: list[Row]) -> list[str]:
    """What two cycles said of their trainings."""
    found = list[str]()
    with project(tmp_path / "q", rows, model="tests.test_lost_images:talkative") as ws:
        run_cycles(ws.telling(lambda what, *_: found.append(what)), 2)
    return [what for what in found if "train" in what]


def test_progress_says_which_of_several_trainings_it_is_about(told: list[str]) -> None:
    assert [what for what in told if what.startswith("cycle 1")] == ["cycle 1: train 1 of 2", "cycle 1: train 2 of 2"]


def test_a_single_training_is_not_counted(told: list[str]) -> None:
    assert [what for what in told if what.startswith("cycle 0")] == ["cycle 0: train"]
