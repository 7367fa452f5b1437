"""Reading an image wherever it lies: a local path or any fsspec URL."""

import hashlib
import io
from pathlib import Path

import fsspec
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from alloop.errors import BadImage

__all__ = ["content_id", "decode", "header_size", "measure", "read_bytes", "read_image", "upright_size"]

MAX_PIXELS = 89_000_000
"""Refuse larger images; Pillow takes them for decompression bombs."""

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height (EXIF 2.32, table 6); whatever else a file says turns nothing."""


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
        size = upright_size(image)
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        image.load()
        _to_rgb(image.crop((0, 0, 1, 1)))
        return size
    except BadImage:
        raise
    except Exception as error:  # as above
        raise BadImage(f"{uri} does not open as an image ({_why(error)}); replace or remove it") from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The (width, height) in pixels that an image has once it stands upright, as `decode` gives it, before any of it was decoded."""
    if image.format == "TIFF":  # Pillow has swapped them on opening, and forgets the orientation on decoding
        return image.size
    sideways = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return (image.height, image.width) if sideways else image.size


def header_size(path: Path) -> tuple[int, int] | None:
    """The upright (width, height) in pixels of the image at `path`, from its header; None when it does not open."""
    try:
        with Image.open(path) as image:
            return upright_size(image)
    except Exception:  # as above
        return None


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
