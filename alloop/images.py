"""Reading an image wherever it lies: a local path or any fsspec URL."""

import hashlib
import io
from pathlib import Path

import fsspec
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from alloop.errors import BadImage

__all__ = ["content_id", "decode", "measure", "read_bytes", "read_image"]

MAX_PIXELS = 89_000_000
"""Refuse larger images; Pillow takes them for decompression bombs."""

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height (EXIF 2.32, table 6)."""


def read_bytes(uri: str) -> bytes:
    """The bytes at `uri`; BadImage when there are none to be had."""
    try:
        if "://" not in uri:
            return Path(uri).read_bytes()
        with fsspec.open(uri, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError, ImportError) as error:
        raise BadImage(f"{uri} cannot be read ({error}); check the path") from error


def _open(raw: bytes, uri: str) -> Image.Image:
    image = Image.open(io.BytesIO(raw))
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{uri} has {image.width} x {image.height} pixels; shrink it below {MAX_PIXELS}")
    return image


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text is the address of a buffer
        return "its format is unknown or it is empty"
    return str(error) or type(error).__name__


def content_id(raw: bytes) -> str:
    """A sample's id: the sha256 of its file's bytes, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def decode(raw: bytes, uri: str, *, size: int | None = None) -> Image.Image:
    """The upright RGB image in `raw`, squeezed to size x size pixels when a size is given.

    JPEGs that are much larger than asked for are decoded at a fraction of their size. BadImage names `uri`.
    """
    try:
        image = _open(raw, uri)
        if size is not None:
            image.draft("RGB", (size, size))
        upright = _to_rgb(ImageOps.exif_transpose(image))
        return upright if size is None else upright.resize((size, size), Image.Resampling.BILINEAR)
    except BadImage:
        raise
    except Exception as error:  # on broken bytes Pillow's decoders raise struct.error, KeyError, zlib.error and more
        raise BadImage(f"{uri} does not open as an image ({_why(error)}); replace or remove it") from error


def measure(raw: bytes, uri: str) -> tuple[int, int]:
    """The upright (width, height) in pixels of the image in `raw`, every byte of which was decoded once.

    A JPEG is decoded at an eighth of its size, which reads all of its data at a fraction of the cost. BadImage names `uri`.
    """
    try:
        image = _open(raw, uri)
        width, height = image.size
        image.draft(None, (max(1, width // 8), max(1, height // 8)))
        image.load()
        _to_rgb(image.crop((0, 0, 1, 1)))
        sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
        return (height, width) if sideways else (width, height)
    except BadImage:
        raise
    except Exception as error:  # as above
        raise BadImage(f"{uri} does not open as an image ({_why(error)}); replace or remove it") from error


def read_image(uri: str, *, size: int | None = None) -> Image.Image:
    """The image at `uri`, as `decode` gives it."""
    return decode(read_bytes(uri), uri, size=size)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode; deep grey images are stretched from black to white instead of clipped."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = np.asarray(image, dtype=np.float32)
        span = max(float(deep.max() - deep.min()), 1e-9)
        return Image.fromarray(((deep - deep.min()) * (255 / span)).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
