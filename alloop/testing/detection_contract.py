"""What every detector and segmenter promises, as tests: subclass `DetectionContract` in a file that pytest collects."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from alloop.errors import BadLabel
from alloop.models.base import DetectionModel
from alloop.nouns import Box, Content, Detections, Floats, Predictions, Sample, Task, TrainingLabel
from alloop.testing.made_labels import LABELS, SIDE, make_scene, make_scenes
from alloop.testing.model_file_contract import ModelFileContract
from alloop.testing.training_contract import Fit, TrainingContract

__all__ = ["LABELS", "DetectionContract", "make_scene", "make_scenes", "recall"]

TURNED = 6
"""EXIF 2.32, table 6: the first row is the right side, so that an upright viewer turns the picture by 90 degrees."""
NEAR = 0.5


class DetectionContract(TrainingContract, ModelFileContract):
    """Tests that a DetectionModel must pass; a subclass fills in `make_model`, `make_hasty` and `task`.

    Both are class methods, because what a training gave is shared by the tests of a class: they train five times, once
    at length. Give the class an xdist_group when tests run on several workers.
    """

    task = Task.DETECT
    found = 0.5
    """The least share of plain rectangles that a trained model finds."""

    @classmethod
    def make_model(cls, home: Path, labels: tuple[str, ...]) -> DetectionModel:
        """An untrained model that learns 40 scenes of 64 px within half a minute; it may keep files in `home`."""
        raise NotImplementedError

    @classmethod
    def make_hasty(cls, home: Path, labels: tuple[str, ...]) -> DetectionModel:
        """The same network with a training of a few seconds; it need not learn."""
        return cls.make_model(home, labels)

    @classmethod
    def make_trainee(cls, home: Path) -> DetectionModel:
        """The hasty one for `LABELS`."""
        return cls.make_hasty(home, LABELS)

    @pytest.fixture(scope="class")
    @classmethod
    def labels(cls, home: Path) -> list[TrainingLabel]:
        """Forty scenes; one of them is empty."""
        return [*make_scenes(home / "train", 39), make_scene(home / "train", 39, objects=0)]

    @pytest.fixture(scope="class")
    @classmethod
    def scenes(cls, home: Path) -> list[TrainingLabel]:
        """Eighteen scenes that nothing was trained on: two more than a usual batch."""
        return make_scenes(home / "test", 18, start=1000)

    @pytest.fixture(scope="class")
    @classmethod
    def samples(cls, scenes: list[TrainingLabel]) -> list[Sample]:
        """The samples of the scenes."""
        return [scene.sample for scene in scenes]

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, home: Path, labels: list[TrainingLabel]) -> Path:
        """The file of a model that has learned the labels."""
        return cls.make_model(home, LABELS).fit(labels, parent=None, out_dir=home / "trained", seed=1)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, home: Path, trained: Path) -> DetectionModel:
        """A trained model, which every test leaves as it is."""
        model = cls.make_model(home, LABELS)
        model.load(trained)
        return model

    def test_it_states_its_task_and_label_set(self, home: Path) -> None:
        """Both are as the model was made."""
        model = self.make_hasty(home, LABELS)
        assert (model.task, model.labels) == (self.task, LABELS)

    def test_an_untrained_model_predicts(self, home: Path, samples: list[Sample]) -> None:
        """The first batch of a project is clustered before anything is trained."""
        self._check(self.make_hasty(home, LABELS).predict(samples, embeddings=True), samples)

    def test_a_trained_model_predicts(self, model: DetectionModel, samples: list[Sample]) -> None:
        """Boxes in the image, the surest first, scores of all classes, and the highest score anywhere."""
        self._check(model.predict(samples, embeddings=True), samples)

    def test_it_finds_what_is_plain_to_see(self, model: DetectionModel, scenes: list[TrainingLabel]) -> None:
        """Rectangles of three colours, each as its own class: the columns are in the order of the label set."""
        seen = model.predict([scene.sample for scene in scenes])
        assert recall(seen.detections, scenes, labels=LABELS) >= self.found

    def test_embeddings_come_when_asked(self, model: DetectionModel, samples: list[Sample]) -> None:
        """Without them the boxes are the same."""
        without, with_them = model.predict(samples), model.predict(samples, embeddings=True)
        assert without.embeddings is None
        assert with_them.embeddings is not None
        for one, other in zip(without.detections, with_them.detections, strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)

    def test_a_prediction_does_not_depend_on_its_neighbours(self, model: DetectionModel, samples: list[Sample]) -> None:
        """One sample alone is answered as it is among others."""
        alone, among = model.predict(samples[7:8], embeddings=True), model.predict(samples, embeddings=True)
        np.testing.assert_allclose(alone.probabilities[0], among.probabilities[7], atol=1e-4)
        assert alone.embeddings is not None
        assert among.embeddings is not None
        np.testing.assert_allclose(alone.embeddings[0], among.embeddings[7], atol=1e-4)
        np.testing.assert_allclose(alone.detections[0].boxes, among.detections[7].boxes, atol=1e-2)
        np.testing.assert_allclose(alone.detections[0].class_scores, among.detections[7].class_scores, atol=1e-4)

    def test_nothing_is_predicted_of_nothing(self, model: DetectionModel) -> None:
        """No sample gives arrays of no rows and all columns."""
        nothing = model.predict([], embeddings=True)
        assert (nothing.ids, nothing.detections) == ((), ())
        assert nothing.probabilities.shape == (0, len(LABELS))
        assert nothing.embeddings is not None
        assert nothing.embeddings.shape[0] == 0

    def test_a_higher_floor_keeps_the_surer_boxes(self, model: DetectionModel, samples: list[Sample]) -> None:
        """And leaves what is said about the whole image as it is."""
        low, high = model.predict(samples, floor=0.05), model.predict(samples, floor=0.4)
        np.testing.assert_array_equal(low.probabilities, high.probabilities)
        for many, few in zip(low.detections, high.detections, strict=True):
            assert many.best == few.best
            np.testing.assert_array_equal(few.boxes, many.boxes[many.confidence >= 0.4])

    def test_boxes_are_in_pixels_of_the_original(
        self, model: DetectionModel, samples: list[Sample], tmp_path: Path
    ) -> None:
        """The same picture three times as large has boxes three times as large."""
        small = [Sample(sample.id, sample.uri) for sample in samples[:6]]
        large = [_rewritten(one, tmp_path, lambda image: image.resize((3 * SIDE, 3 * SIDE), 0)) for one in small]
        for one, other in _surest(model.predict(small), model.predict(large)):
            assert _overlap(one * 3, other) > 0.75

    def test_an_image_that_is_not_square_keeps_its_boxes(
        self, model: DetectionModel, samples: list[Sample], tmp_path: Path
    ) -> None:
        """With black added below, boxes stay where they are."""
        tall = [
            _rewritten(sample, tmp_path, lambda image: ImageOps.pad(image, (SIDE, SIDE + 32), centering=(0, 0)))
            for sample in samples[:6]
        ]
        pairs = list(_surest(model.predict(samples[:6]), model.predict(tall)))
        assert np.mean([_overlap(one, other) > NEAR for one, other in pairs]) > NEAR

    def test_a_turned_image_is_seen_upright(self, model: DetectionModel, samples: list[Sample], tmp_path: Path) -> None:
        """Cameras store pictures sideways and say so in EXIF; boxes are in pixels of the upright picture."""
        exif = Image.Exif()
        exif[0x0112] = TURNED
        turned = [
            _rewritten(sample, tmp_path, lambda image: image.transpose(Image.Transpose.ROTATE_90), exif=exif)
            for sample in samples
        ]
        one, other = model.predict(samples), model.predict(turned)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        for here, there in zip(one.detections, other.detections, strict=True):
            np.testing.assert_allclose(here.boxes, there.boxes, atol=1e-2)

    def test_a_mirrored_view_has_its_boxes_mapped_back(
        self, model: DetectionModel, samples: list[Sample], tmp_path: Path
    ) -> None:
        """It is the prediction of the flipped picture, with left and right exchanged."""
        flipped = [_rewritten(sample, tmp_path, ImageOps.mirror) for sample in samples]
        one, other = model.predict_mirrored(samples), model.predict(flipped)
        self._check(one, samples)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        for here, there in zip(one.detections, other.detections, strict=True):
            back = there.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [SIDE, 0, SIDE, 0]
            np.testing.assert_allclose(here.boxes, back, atol=0.05)

    def test_at_its_end_a_training_tells_that_all_is_done(self, fit: Fit) -> None:
        """Whoever waits for hours wants to see the bar full."""
        assert fit.told[-1][1] == fit.told[-1][2]

    def test_one_background_trains_a_parent_on(
        self, home: Path, trained: Path, labels: list[TrainingLabel], samples: list[Sample], tmp_path: Path
    ) -> None:
        """A warm start on a single image in which there is nothing gives a model like any other."""
        model = self.make_hasty(home, LABELS)
        model.load(model.fit(labels[-1:], parent=trained, out_dir=tmp_path, seed=3))
        self._check(model.predict(samples, embeddings=True), samples)

    @pytest.mark.parametrize(
        "content",
        [Content(boxes=(Box("mauve", 1, 1, 9, 9),)), Content("red"), Content(boxes=(Box("red", 70, 1, 90, 9),))],
        ids=["a class outside the label set", "a class without boxes", "a box outside the image"],
    )
    def test_a_label_that_fits_not_is_refused(
        self, home: Path, labels: list[TrainingLabel], tmp_path: Path, content: Content
    ) -> None:
        """And its image is named."""
        wrong = [*labels[:3], replace(labels[4], content=content)]
        with pytest.raises(BadLabel, match=r"4\.png"):
            self.make_hasty(home, LABELS).fit(wrong, parent=None, out_dir=tmp_path, seed=1)

    def _check(self, predictions: Predictions, samples: Sequence[Sample]) -> None:
        """What holds for every prediction of pictures of 64 x 64 pixels with a floor of 0.05."""
        probabilities = predictions.probabilities
        assert predictions.ids == tuple(sample.id for sample in samples)
        assert len(predictions.detections) == len(samples)
        assert _is_float32(probabilities, (len(samples), len(LABELS)))
        assert predictions.embeddings is None or np.isfinite(predictions.embeddings).all()
        for row, seen in zip(probabilities, predictions.detections, strict=True):
            self._check_one(row, seen)

    def _check_one(self, highest: Floats, seen: Detections) -> None:
        assert _is_float32(seen.boxes, (len(seen), 4))
        assert _is_float32(seen.class_scores, (len(seen), len(LABELS)))
        assert ((seen.boxes >= 0) & (seen.boxes <= SIDE)).all()
        assert (seen.boxes[:, 2:] > seen.boxes[:, :2]).all()
        assert (np.diff(seen.confidence) <= 0).all()
        assert (seen.confidence >= 0.05).all()
        assert ((highest >= 0) & (highest <= 1)).all()
        assert (seen.class_scores <= highest + 1e-6).all()
        assert seen.best == pytest.approx(float(highest.max()))
        if self.task is Task.SEGMENT:
            _check_outlines(seen)


def recall(detections: Sequence[Detections], truth: Sequence[TrainingLabel], *, labels: Sequence[str]) -> float:
    """The share of true boxes on which a box of the same class lies, overlapping by half, with a score of 0.25 or more."""
    hits = [
        any(
            _overlap(np.array([box.x0, box.y0, box.x1, box.y1], np.float32), place) >= NEAR
            and labels[int(scores.argmax())] == box.class_name
            for place, scores in zip(seen.boxes, seen.class_scores, strict=True)
            if scores.max() >= 0.25
        )
        for seen, label in zip(detections, truth, strict=True)
        for box in label.content.boxes
    ]
    return float(np.mean(hits))


def _check_outlines(seen: Detections) -> None:
    assert len(seen.polygons) == len(seen)
    assert seen.mask_doubt is not None
    assert _is_float32(seen.mask_doubt, (len(seen),))
    assert ((seen.mask_doubt >= 0) & (seen.mask_doubt <= 1)).all()
    for polygon, box in zip(seen.polygons, seen.boxes, strict=True):
        points = np.array(polygon)
        assert len(points) >= 3
        assert ((points >= box[:2] - 0.1) & (points <= box[2:] + 0.1)).all()


def _is_float32(array: Floats, shape: tuple[int, ...]) -> bool:
    return array.shape == shape and array.dtype == np.float32


def _rewritten(sample: Sample, folder: Path, change: object, exif: Image.Exif | None = None) -> Sample:
    assert callable(change)
    with Image.open(sample.uri) as image:
        changed = change(image.convert("RGB"))
    file = folder / f"{sample.id}.png"
    changed.save(file, exif=exif or Image.Exif())
    return Sample(sample.id, str(file))


def _surest(one: Predictions, other: Predictions) -> list[tuple[Floats, Floats]]:
    """The surest boxes of two predictions of the same pictures, where both are sure of one."""
    pairs = zip(one.detections, other.detections, strict=True)
    both = [(a.boxes[0], b.boxes[0]) for a, b in pairs if min(a.best, b.best) >= 0.25 and len(a) and len(b)]
    assert both
    return both


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection over union of two boxes."""
    width, height = np.maximum(0, np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])).tolist()
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    return float(width * height / (sum(areas) - width * height))
