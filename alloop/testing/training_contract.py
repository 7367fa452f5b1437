"""What every model promises about its training, as tests that share as few trainings as they can."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import BadImage, BadLabel
from alloop.models.base import Model
from alloop.nouns import Floats, Predictions, Sample, TrainingLabel

__all__ = ["Fit", "TrainingContract"]


@dataclass(frozen=True)
class Fit:
    """A training, and what was to be seen around it: what it told, and what the model predicted before and after."""

    file: Path
    told: list[tuple[str, int, int]]
    before: Predictions
    after: Predictions
    generator_moved: bool


class TrainingContract:
    """Part of `ModelContract` and `DetectionContract`, which give the fixtures `labels` and `samples`."""

    seeded = True
    """False for a model whose training has nothing random, so that every seed gives the same."""

    @classmethod
    def make_trainee(cls, home: Path) -> Model:
        """The untrained model for `LABELS` whose trainings are looked at."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def home(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder for all tests of the class, because trainings take long."""
        return tmp_path_factory.mktemp("contract")

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls, home: Path, labels: list[TrainingLabel], samples: list[Sample]) -> Fit:
        """A training with seed 1."""
        model = cls.make_trainee(home)
        told: list[tuple[str, int, int]] = []
        before, state = model.predict(samples), np.random.get_state(legacy=False)  # noqa: NPY002  (must not move)
        file = model.fit(labels, parent=None, out_dir=home / "fit", seed=1, progress=lambda *news: told.append(news))
        moved = not _same_state(state, np.random.get_state(legacy=False))  # noqa: NPY002
        return Fit(file, told, before, model.predict(samples), moved)

    @pytest.fixture(scope="class")
    @classmethod
    def again(cls, home: Path, labels: list[TrainingLabel]) -> Path:
        """The file of a second training with seed 1, on the same labels in another order."""
        return cls.make_trainee(home).fit(labels[::-1], parent=None, out_dir=home / "again", seed=1)

    def test_fit_does_not_change_the_model(self, fit: Fit) -> None:
        """The champion keeps scoring while a challenger is trained."""
        np.testing.assert_array_equal(fit.before.probabilities, fit.after.probabilities)

    def test_fit_writes_one_file(self, fit: Fit) -> None:
        """In the folder that is named; nothing else is left next to it."""
        assert fit.file.parent.name == "fit"
        assert list(fit.file.parent.iterdir()) == [fit.file]

    def test_fit_tells_its_progress(self, fit: Fit) -> None:
        """What is done never exceeds what there is."""
        assert fit.told
        assert all(done <= total for _, done, total in fit.told if total)

    def test_fit_leaves_the_global_generators_alone(self, fit: Fit) -> None:
        """Whoever draws from numpy's global generator draws the same with a training in between."""
        assert not fit.generator_moved

    def test_the_same_seed_gives_the_same_model(self, home: Path, fit: Fit, again: Path, samples: list[Sample]) -> None:
        """In whatever order the labels come."""
        model = self.make_trainee(home)
        np.testing.assert_array_equal(_answers(model, fit.file, samples), _answers(model, again, samples))

    def test_another_seed_gives_another_model(
        self, home: Path, fit: Fit, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """Unless the model says that its training draws nothing (`seeded`)."""
        model = self.make_trainee(home)
        other = model.fit(labels, parent=None, out_dir=tmp_path, seed=2)
        same = np.array_equal(_answers(model, fit.file, samples), _answers(model, other, samples))
        assert same is not self.seeded

    def test_no_labels_are_refused(self, home: Path, tmp_path: Path) -> None:
        """There is nothing to learn."""
        with pytest.raises(BadLabel, match="0 labels"):
            self.make_trainee(home).fit([], parent=None, out_dir=tmp_path, seed=1)

    @pytest.mark.parametrize("raw", [b"no image", b"", None], ids=["text", "empty", "missing"])
    def test_an_image_that_fails_is_named(
        self, home: Path, labels: list[TrainingLabel], tmp_path: Path, raw: bytes | None
    ) -> None:
        """By its uri, in predict and in fit."""
        file = tmp_path / "bad.png"
        if raw is not None:
            file.write_bytes(raw)
        bad, model = replace(labels[0], sample=Sample("bad", str(file))), self.make_trainee(home)
        with pytest.raises(BadImage, match=r"bad\.png"):
            model.predict([labels[0].sample, bad.sample])
        with pytest.raises(BadImage, match=r"bad\.png"):
            model.fit([*labels, bad], parent=None, out_dir=tmp_path, seed=1)


def _answers(model: Model, file: Path, samples: Sequence[Sample]) -> Floats:
    model.load(file)
    return model.predict(samples).probabilities


def _same_state(one: object, other: object) -> bool:
    try:
        np.testing.assert_equal(one, other)
    except AssertionError:
        return False
    return True
