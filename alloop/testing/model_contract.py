"""What every model promises, as tests: subclass `ModelContract` in a file that pytest collects."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alloop.errors import BadImage, BadLabel, ModelCorrupt
from alloop.models.base import GradientModel, Model
from alloop.nouns import Content, Floats, Predictions, Sample, Task, TrainingLabel

__all__ = ["LABELS", "GradientContract", "ModelContract", "make_labels"]

LABELS = ("red", "green", "blue")
"""The label set of the contract's samples: noisy images in which one colour is bright."""


def make_labels(folder: Path, count: int, *, size: int = 24) -> list[TrainingLabel]:
    """`count` labelled images under `folder`, the classes in turn; the same folder and count give the same ones."""
    return [_make_label(folder, number, size) for number in range(count)]


class ModelContract:
    """Tests that a Model must pass; a subclass fills in `make_model`, and `seeded` when training draws nothing."""

    seeded = True
    """False for a model whose training has nothing random, so that every seed gives the same."""

    def make_model(self, home: Path, labels: tuple[str, ...]) -> Model:
        """An untrained classification model for `labels` that trains within seconds; it may keep files in `home`."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        """An untrained model."""
        return self.make_model(tmp_path, LABELS)

    @pytest.fixture
    def labels(self, tmp_path: Path) -> list[TrainingLabel]:
        """Thirty labels, ten of each class."""
        return make_labels(tmp_path / "images", 30)

    @pytest.fixture
    def samples(self, labels: list[TrainingLabel]) -> list[Sample]:
        """The samples of the labels."""
        return [label.sample for label in labels]

    @pytest.fixture
    def trained(self, model: Model, labels: list[TrainingLabel], tmp_path: Path) -> Path:
        """The file of the model trained on the labels with seed 1."""
        return model.fit(labels, parent=None, out_dir=tmp_path / "trained", seed=1)

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

    def test_the_columns_follow_the_label_set(
        self, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """With the label set reversed, red is the last column."""
        model = self.make_model(tmp_path, LABELS[::-1])
        model.load(model.fit(labels, parent=None, out_dir=tmp_path / "reversed", seed=1))
        reds = model.predict(samples).probabilities[::3]
        assert np.mean(reds.argmax(axis=1) == 2) > 0.7

    def test_fit_does_not_change_the_model(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """The champion keeps scoring while a challenger is trained."""
        before = model.predict(samples).probabilities
        file = model.fit(labels, parent=None, out_dir=tmp_path / "fit", seed=1)
        assert file.parent == tmp_path / "fit"
        np.testing.assert_array_equal(model.predict(samples).probabilities, before)

    def test_fit_tells_its_progress(self, model: Model, labels: list[TrainingLabel], tmp_path: Path) -> None:
        """What is done never exceeds what there is."""
        told: list[tuple[str, int, int]] = []
        model.fit(labels, parent=None, out_dir=tmp_path, seed=1, progress=lambda *news: told.append(news))
        assert told
        assert all(done <= total for _, done, total in told if total)

    def test_the_same_seed_gives_the_same_model(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], trained: Path, tmp_path: Path
    ) -> None:
        """In whatever order the labels come."""
        again = model.fit(labels[::-1], parent=None, out_dir=tmp_path / "again", seed=1)
        np.testing.assert_array_equal(
            self._answers(trained, samples, tmp_path), self._answers(again, samples, tmp_path)
        )

    def test_another_seed_gives_another_model(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], trained: Path, tmp_path: Path
    ) -> None:
        """Unless the model says that its training draws nothing (`seeded`)."""
        other = model.fit(labels, parent=None, out_dir=tmp_path / "other", seed=2)
        same = np.array_equal(self._answers(trained, samples, tmp_path), self._answers(other, samples, tmp_path))
        assert same is not self.seeded

    def test_fit_leaves_the_global_generators_alone(
        self, model: Model, labels: list[TrainingLabel], tmp_path: Path
    ) -> None:
        """Whoever draws from numpy's global generator draws the same with a training in between."""
        before = np.random.get_state(legacy=False)  # noqa: NPY002  (the one that must not move)
        model.fit(labels, parent=None, out_dir=tmp_path, seed=1)
        np.testing.assert_equal(np.random.get_state(legacy=False), before)  # noqa: NPY002

    def test_it_can_start_from_a_parent(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], trained: Path, tmp_path: Path
    ) -> None:
        """A warm start gives a model like any other."""
        child = model.fit(labels, parent=trained, out_dir=tmp_path / "child", seed=3)
        model.load(child)
        _check(model.predict(samples, embeddings=True), samples)

    @pytest.mark.parametrize("count", [1, 2], ids=["one label", "one class missing"])
    def test_few_labels_train(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path, count: int
    ) -> None:
        """A project starts with one label, and some classes have none for long."""
        model.load(model.fit(labels[:count], parent=None, out_dir=tmp_path / "few", seed=1))
        _check(model.predict(samples, embeddings=True), samples)

    def test_one_class_trains(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """Ten labels that all say the same."""
        model.load(model.fit(labels[::3], parent=None, out_dir=tmp_path / "one", seed=1))
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

    def test_no_labels_are_refused(self, model: Model, tmp_path: Path) -> None:
        """There is nothing to learn."""
        with pytest.raises(BadLabel, match="0 labels"):
            model.fit([], parent=None, out_dir=tmp_path, seed=1)

    @pytest.mark.parametrize("raw", [b"no image", b"", None], ids=["text", "empty", "missing"])
    def test_an_image_that_fails_is_named(
        self, model: Model, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path, raw: bytes | None
    ) -> None:
        """By its uri, in predict and in fit."""
        bad = tmp_path / "bad.png"
        if raw is not None:
            bad.write_bytes(raw)
        sample = Sample("bad", str(bad))
        with pytest.raises(BadImage, match=r"bad\.png"):
            model.predict([*samples, sample])
        with pytest.raises(BadImage, match=r"bad\.png"):
            model.fit([*labels, TrainingLabel(sample, Content("red"))], parent=None, out_dir=tmp_path, seed=1)

    def test_a_file_of_another_label_set_is_refused(self, trained: Path, tmp_path: Path) -> None:
        """The same classes in another order are another label set."""
        with pytest.raises(ModelCorrupt):
            self.make_model(tmp_path, LABELS[::-1]).load(trained)

    @pytest.mark.parametrize("raw", [b"", b"not a model", b"PK\x03\x04 nor is this"], ids=["empty", "text", "zip"])
    def test_a_foreign_file_is_refused(self, model: Model, tmp_path: Path, raw: bytes) -> None:
        """And named."""
        file = tmp_path / "foreign.bin"
        file.write_bytes(raw)
        with pytest.raises(ModelCorrupt, match=r"foreign\.bin"):
            model.load(file)

    def test_a_missing_file_is_refused(self, model: Model, tmp_path: Path) -> None:
        """And named."""
        with pytest.raises(ModelCorrupt, match=r"nothing\.bin"):
            model.load(tmp_path / "nothing.bin")

    def test_half_a_file_is_refused(self, model: Model, samples: list[Sample], trained: Path, tmp_path: Path) -> None:
        """And the model goes on as it was."""
        before = model.predict(samples).probabilities
        half = tmp_path / "half.bin"
        half.write_bytes(trained.read_bytes()[: trained.stat().st_size // 2])
        with pytest.raises(ModelCorrupt):
            model.load(half)
        np.testing.assert_array_equal(model.predict(samples).probabilities, before)

    def test_code_in_a_file_is_never_run(self, model: Model, tmp_path: Path) -> None:
        """A pickle that would make a folder is refused, and no folder is made."""
        file = tmp_path / "malicious.bin"
        file.write_bytes(pickle.dumps(_Malicious(str(tmp_path / "harm"))))
        with pytest.raises(ModelCorrupt):
            model.load(file)
        assert not (tmp_path / "harm").exists()

    def _answers(self, file: Path, samples: list[Sample], home: Path) -> Floats:
        model = self.make_model(home, LABELS)
        model.load(file)
        return model.predict(samples).probabilities


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


class _Malicious:
    def __init__(self, target: str) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._target,)


def _make_label(folder: Path, number: int, size: int) -> TrainingLabel:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 90, (size, size, 3), dtype=np.uint8)
    pixels[..., number % 3] += 150
    file = folder / f"{number}.png"
    Image.fromarray(pixels).save(file)
    return TrainingLabel(Sample(f"sample-{number}", str(file)), Content(LABELS[number % 3]))


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
