"""YOLO networks small enough to be trained in tests: ultralytics' own yaml with a scale of 0.2 million parameters."""

import re
from pathlib import Path

from alloop.models.yolo_environment import import_ultralytics, own_folder

OPTIONS = {"image_size": 64, "batch_size": 8, "learning_rate": 0.01, "threads": 1, "device": "cpu"}
SCALE = "scale: p\nscales: {p: [0.33, 0.0625, 256]}\n\n"


def tiny(folder, suffix=""):
    """The yaml of yolov8 + suffix with scale p, as a file in the folder."""
    source = Path(import_ultralytics("ultralytics", state=own_folder()).__file__).parent / "cfg/models/v8"
    text = (source / f"yolov8{suffix}.yaml").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"tiny{suffix}.yaml"
    file.write_text(re.sub(r"scales:.*?\n\n", SCALE, text, flags=re.DOTALL))
    return str(file)
