import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alloop.models.devices import seeded
from alloop.models.yolo import YoloModel
from alloop.models.yolo_environment import import_ultralytics, own_folder
from alloop.models.yolo_forward import Forward, Seen, detect, highest_scores
from alloop.models.yolo_letterbox import Placement, read_letterboxed
from alloop.models.yolo_masks import outline
from alloop.models.yolo_network import draw_design
from alloop.nouns import Sample, Task
from alloop.testing.detection_contract import LABELS, make_scenes
from tests.models.yolo_tiny import OPTIONS, tiny

WHOLE = Placement(100, 100, 0, 0, 1.0, 1.0)


def seen(boxes, scores):
    """One image: boxes (A, 4) as centre and size, scores (A, C)."""
    tensors = (torch.tensor(rows, dtype=torch.float32).T[None] for rows in (scores, boxes))
    scores, boxes = tensors
    return Seen(scores, torch.zeros(1, 2), boxes)


def find(boxes, scores, floor=0.05, place=WHOLE):
    return detect(seen(boxes, scores), [place], size=100, floor=floor)[0]


def images(folder, count, size):
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        Image.new("RGB", size, (number % 256, 50, 50)).save(file)
    return [Sample(file.stem, str(file)) for file in files]


def test_a_box_keeps_the_scores_of_all_classes():
    found = find([[50, 40, 20, 10]], [[0.6, 0.3]])
    np.testing.assert_allclose(found.boxes, [[40, 35, 60, 45]])
    np.testing.assert_allclose(found.class_scores, [[0.6, 0.3]])


def test_of_two_boxes_on_one_object_the_surer_stays():
    found = find([[50, 50, 20, 20], [51, 50, 20, 20]], [[0.5, 0.1], [0.7, 0.1]])
    np.testing.assert_allclose(found.boxes, [[41, 40, 61, 60]])


def test_two_classes_may_share_a_place():
    assert len(find([[50, 50, 20, 20], [50, 50, 20, 20]], [[0.5, 0.1], [0.1, 0.7]])) == 2


def test_below_the_floor_only_the_highest_score_is_told():
    found = find([[50, 50, 20, 20]], [[0.01, 0.04]])
    assert len(found) == 0
    assert found.class_scores.shape == (0, 2)
    assert found.best == pytest.approx(0.04)


def test_a_box_in_the_grey_border_is_no_object():
    assert len(find([[50, 5, 20, 4]], [[0.9, 0.1]], place=Placement(200, 100, 0, 25, 0.5, 0.5))) == 0


def test_boxes_are_clipped_to_the_image():
    found = find([[50, 30, 20, 20]], [[0.9, 0.1]], place=Placement(200, 100, 0, 25, 0.5, 0.5))
    np.testing.assert_allclose(found.boxes, [[80, 0, 120, 30]])


def test_more_candidates_than_can_be_weighed_keep_the_surest():
    boxes = [[10 * (number % 10) + 5, 10 * (number // 10 % 10) + 5, 8, 8] for number in range(5000)]
    scores = [[0.1 + number / 10000, 0.0] for number in range(5000)]
    assert find(boxes, scores).best == pytest.approx(0.5999)
    np.testing.assert_allclose(find(boxes, scores).confidence.max(), 0.5999)


@given(dice=st.integers(0, 2**32 - 1), classes=st.integers(1, 5))
def test_boxes_are_those_of_ultralytics_nms(dice, classes):
    random = np.random.default_rng(dice)
    boxes = np.concatenate([random.uniform(20, 80, (60, 2)), random.uniform(5, 40, (60, 2))], axis=1)
    scores = random.uniform(0, 1, (60, classes))
    raw = seen(boxes.tolist(), scores.tolist())
    nms = import_ultralytics("ultralytics.utils.nms", state=own_folder())
    dense = torch.cat([raw.boxes, raw.scores], dim=1)
    theirs = nms.non_max_suppression(dense, conf_thres=0.05, iou_thres=0.7)[0].numpy()
    ours = detect(raw, [Placement(1000, 1000, 0, 0, 1.0, 1.0)], size=100, floor=0.05)[0]
    theirs = theirs[theirs[:, 4].argsort(kind="stable")[::-1]]
    np.testing.assert_allclose(ours.boxes, np.clip(theirs[:, :4], 0, 1000), atol=1e-3)
    np.testing.assert_array_equal(ours.class_scores.argmax(axis=1), theirs[:, 5])


@pytest.mark.parametrize("name", ["yolov8n", "yolo11n", "yolo26n", "yolov10n", "yolo12n", "yolov5n"])
def test_every_family_tells_all_classes_at_every_place(name):
    design = draw_design(task=Task.DETECT, labels=LABELS, architecture=name, image_size=64, folder=own_folder())
    with seeded(0, torch.device("cpu")):
        forward = Forward(design.build(), task=Task.DETECT, device=torch.device("cpu"))
    with torch.inference_mode():
        raw = forward(np.zeros((2, 64, 64, 3), np.uint8))
    assert raw.scores.shape == (2, 3, 84)  # 8 x 8, 4 x 4 and 2 x 2 places
    assert raw.boxes.shape == (2, 4, 84)
    assert raw.embeddings.shape == (2, forward.dimension)
    assert highest_scores(raw).shape == (2, 3)


@pytest.mark.parametrize("name", ["yolov8n-seg", "yolo26n-seg"])
def test_every_segmenter_tells_masks_at_every_place(name):
    design = draw_design(task=Task.SEGMENT, labels=LABELS, architecture=name, image_size=64, folder=own_folder())
    with seeded(0, torch.device("cpu")):
        forward = Forward(design.build(), task=Task.SEGMENT, device=torch.device("cpu"))
    with torch.inference_mode():
        raw = forward(np.zeros((1, 64, 64, 3), np.uint8))
    assert raw.coefficients.shape == (1, 32, 84)
    assert raw.prototypes.shape == (1, 32, 16, 16)


def test_folding_does_not_change_what_is_seen():
    design = draw_design(task=Task.DETECT, labels=LABELS, architecture="yolov8n", image_size=64, folder=own_folder())
    with seeded(0, torch.device("cpu")):
        network = design.build().eval()
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        plain = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)[0]
        raw = Forward(network, task=Task.DETECT, device=torch.device("cpu"))(pixels)
    torch.testing.assert_close(torch.cat([raw.boxes, raw.scores], dim=1), plain, atol=1e-3, rtol=1e-4)


def test_scores_boxes_and_embeddings_come_from_one_pass_in_batches(tmp_path):
    model = YoloModel(labels=LABELS, architecture=tiny(tmp_path), **OPTIONS)
    passes = []
    model._network.look._network.model[0].register_forward_hook(lambda *args: passes.append(len(args[1][0])))
    model.predict([scene.sample for scene in make_scenes(tmp_path / "scenes", 35)], embeddings=True)
    assert passes == [16, 16, 3]


def test_memory_does_not_grow_with_the_pool(tmp_path):
    model = YoloModel(labels=LABELS, architecture=tiny(tmp_path), **OPTIONS | {"image_size": 320})
    samples = images(tmp_path / "pool", 120, (32, 32))

    def peak(count):
        tracemalloc.start()
        model.predict(samples[:count])
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(120) < peak(70) + 5e6  # fifty squares more are 15 MB


def test_predicting_leaves_torch_as_it_was(tmp_path):
    model = YoloModel(labels=LABELS, architecture=tiny(tmp_path), **OPTIONS)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    model.predict(images(tmp_path / "pool", 3, (40, 30)))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@given(width=st.integers(1, 90), height=st.integers(1, 90))
def test_a_letterboxed_image_lies_where_its_placement_says(width, height, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "one.png"
    Image.new("RGB", (width, height), (200, 0, 0)).save(file)
    square, place = read_letterboxed(Sample("a", str(file)), size=64)
    rows, columns = np.nonzero(square[..., 0] > 150)
    edges = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=np.float32)
    np.testing.assert_allclose(place.back(edges), [[0, 0, width, height]], atol=1e-3)
    assert max(columns.max() - columns.min(), rows.max() - rows.min()) == 63


def masks(inside, box, value=5.0):
    """A mask over 16 x 16 cells of a square of 64: `inside` are slices of it."""
    prototype = np.full((1, 16, 16), -value, np.float32)
    for rows, columns in inside:
        prototype[0, rows, columns] = value
    place = Placement(64, 64, 0, 0, 1.0, 1.0)
    return outline(np.ones((1, 1), np.float32), prototype, np.array([box], np.float32), size=64, place=place)


def test_a_mask_is_outlined():
    (polygon,), doubt = masks([(slice(4, 8), slice(4, 12))], [0, 0, 64, 64])
    points = np.array(polygon)
    np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], [16, 16, 48, 32], atol=1)
    assert doubt[0] == 0


def test_of_a_mask_in_pieces_the_largest_is_outlined():
    (polygon,), _ = masks([(slice(0, 2), slice(0, 2)), (slice(8, 16), slice(8, 16))], [0, 0, 64, 64])
    assert np.array(polygon).min() >= 30


def test_a_mask_ends_at_its_box():
    (polygon,), _ = masks([(slice(0, 16), slice(0, 16))], [10, 20, 30, 50])
    points = np.array(polygon)
    np.testing.assert_allclose([*points.min(axis=0), *points.max(axis=0)], [10, 20, 30, 50], atol=1)


def test_an_empty_mask_is_outlined_by_its_box_and_all_doubt():
    (polygon,), doubt = masks([], [8, 8, 40, 40])
    assert polygon == ((8, 8), (40, 8), (40, 40), (8, 40))
    assert doubt[0] == 1


def test_a_mask_near_its_threshold_is_doubtful():
    _, doubt = masks([(slice(0, 8), slice(0, 8))], [0, 0, 32, 32], value=0.5)
    assert doubt[0] == 1


def test_no_boxes_have_no_outlines():
    place = Placement(64, 64, 0, 0, 1.0, 1.0)
    nothing = outline(
        np.empty((0, 1), np.float32),
        np.zeros((1, 16, 16), np.float32),
        np.empty((0, 4), np.float32),
        size=64,
        place=place,
    )
    assert nothing[0] == ()
    assert nothing[1].shape == (0,)
