"""SAM-2 as a second opinion: a mask for each box of a detector, and masks of whatever it takes for objects itself.

The weights are the user's own file: nothing is fetched, and nothing that hides in the file is run. Its code is the
package `sam2` of the extra of that name.
"""

import difflib
import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alloop.errors import ConfigError, MissingExtra, ModelCorrupt
from alloop.models.base import Masks
from alloop.models.devices import limited_threads, pick_device, seeded
from alloop.nouns import Floats
from alloop.sections import CommitteeSection

__all__ = ["Sam2Masks", "from_config"]

SOURCE = "get sam2.1_hiera_tiny.pt with checkpoints/download_ckpts.sh of github.com/facebookresearch/sam2"
STEP = 32
"""The encoder halves an image five times, so its size has to be a multiple of this."""
BLOCK = 64
"""Prompts that are answered together."""
BLOCK_PIXELS = 2**26
"""The most pixels of mask scores in memory at once (256 MiB): blocks of large images are shorter."""
POINTS = 32
"""The most points along a side that `propose` may ask at; Meta's own default, four times as slow as 16."""
STABILITY_OFFSET = 1.0
"""How far a score is moved from the threshold to see whether its mask stays; what sam2's mask generator uses."""


class Sam2Masks:
    """A MaskModel: SAM-2 with the weights in `checkpoint`, on the size `config` names.

    Images are squeezed to `image_size` pixels; 1024 is what it was trained on, and 256 is 30 times faster on a
    processor. `propose` asks at `points_per_side` squared points.
    """

    def __init__(
        self,
        checkpoint: Path | None,
        *,
        config: str = "configs/sam2.1/sam2.1_hiera_t.yaml",
        image_size: int = 512,
        device: str = "auto",
        threads: int = 0,
        points_per_side: int = 16,
    ) -> None:
        """Build the network and read its weights.

        ConfigError for a setting that cannot be, also no checkpoint; MissingExtra without the package; ModelCorrupt
        when the checkpoint holds anything but the weights of this size.
        """
        path = _check(checkpoint, image_size=image_size, points_per_side=points_per_side)
        self._device = pick_device(device)
        self._threads = threads
        with seeded(0, torch.device("cpu")), limited_threads(threads):  # it draws weights before ours replace them
            network = _build(config, image_size=image_size)
            _fill(network, _read(path), checkpoint=path, config=config)
            self._predictor, self._generator = _faces(network.to(self._device), points_per_side=points_per_side)

    def masks_of(self, image: NDArray[np.uint8], boxes: Floats) -> Masks:
        """A mask for each of the boxes (B, 4) in pixels of the image (H, W, 3) uint8 RGB; the empty mask is unstable."""
        height, width = image.shape[:2]
        masks = np.empty((len(boxes), height, width), dtype=np.bool_)
        quality, stability = (np.empty(len(boxes), dtype=np.float32) for _ in range(2))
        if len(boxes) == 0:
            return Masks(masks, quality, stability)
        within = np.clip(np.asarray(boxes, dtype=np.float32), 0, np.array([width, height] * 2, dtype=np.float32))
        block = _block(height * width)
        with self._computing():
            self._predictor.set_image(_owned(image))
            for start in range(0, len(boxes), block):
                part = slice(start, start + block)
                scores, expected, _ = self._predictor.predict(
                    box=within[part], multimask_output=False, return_logits=True
                )
                scores = scores.reshape(-1, height, width)
                masks[part], quality[part], stability[part] = scores > 0, expected.ravel(), _stability(scores)
        return Masks(masks, np.clip(quality, 0, 1), stability)

    def propose(self, image: NDArray[np.uint8]) -> Masks:
        """Masks of what it finds at a grid of points: the sure and stable ones, each object once, the best first."""
        height, width = image.shape[:2]
        self._generator.points_per_batch = _block(3 * height * width)  # it draws three masks for a point
        with self._computing():
            found = self._generator.generate(_owned(image))
        masks = np.array([one["segmentation"] for one in found], dtype=np.bool_)
        quality, stability = (
            np.array([one[name] for one in found], dtype=np.float32) for name in ("predicted_iou", "stability_score")
        )
        return Masks(masks.reshape(-1, height, width), np.clip(quality, 0, 1), stability)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with limited_threads(self._threads), seeded(0, self._device), torch.inference_mode():
            yield


def from_config(section: CommitteeSection, root: Path) -> Sam2Masks:
    """The model that `[committee]` describes, its checkpoint found from `root`; raises what `Sam2Masks` does."""
    return Sam2Masks(
        root / section.checkpoint if section.checkpoint else None,
        config=section.config,
        image_size=section.image_size,
        device=section.device,
    )


def _check(checkpoint: Path | None, *, image_size: int, points_per_side: int) -> Path:
    if checkpoint is None or not checkpoint.is_file():
        where = "is not set" if checkpoint is None else f"{checkpoint} is not a file"
        raise ConfigError(f"[committee] checkpoint {where}; {SOURCE}, and set the key to it")
    if image_size < STEP or image_size % STEP:
        raise ConfigError(f"[committee] image_size is {image_size}; set a multiple of {STEP}, such as 256, 512 or 1024")
    if not 1 <= points_per_side <= POINTS:
        raise ConfigError(f"points_per_side is {points_per_side}; set 1 to {POINTS}")
    return checkpoint


def _build(config: str, *, image_size: int) -> nn.Module:
    """The network on the processor, with random weights."""
    with _own_hydra():
        build = _import("sam2.build_sam").build_sam2
        _check_name(config)
        network: nn.Module = build(config, device="cpu", hydra_overrides_extra=[f"++model.image_size={image_size}"])
    return network


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Within it hydra reads sam2's configurations; afterwards it is as it was.

    The first import of sam2 starts hydra for the whole process, and nobody else could start it then.
    """
    hydra = _import("hydra")
    started = _import("hydra.core.global_hydra").GlobalHydra.instance()
    version = _import("hydra.version").VersionBase.instance()
    before = started.hydra, version.version_base
    started.clear()
    try:
        hydra.initialize_config_module("sam2", version_base="1.2")  # as sam2/__init__.py does
        yield
    finally:
        started.hydra, version.version_base = before


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("sam2 is not installed; run: pip install 'alloop[sam2]'") from error


def _check_name(config: str) -> None:
    folders = ("configs/sam2.1", "configs/sam2")
    known = [f"{folder}/{file.name}" for folder in folders for file in files("sam2").joinpath(folder).iterdir()]
    if config not in known:
        near = difflib.get_close_matches(config, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"[committee] config {config!r} is none of sam2's; did you mean {near!r}?")


def _read(checkpoint: Path) -> Mapping[str, Tensor]:
    """The weights in a file of Meta's layout, {"model": state_dict}."""
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"checkpoint {checkpoint} cannot be read ({error}); check its permissions") from error
    except Exception as error:  # on strange bytes torch's restricted unpickler raises nearly anything
        raise ModelCorrupt(
            f"checkpoint {checkpoint} is damaged or holds more than weights, and was not opened; {SOURCE}"
        ) from error
    weights = found.get("model") if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        raise ModelCorrupt(f"checkpoint {checkpoint} has no weights under 'model', as SAM-2's have; {SOURCE}")
    return weights


def _fill(network: nn.Module, weights: Mapping[str, Tensor], *, checkpoint: Path, config: str) -> None:
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    given = {name: getattr(tensor, "shape", None) for name, tensor in weights.items()}
    wrong = sum(wanted.get(name) != given.get(name) for name in wanted | given)
    if wrong:
        raise ModelCorrupt(
            f"checkpoint {checkpoint} is not of the size or version in {config} ({wrong} weights differ);"
            " set [committee] config to the file that belongs to it"
        )
    network.load_state_dict(dict(weights))


def _faces(network: nn.Module, *, points_per_side: int) -> tuple[Any, Any]:
    """The network as sam2's predictor for prompts and as its generator of masks, at any image size.

    Both have the feature sizes of 1024 pixels written in them (facebookresearch/sam2, issue 138).
    """
    prompted, automatic = _import("sam2.sam2_image_predictor"), _import("sam2.automatic_mask_generator")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated", category=FutureWarning)
        predictor = prompted.SAM2ImagePredictor(network)
        generator = automatic.SAM2AutomaticMaskGenerator(network, points_per_side=points_per_side)
    sizes = [(predictor.model.image_size // stride,) * 2 for stride in (4, 8, 16)]
    predictor._bb_feat_sizes = generator.predictor._bb_feat_sizes = sizes
    return predictor, generator


def _block(pixels: int) -> int:
    return max(1, min(BLOCK, BLOCK_PIXELS // pixels))


def _owned(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in memory that torch takes: contiguous and writable; copied only when it is not."""
    return np.require(image, np.uint8, ["C", "W"])


def _stability(scores: Floats) -> Floats:
    """Overlap of each mask at a higher and a lower threshold, (B, H, W) to (B,) float32; 0 where nothing passes."""
    sure = np.count_nonzero(scores > STABILITY_OFFSET, axis=(1, 2))
    likely = np.count_nonzero(scores > -STABILITY_OFFSET, axis=(1, 2))
    return np.asarray(sure / np.maximum(likely, 1), dtype=np.float32)
