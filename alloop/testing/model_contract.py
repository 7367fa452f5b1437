"""What every classifier promises, as tests: subclass `ModelContract` in a file that pytest collects."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import BadLabel
from alloop.models.base import GradientModel, Model
from alloop.nouns import Content, Predictions, Sample, Task, TrainingLabel
from alloop.testing.made_labels import LABELS, make_labels
from alloop.testing.model_file_contract import ModelFileContract
from alloop.testing.training_contract import Fit, TrainingContract

__all__ = ["LABELS", "GradientContract", "ModelContract", "make_labels"]


class ModelContract(TrainingContract, ModelFileContract):
    """Tests that a Model must pass; a subclass fills in `make_model`, and `seeded` when training draws nothing.

    They train six times; give the class an xdist_group when tests run on several workers, for three of these are shared.
    """

    def make_model(self, home: Path, labels: tuple[str, ...]) -> Model:
        """An untrained classification model for `labels` that trains within seconds; it may keep files in `home`.

        What else it needs must lie in the class, for trainings are shared by the tests of the class.
        """
        raise NotImplementedError

    def make_hasty(self, home: Path, labels: tuple[str, ...]) -> Model:
        """The same with a shorter training, for tests in which it need not learn."""
        return self.make_model(home, labels)

    @classmethod
    def make_trainee(cls, home: Path) -> Model:
        """The model for `LABELS`."""
        return cls().make_model(home, LABELS)

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        """An untrained model."""
        return self.make_model(tmp_path, LABELS)

    @pytest.fixture(scope="class")
    @classmethod
    def labels(cls, home: Path) -> list[TrainingLabel]:
        """Thirty labels, ten of each class."""
        return make_labels(home / "images", 30)

    @pytest.fixture(scope="class")
    @classmethod
    def samples(cls, labels: list[TrainingLabel]) -> list[Sample]:
        """The samples of the labels."""
        return [label.sample for label in labels]

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, fit: Fit) -> Path:
        """The file of the model trained on the labels with seed 1."""
        return fit.file

    @pytest.fixture(scope="class")
    @classmethod
    def turned(cls, home: Path, labels: list[TrainingLabel]) -> Path:
        """The file of a model whose label set is in reverse order, trained on reds and blues only."""
        model, some = cls().make_model(home, LABELS[::-1]), [one for one in labels if one.content.class_name != "green"]
        return model.fit(some, parent=None, out_dir=home / "turned", seed=1)

    def test_it_states_its_task_and_label_set(self, model: Model) -> None:
        """Both are as the model was made."""
        assert (model.task, model.labels) == (Task.CLASSIFY, LABELS)

    def test_an_untrained_model_predicts(self, model: Model, samples: list[Sample]) -> None:
        """The first batch of a project is clustered before anything is trained."""
        _check(model.predict(samples, embeddings=True), samples)

    def test_a_trained_model_predicts(self, model: Model, samples: list[Sample], trained: Path) -> None:
        """Ids in order, float32, rows that sum to 1, finite embeddings."""
        model.load(trained)
        _check(model.predict(samples, embeddings=True), samples)

    def test_embeddings_come_when_asked(self, model: Model, samples: list[Sample], trained: Path) -> None:
        """Without them the probabilities are the same."""
        model.load(trained)
        without, with_them = model.predict(samples), model.predict(samples, embeddings=True)
        assert without.embeddings is None
        assert with_them.embeddings is not None
        np.testing.assert_allclose(without.probabilities, with_them.probabilities, atol=1e-6)

    def test_a_prediction_does_not_depend_on_its_neighbours(
        self, model: Model, samples: list[Sample], trained: Path
    ) -> None:
        """One sample alone is answered as it is among others."""
        model.load(trained)
        alone, among = model.predict(samples[7:8]), model.predict(samples)
        np.testing.assert_allclose(alone.probabilities[0], among.probabilities[7], atol=1e-4)

    def test_nothing_is_predicted_of_nothing(self, model: Model) -> None:
        """No sample gives arrays of no rows and all columns."""
        nothing = model.predict([], embeddings=True)
        assert nothing.ids == ()
        assert nothing.probabilities.shape == (0, len(LABELS))
        assert nothing.embeddings is not None
        assert nothing.embeddings.shape[0] == 0

    def test_it_learns_what_is_plain_to_see(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], trained: Path
    ) -> None:
        """Most training images get their own class: the columns are in the order of the label set."""
        model.load(trained)
        answers = [LABELS[best] for best in model.predict(samples).probabilities.argmax(axis=1)]
        assert (
            np.mean([answer == label.content.class_name for answer, label in zip(answers, labels, strict=True)]) > 0.7
        )

    def test_the_columns_follow_the_label_set(self, turned: Path, samples: list[Sample], tmp_path: Path) -> None:
        """With the label set reversed, red is the last column."""
        model = self.make_model(tmp_path, LABELS[::-1])
        model.load(turned)
        reds = model.predict(samples).probabilities[::3]
        assert np.mean(reds.argmax(axis=1) == 2) > 0.7

    def test_a_class_without_labels_has_its_column(self, turned: Path, samples: list[Sample], tmp_path: Path) -> None:
        """Some classes have no label for long; they are answered about all the same."""
        model = self.make_model(tmp_path, LABELS[::-1])
        model.load(turned)
        _check(model.predict(samples, embeddings=True), samples)

    def test_one_label_trains(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """A project starts with one."""
        hasty = self.make_hasty(tmp_path, LABELS)
        model.load(hasty.fit(labels[:1], parent=None, out_dir=tmp_path / "one", seed=1))
        _check(model.predict(samples, embeddings=True), samples)

    def test_one_class_trains_a_parent_on(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], trained: Path, tmp_path: Path
    ) -> None:
        """A warm start on ten labels that all say the same gives a model like any other."""
        hasty = self.make_hasty(tmp_path, LABELS)
        model.load(hasty.fit(labels[::3], parent=trained, out_dir=tmp_path / "child", seed=3))
        _check(model.predict(samples, embeddings=True), samples)

    def test_a_class_outside_the_label_set_is_refused(
        self, model: Model, labels: list[TrainingLabel], tmp_path: Path
    ) -> None:
        """And named."""
        labels = [*labels, replace(labels[4], content=Content("mauve"))]
        with pytest.raises(BadLabel, match="mauve"):
            model.fit(labels, parent=None, out_dir=tmp_path, seed=1)

    def test_a_label_without_a_class_is_refused(
        self, model: Model, labels: list[TrainingLabel], tmp_path: Path
    ) -> None:
        """Boxes are no answer for a classifier."""
        labels = [*labels, replace(labels[4], content=Content())]
        with pytest.raises(BadLabel):
            model.fit(labels, parent=None, out_dir=tmp_path, seed=1)


class GradientContract(ModelContract):
    """Tests that a Model must pass that gives gradients too: subclass this one then."""

    def test_every_sample_has_a_gradient(self, model: Model, samples: list[Sample], trained: Path) -> None:
        """(N,) float32, finite, at least 0, and none for nothing."""
        model.load(trained)
        assert isinstance(model, GradientModel)
        lengths = model.gradients(samples)
        assert lengths.shape == (len(samples),)
        assert lengths.dtype == np.float32
        assert np.isfinite(lengths).all()
        assert (lengths >= 0).all()
        assert model.gradients([]).shape == (0,)

    def test_gradients_change_nothing(self, model: Model, samples: list[Sample], trained: Path) -> None:
        """The model predicts as before, and taken again they are the same, whoever the neighbours are."""
        model.load(trained)
        assert isinstance(model, GradientModel)
        before, first = model.predict(samples).probabilities, model.gradients(samples)
        np.testing.assert_array_equal(model.predict(samples).probabilities, before)
        np.testing.assert_array_equal(model.gradients(samples), first)
        np.testing.assert_allclose(model.gradients(samples[3:4]), first[3:4], rtol=0.02, atol=1e-4)


def _check(predictions: Predictions, samples: list[Sample]) -> None:
    probabilities, embeddings = predictions.probabilities, predictions.embeddings
    assert predictions.ids == tuple(sample.id for sample in samples)
    assert probabilities.shape == (len(samples), len(LABELS))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert embeddings is not None
    assert (embeddings.ndim, len(embeddings)) == (2, len(samples))
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
