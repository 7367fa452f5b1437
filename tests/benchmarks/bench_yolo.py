"""Scoring a pool with a YOLO detector, against the network alone on images that lie ready in memory.

    python tests/benchmarks/bench_yolo.py --images 160 --size 320 --rounds 5

Writes JPEGs of 504 x 378 pixels to a temporary folder; a random yolov8n finds about a hundred candidates in each. Then, in
turn in one process and with the same batches,
  raw      the fused network on float tensors that are ready: no decoding, no boxes
  files    YoloModel.predict with embeddings: decoding, boxes with all scores
  squares  the same on letterboxed uint8 images that are ready
  txt      ultralytics' YOLO.predict of a text file that names the images
  list     ultralytics' YOLO.predict of a list of paths, which it takes for one batch
and prints milliseconds per image and the share of raw's speed, both in the processor's and in wall time, as medians. Ends
with an error when files is below 0.85 in processor time. Then the memory of a process that scores 500 and 5,000 images,
and how much of it is the answer itself. The rest does not grow: over 10,000 images whose boxes are dropped, what malloc has
given out stayed at 226 MiB, and what it keeps free for later went up and down between 180 and 226 (2026-11).
"""

import argparse
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait would count as work

import numpy as np
import torch
from PIL import Image

from alloop.models.devices import seeded
from alloop.models.yolo import BATCH, YoloModel
from alloop.models.yolo_environment import import_ultralytics
from alloop.models.yolo_forward import detect, highest_scores
from alloop.models.yolo_letterbox import read_letterboxed
from alloop.models.yolo_network import Weights, draw_design, pack_weights
from alloop.nouns import Sample, Task

LABELS = tuple(f"class {number}" for number in range(80))
LEAST = 0.85
FLOOR = 0.05


def photographs(folder: Path, count: int) -> list[Sample]:
    """Smooth random pictures: about 40 kB each, as photographs of that size have."""
    files = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        small = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(small).resize((504, 378), Image.Resampling.BICUBIC).save(file, quality=90)
    return [Sample(file.stem, str(file)) for file in files]


def network(size: int, folder: Path) -> tuple[Any, Path]:
    """A random yolov8n whose coarsest grid answers with scores of about 0.1, and its file."""
    design = draw_design(task=Task.DETECT, labels=LABELS, architecture="yolov8n", image_size=size, folder=folder)
    with seeded(0, torch.device("cpu")):
        made: Any = design.build()
    with torch.no_grad():
        made.model[-1].cv3[2][-1].bias.fill_(-2.2)
    file = folder / "random.pt"
    file.write_bytes(pack_weights(Weights(len(LABELS), made.state_dict()), design))
    return made, file


def model(size: int, threads: int, folder: Path) -> YoloModel:
    return YoloModel(labels=LABELS, image_size=size, threads=threads, device="cpu", state=folder)


def ways(samples: list[Sample], size: int, threads: int, folder: Path) -> dict[str, Callable[[], None]]:
    """What is compared; each does all samples."""
    bare, file = network(size, folder)
    ours = model(size, threads, folder)
    ours.load(file)
    look = ours._network.look
    ready = [read_letterboxed(sample, size=size) for sample in samples]
    batches = [ready[start : start + BATCH] for start in range(0, len(ready), BATCH)]
    squares = [np.stack([square for square, _ in batch]) for batch in batches]
    tensors = [torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(255) for batch in squares]
    listed = folder / "images.txt"
    listed.write_text("\n".join(sample.uri for sample in samples))
    import_ultralytics("ultralytics.utils.torch_utils", state=folder).NUM_THREADS = threads
    theirs = import_ultralytics("ultralytics", state=folder).YOLO("yolov8n.yaml", task="detect")
    theirs.model.load_state_dict(bare.state_dict())
    options = {"imgsz": size, "conf": FLOOR, "device": "cpu", "verbose": False, "stream": True, "rect": False}

    def raw() -> None:
        with torch.inference_mode():
            for batch in tensors:
                look._network(batch)

    def files() -> None:
        assert len(ours.predict(samples, embeddings=True, floor=FLOOR).detections[0]) > 10

    def in_squares() -> None:
        with torch.inference_mode():
            for batch, pixels in zip(batches, squares, strict=True):
                seen = look(pixels)
                highest_scores(seen)
                detect(seen, [place for _, place in batch], size=size, floor=FLOOR)

    def text() -> None:
        drain(theirs.predict(str(listed), batch=BATCH, project=str(folder), **options))

    def paths() -> None:
        drain(theirs.predict([sample.uri for sample in samples], batch=BATCH, project=str(folder), **options))

    return {"raw": raw, "files": files, "squares": in_squares, "txt": text, "list": paths}


def drain(results: Iterator[Any]) -> None:
    for result in results:
        len(result.boxes)


def compare(samples: list[Sample], options: argparse.Namespace, folder: Path) -> float:
    """Prints the table; the share of raw's speed, in processor time, that scoring from files has."""
    torch.set_num_threads(options.threads)
    work = ways(samples, options.size, options.threads, folder)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for number in range(options.rounds + 1):
        for name, do in work.items():
            gc.collect()
            torch.set_num_threads(options.threads)
            began = time.process_time(), time.perf_counter()
            do()
            if number:  # the first round warms up
                took[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    print(f"{len(samples)} images, {options.size} px, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
    raw = took["raw"]
    shares = {}
    for name, times in took.items():
        cpu, wall = (statistics.median(t[kind] for t in times) / len(samples) * 1e3 for kind in (0, 1))
        share = [statistics.median(r[kind] / t[kind] for r, t in zip(raw, times, strict=True)) for kind in (0, 1)]
        shares[name] = share[0]
        print(f"{name:8} {cpu:6.1f} ms cpu {wall:6.1f} ms wall   {share[0]:4.2f} of raw (cpu) {share[1]:4.2f} (wall)")
    return shares["files"]


def memory(samples: list[Sample], count: int, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """The peak of a process of its own that scores `count` images, and the arrays of its answer, in MiB."""
    context = multiprocessing.get_context("spawn")
    answer: Any = context.Queue()
    many = (samples * (count // len(samples) + 1))[:count]
    process = context.Process(target=score, args=(many, options.size, options.threads, folder, answer))
    process.start()
    peak, result = answer.get()
    process.join()
    return peak, result


def score(samples: list[Sample], size: int, threads: int, folder: Path, answer: Any) -> None:
    made = model(size, threads, folder)
    made.load(folder / "random.pt")
    seen = made.predict(samples, embeddings=True, floor=FLOOR)
    assert seen.embeddings is not None
    boxes = sum(one.boxes.nbytes + one.class_scores.nbytes for one in seen.detections)
    answer.put((peak_mib(), (boxes + seen.probabilities.nbytes + seen.embeddings.nbytes) / 2**20))


def peak_mib() -> float:
    """From /proc: getrusage tells a new process the peak of the one that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[500, 5000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = photographs(folder, options.images)
        share = compare(samples, options, folder)
        for count in options.memory:
            peak, result = memory(samples, count, options, folder)
            print(f"{count} images: at most {peak:.0f} MiB resident, {result:.0f} of them boxes and scores", flush=True)
    assert share >= LEAST, f"scoring from files has {share:.2f} of the network's speed, expected {LEAST}"


if __name__ == "__main__":
    main()
