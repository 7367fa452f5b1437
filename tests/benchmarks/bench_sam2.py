"""What SAM-2's second opinion costs: seconds for an image with 1, 16 and 64 boxes, and hours for a shortlist.

    python tests/benchmarks/bench_sam2.py --sizes 256,512,1024

The weights are random, which take the same time as published ones; the images are noise of 640 x 480 pixels. Each
figure is the median of some rounds of `masks_of`, which encodes the image once and answers for all its boxes.
With --propose it also times the grid of 16 x 16 points; random weights leave it few masks to work on after that.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra

from alloop.models.sam2 import Sam2Masks

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
BOXES = (1, 16, 64)


def random_weights(path: Path, config: str) -> Path:
    """A file of random weights as published ones are laid out."""
    from sam2.build_sam import build_sam2

    GlobalHydra.instance().clear()
    torch.manual_seed(0)
    with initialize_config_module("sam2", version_base="1.2"):
        torch.save({"model": build_sam2(config, device="cpu").state_dict()}, path)
    return path


def boxes_of(count: int) -> np.ndarray:
    corners = np.random.default_rng(count).uniform(0, 1, (count, 2)) * (540, 380)
    return np.hstack([corners, corners + 100]).astype(np.float32)


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The median over rounds after one to warm up; results come back as numpy arrays, so a GPU has finished."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves it to torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shortlist", type=int, default=5000)
    parser.add_argument("--propose", action="store_true")
    options = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        weights = random_weights(Path(name) / "random.pt", options.config)
        for size in map(int, options.sizes.split(",")):
            sam = Sam2Masks(
                weights, config=options.config, image_size=size, device=options.device, threads=options.threads
            )
            work = {f"{count} boxes": partial(sam.masks_of, image, boxes_of(count)) for count in BOXES}
            work |= {"propose": partial(sam.propose, image)} if options.propose else {}
            for what, once in work.items():
                each = seconds(once, options.rounds)
                print(
                    f"{size} px, {what}: {each:.3f} s an image, {options.shortlist} in {each * options.shortlist / 3600:.2f} h",
                    flush=True,
                )


if __name__ == "__main__":
    main()
