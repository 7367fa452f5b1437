"""What a user hands in as a pool, as a stream of rows: a folder tree, or a CSV or Parquet manifest anywhere."""

import csv
import difflib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import fsspec

from alloop.errors import BadManifest
from alloop.nouns import Content, Split

__all__ = [
    "COLUMNS",
    "IMAGE_SUFFIXES",
    "Drawn",
    "Listing",
    "Row",
    "Source",
    "is_remote",
    "read_source",
]

COLUMNS = ("uri", "label", "group", "split")
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLITS = {"": Split.POOL, "pool": Split.POOL, "holdout": Split.HOLDOUT}

Cells = tuple[int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What people drew into one image: the classes of the objects, and where that is written.

    `content(width, height)` is the label, for the image's upright size in pixels; BadLabel says why there is none.
    """

    class_names: frozenset[str]
    where: str
    content: Callable[[int, int], Content]


@dataclass(frozen=True, slots=True)
class Row:
    """One image as the source names it; `line` is its line in a CSV, its row in a Parquet file, 0 in a folder."""

    uri: str
    label: str | None = None
    group: str | None = None
    split: Split = Split.POOL
    line: int = 0
    drawn: Drawn | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether people have answered it; "there is nothing to be seen" is an answer."""
        return self.label is not None or self.drawn is not None

    def truth(self, width: int, height: int) -> Content | None:
        """What people said of it, for its upright size in pixels; BadLabel when that does not fit the image."""
        if self.drawn is not None:
            return self.drawn.content(width, height)
        return None if self.label is None else Content(class_name=self.label)


class Source(Protocol):
    """Where images come from: rows that can be read again and again, and what messages call the whole."""

    @property
    def name(self) -> str:
        """What the user called it."""

    def rows(self) -> Iterator[Row]:
        """The rows from the first on; BadManifest or BadLabel when the source as a whole is wrong."""


@dataclass(frozen=True)
class Listing:
    """A folder tree or a manifest as a source."""

    name: str

    def rows(self) -> Iterator[Row]:
        """The rows as `read_source` gives them."""
        return read_source(self.name)


def is_remote(uri: str) -> bool:
    """Whether `uri` is a URL for fsspec, and not a local path."""
    return "://" in uri


def read_source(source: str) -> Iterator[Row]:
    """The rows of a folder tree or of a manifest, one by one.

    A folder gives its images in sorted order, without label, group or split; hidden files and folders are skipped and linked
    folders followed once. Local paths come out absolute; in a manifest they are relative to the manifest's own folder.

    Raises:
        BadManifest: the source is missing, is neither, or a line of it cannot be read.
    """
    if not is_remote(source) and Path(source).is_dir():
        yield from _walk(os.path.normpath(Path(source).absolute()))
        return
    read, base = _reader(source), _base(source)
    with _faults_of(source), _open(source) as file:
        for line, cells in read(file, source):
            yield _row(cells, f"{source}, line {line}", line=line, base=base)


def _walk(root: str) -> Iterator[Row]:
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(folder)) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Row(uri=f"{folder}/{name}")


def _refuse_folder(error: OSError) -> None:
    raise BadManifest(
        f"the folder {error.filename} cannot be read ({error.strerror}); make it readable or move it away"
    )


def _reader(source: str) -> Callable[[IO[bytes], str], Iterator[Cells]]:
    path = source.partition("::")[0].partition("?")[0] if is_remote(source) else source  # an archive, a signed URL
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    suffix = Path(path).suffix.lower()
    if suffix in readers:
        return readers[suffix]
    if not is_remote(source) and not Path(source).exists():
        raise BadManifest(f"there is no {source}; check the path")
    raise BadManifest(f"{source} is neither a folder nor a manifest; name a local folder, a .csv or a .parquet file")


def _read_csv(file: IO[bytes], source: str) -> Iterator[Cells]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        header = [name.strip() for name in next(reader, [])]
        _refuse_separator(header, source)
        _check_columns(header, source)
        for cells in reader:
            if len(cells) > len(header):
                raise BadManifest(
                    f"{source}, line {reader.line_num} has {len(cells)} cells for {len(header)} columns; "
                    "quote cells with commas"
                )
            if any(cells):
                yield reader.line_num, dict(zip(header, cells, strict=False))


def _refuse_separator(header: list[str], source: str) -> None:
    """Spreadsheets of many countries write semicolons; their header is one cell here."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and separator in header[0]:
            raise BadManifest(f"{source} has {name} between its columns, {header[0]!r}; save it with commas")


def _read_parquet(file: IO[bytes], source: str) -> Iterator[Cells]:
    import pyarrow.parquet as pq  # heavy

    table = pq.ParquetFile(file)
    _check_columns(table.schema_arrow.names, source)
    line = 0
    for batch in table.iter_batches(batch_size=4096):
        for cells in batch.to_pylist():
            line += 1
            yield line, {name: str(cell) for name, cell in cells.items() if cell is not None}


def _check_columns(header: list[str], source: str) -> None:
    if not header:
        raise BadManifest(f"{source} is empty; its first line names the columns, of which 'uri' is required")
    if "uri" not in header:
        raise BadManifest(
            f"{source} has no column 'uri', only {', '.join(header)!r}; name the column with the images' paths 'uri'"
        )
    for name, times in Counter(header).items():
        if name not in COLUMNS:
            near = difflib.get_close_matches(name.lower(), COLUMNS, n=1)
            known = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(COLUMNS)}"
            raise BadManifest(f"{source} has an unknown column {name!r}; {known}")
        if times > 1:
            raise BadManifest(f"{source} has the column {name!r} {times} times; keep one")


def _row(cells: Mapping[str, str], where: str, *, line: int, base: tuple[str, str]) -> Row:
    uri, label, group, split = ((cells.get(name) or "").strip() for name in COLUMNS)
    if not uri:
        raise BadManifest(f"{where} has no uri; fill it in or remove the line")
    if "\0" in uri + group:
        raise BadManifest(f"{where} has a NUL character in {uri + group!r}; remove it")
    if split not in SPLITS:
        raise BadManifest(f"{where}: split {split!r} is not known; write 'pool', 'holdout' or nothing")
    return Row(_resolve(uri, base), label or None, group or None, SPLITS[split], line)


def _base(source: str) -> tuple[str, str]:
    """What to put before and after a relative path in the manifest `source`."""
    if not is_remote(source):
        return f"{Path(source).absolute().parent}/", ""
    manifest, colons, archive = source.partition("::")
    return manifest[: manifest.rindex("/") + 1], colons + archive


def _resolve(uri: str, base: tuple[str, str]) -> str:
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    if is_remote(uri):
        return uri
    if uri.startswith("/"):
        return os.path.normpath(uri)
    before, after = base
    return before + os.path.normpath(uri) + after if is_remote(before) else os.path.normpath(before + uri)


def _open(source: str) -> AbstractContextManager[IO[bytes]]:
    if is_remote(source):
        remote: AbstractContextManager[IO[bytes]] = fsspec.open(source, "rb")
        return remote
    return Path(source).open("rb")


@contextmanager
def _faults_of(source: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise BadManifest(f"there is no {source}; check the path") from error
    except (
        OSError,
        ValueError,
        ImportError,
        csv.Error,
    ) as error:  # pyarrow's faults are ValueErrors, UnicodeDecodeError too
        raise BadManifest(f"{source} cannot be read as a manifest ({error}); check the file") from error
