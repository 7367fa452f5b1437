"""SAM-2 with random weights: everything but how good it is, which needs published ones (the test marked `weights`)."""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from PIL import Image, ImageDraw

from alloop.errors import ConfigError, MissingExtra, ModelCorrupt
from alloop.models import sam2
from alloop.models.sam2 import Sam2Masks, from_config
from alloop.sections import CommitteeSection
from alloop.testing.mask_contract import MaskContract

pytestmark = pytest.mark.xdist_group("sam2")

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
CPU = {"image_size": 256, "device": "cpu", "threads": 1}
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
BOXES = np.array([[5, 5, 40, 40], [30, 20, 85, 55], [0, 0, 90, 60]], np.float32)
WEIGHTS = "ALLOOP_SAM2_CHECKPOINT"


@pytest.fixture(scope="module")
def network():
    """SAM-2 tiny at 256 px with random weights, but sure of its masks: large scores and a high expected overlap.

    As it is drawn, no mask of it is stable enough to be proposed.
    """
    from sam2.build_sam import build_sam2

    GlobalHydra.instance().clear()
    with torch.random.fork_rng(devices=[]), initialize_config_module("sam2", version_base="1.2"), torch.no_grad():
        torch.manual_seed(0)
        network = build_sam2(TINY, device="cpu", hydra_overrides_extra=["++model.image_size=256"])
        network.sam_mask_decoder.iou_prediction_head.layers[-1].bias += 3
        for head in network.sam_mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight *= 3000
    return network


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("sam2") / "random.pt"
    torch.save({"model": network.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def sam(checkpoint):
    return Sam2Masks(checkpoint, points_per_side=4, **CPU)


class TestSam2(MaskContract):
    @pytest.fixture(autouse=True)
    def built(self, sam):
        self.sam = sam

    def make_model(self, home):
        return self.sam


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_it_answers_as_metas_own_code_does(network, sam):
    from sam2.sam2_image_predictor import SAM2ImagePredictor
    from sam2.utils.amg import calculate_stability_score

    predictor = SAM2ImagePredictor(network)
    predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]
    predictor.set_image(NOISE)
    scores, quality, _ = predictor.predict(box=BOXES, multimask_output=False, return_logits=True)
    found = sam.masks_of(NOISE, BOXES)
    np.testing.assert_array_equal(found.masks, scores[:, 0] > 0)
    np.testing.assert_array_equal(found.quality, quality[:, 0])
    stability = calculate_stability_score(torch.from_numpy(scores[:, 0]), 0.0, 1.0)
    np.testing.assert_allclose(found.stability, stability, rtol=1e-6)
    assert (found.stability > 0.9).all()
    assert 0.1 < found.masks.mean() < 0.9


def test_it_proposes_masks_that_it_is_sure_of(sam):
    proposed = sam.propose(NOISE)
    assert len(proposed.masks) > 0
    assert (proposed.quality > 0.8).all()
    assert (proposed.stability >= 0.95).all()


def test_a_mask_of_nothing_is_not_stable():
    scores = np.float32([[[-5, -5]], [[0, 0]], [[5, 0]], [[5, 5]]])
    assert sam2._stability(scores).tolist() == [0, 0, 0.5, 1]


def test_another_image_size_gives_masks_of_the_image(checkpoint):
    found = Sam2Masks(checkpoint, **CPU | {"image_size": 512}).masks_of(NOISE, BOXES)
    assert found.masks.shape == (3, 60, 90)
    assert found.masks.any(axis=(1, 2)).all()


def test_shorter_pieces_of_a_large_image_change_nothing(sam, monkeypatch):
    expected, proposed = sam.masks_of(NOISE, BOXES), sam.propose(NOISE)
    monkeypatch.setattr(sam2, "BLOCK_PIXELS", 2 * 60 * 90)
    found, again = sam.masks_of(NOISE, BOXES), sam.propose(NOISE)
    assert (found.masks == expected.masks).mean() > 0.98
    np.testing.assert_allclose(found.quality, expected.quality, atol=1e-3)
    assert (again.masks == proposed.masks).mean() > 0.98


def test_it_leaves_torch_as_it_was(checkpoint):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    built = Sam2Masks(checkpoint, **CPU | {"image_size": 64, "threads": threads + 1})
    built.masks_of(NOISE, BOXES)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_it_leaves_hydra_unstarted(checkpoint):
    GlobalHydra.instance().clear()
    Sam2Masks(checkpoint, **CPU)
    assert not GlobalHydra.instance().is_initialized()


def test_it_leaves_hydra_to_whoever_started_it(checkpoint, tmp_path):
    (tmp_path / "mine.yaml").write_text("answer: 42\n", encoding="utf-8")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        version = VersionBase.instance().getbase()
        Sam2Masks(checkpoint, **CPU)
        assert compose("mine").answer == 42
        assert VersionBase.instance().getbase() == version


def test_it_is_made_from_the_config(checkpoint):
    section = CommitteeSection(kind="sam2", checkpoint=Path(checkpoint.name), image_size=256, device="cpu")
    assert from_config(section, checkpoint.parent).masks_of(NOISE, BOXES).masks.shape == (3, 60, 90)


@pytest.mark.parametrize("name", [None, "missing.pt", "."])
def test_without_a_checkpoint_it_says_where_to_get_one(name, tmp_path):
    section = CommitteeSection(kind="sam2", checkpoint=name)
    with pytest.raises(ConfigError, match=r"\[committee\] checkpoint .*sam2\.1_hiera_tiny\.pt .*facebookresearch/sam2"):
        from_config(section, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image_size": 300}, "image_size is 300; set a multiple of 32"),
        ({"points_per_side": 0}, "points_per_side is 0; set 1 to 32"),
        ({"points_per_side": 33}, "points_per_side is 33"),
        ({"config": "sam2.1_hiera_t"}, f"did you mean '{TINY}'"),
        ({"config": "/etc/evil.yaml"}, "is none of sam2's"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_settings_that_cannot_be_are_refused(checkpoint, options, said):
    with pytest.raises(ConfigError, match=said):
        Sam2Masks(checkpoint, **CPU | options)


def test_a_missing_package_says_how_to_install_it(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2.build_sam", None)
    with pytest.raises(MissingExtra, match=r"pip install 'alloop\[sam2\]'"):
        Sam2Masks(checkpoint, **CPU)


@pytest.mark.parametrize("config", ["configs/sam2.1/sam2.1_hiera_s.yaml", "configs/sam2/sam2_hiera_t.yaml"])
def test_weights_of_another_size_or_version_are_refused_in_one_sentence(checkpoint, config):
    with pytest.raises(ModelCorrupt, match="weights differ") as caught:
        Sam2Masks(checkpoint, config=config, **CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"model": 3}, [1, 2], {"model": {"weight": "text"}}])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "else.pt")
    with pytest.raises(ModelCorrupt, match=r"else\.pt"):
        Sam2Masks(tmp_path / "else.pt", **CPU)


def test_half_a_checkpoint_is_refused(checkpoint, tmp_path):
    (tmp_path / "half.pt").write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ModelCorrupt, match="damaged"):
        Sam2Masks(tmp_path / "half.pt", **CPU)


class Malicious:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_checkpoint_is_never_run(save, tmp_path):
    path, harm = tmp_path / "malicious.pt", tmp_path / "harm"
    save({"model": Malicious(harm)}, path)
    with pytest.raises(ModelCorrupt, match="more than weights"):
        Sam2Masks(path, **CPU)
    assert not harm.exists()


@pytest.mark.weights
def test_published_weights_find_a_disk():
    """Run it with `ALLOOP_SAM2_CHECKPOINT=sam2.1_hiera_tiny.pt pytest -m weights`."""
    assert WEIGHTS in os.environ, f"set {WEIGHTS} to Meta's sam2.1_hiera_tiny.pt"
    image = Image.new("RGB", (320, 240), (40, 60, 50))
    ImageDraw.Draw(image).ellipse((100, 60, 200, 160), fill=(220, 180, 60))
    rows, columns = np.mgrid[:240, :320]
    disk = (columns - 150) ** 2 + (rows - 110) ** 2 <= 50**2
    found = Sam2Masks(Path(os.environ[WEIGHTS])).masks_of(np.asarray(image), np.array([[98, 58, 202, 162]], np.float32))
    assert (found.masks[0] & disk).sum() / (found.masks[0] | disk).sum() > 0.8
    assert found.quality[0] > 0.8
    assert found.stability[0] > 0.8
