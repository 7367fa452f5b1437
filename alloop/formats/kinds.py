"""The formats by name."""

from enum import StrEnum

__all__ = ["Format", "Target"]


class Format(StrEnum):
    """Whose labels can be read."""

    COCO = "coco"
    YOLO = "yolo"
    VOC = "voc"


class Target(StrEnum):
    """Whose format can be written; CSV is the manifest that `pool add` takes."""

    COCO = "coco"
    YOLO = "yolo"
    CSV = "csv"
