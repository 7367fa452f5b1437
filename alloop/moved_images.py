"""Where the images of Label Studio tasks lie, as addresses that the pool can keep; what lies nowhere else is written to files."""

import base64
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from alloop.annotation.label_studio_client import Api
from alloop.errors import BadImage, ConfigError
from alloop.manifest import IMAGE_SUFFIXES
from alloop.open_hosts import OpenHosts
from alloop.whole_files import write_atomically

__all__ = ["MovedImages"]

INLINE = re.compile(r"data:image/([a-z0-9.+-]+);base64,", re.IGNORECASE)
LOCAL, UPLOAD = "/data/local-files/", "/data/upload/"
SCHEMES = ("http", "https", "s3", "gs")
"""Where Label Studio itself finds images. Of other schemes some read local files, and others reach into the network."""
SHOWN = 80
"""Characters of an address that an error quotes."""


class MovedImages:
    """Finds the images of a server's tasks.

    Uploaded and inline ones are written into `folder`. `local_root` is the server's LOCAL_FILES_DOCUMENT_ROOT as seen from
    here. What stands in a task is whatever somebody imported, so on this machine it never leads out of these two, and
    elsewhere only to buckets, to the public web, to the server at `url` itself and to the `hosts`.
    """

    def __init__(
        self, api: Api, url: str, *, folder: Path, local_root: Path | None, hosts: Collection[str] = ()
    ) -> None:
        self._api, self._url, self._folder = api, url.rstrip("/"), folder
        self._root = local_root.resolve() if local_root else None
        self._hosts = OpenHosts(url, hosts)

    def uri_of(self, task: int, told: Any) -> str:
        """The address of a task's image, from what its data says; BadImage when there is nothing that can be read.

        ConfigError when `local_root` is needed and not set.
        """
        if not isinstance(told, str) or not told.strip():
            raise BadImage(f"its data names no image ({told!r}); import it again")
        place = told.strip()
        if place.startswith("data:"):
            return self._inline(task, place)
        own = place.removeprefix(self._url)
        if own.startswith(LOCAL):
            return self._local(own)
        if own.startswith(UPLOAD):
            return self._uploaded(task, own)
        if "://" in place:
            return self._remote(place)
        if place.startswith("/") and not place.startswith("/data/") and self._root is not None:
            return self._inside(self._root, place)
        raise BadImage(
            f"{told[:SHOWN]!r} is no address that can be read from here; give the image a URL, or set "
            "[annotation.label_studio] local_root to the folder it lies in"
        )

    def _remote(self, place: str) -> str:
        scheme, _, rest = place.partition("://")
        if scheme.lower() not in SCHEMES:
            raise BadImage(f"{place[:SHOWN]!r} is not at {', '.join(SCHEMES)}; give the image such an address")
        if "::" in rest:  # fsspec takes what follows for another address
            raise BadImage(f"{place[:SHOWN]!r} chains addresses with '::'; write %3A%3A where the name has that")
        address = f"{scheme.lower()}://{rest}"
        if scheme.lower() in ("http", "https"):
            self._hosts.check(address)
        return address

    def _inline(self, task: int, told: str) -> str:
        start = INLINE.match(told)
        try:
            raw = base64.b64decode(told[start.end() :], validate=True) if start else b""
        except ValueError:
            raw = b""
        if start is None or not raw:
            raise BadImage(f"{told[:SHOWN]!r} is no image in base64; import it again")
        return self._keep(task, raw, "." + start[1].lower())

    def _local(self, place: str) -> str:
        if self._root is None:
            raise ConfigError(
                f"Label Studio serves images from its own disk ({place[:SHOWN]}); set [annotation.label_studio] local_root "
                "to its LOCAL_FILES_DOCUMENT_ROOT"
            )
        return self._inside(self._root, parse_qs(urlsplit(place).query).get("d", [""])[0].lstrip("/"))

    def _inside(self, root: Path, place: str) -> str:
        """The path that a place under `root`, or an absolute one, comes to, after all links and dots."""
        try:
            path = (root / place).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a name that is too long, a zero byte
            raise BadImage(f"{place[:SHOWN]!r} is no path ({error}); import the image again") from error
        if not path.is_relative_to(root):
            raise BadImage(f"{place[:SHOWN]} leads out of {root}; move the image there")
        return str(path)

    def _uploaded(self, task: int, place: str) -> str:
        if ".." in unquote(place):
            raise BadImage(f"{place[:SHOWN]} leads out of the uploads; import it again")
        raw = self._api.file(place)
        if not raw:
            raise BadImage(f"{place[:SHOWN]} is not there any more; upload it again")
        return self._keep(task, raw, Path(unquote(urlsplit(place).path)).suffix.lower())

    def _keep(self, task: int, raw: bytes, suffix: str) -> str:
        """The path of a file with these bytes; one that is there already stays as it is."""
        path = (self._folder / f"task-{task}{suffix if suffix in IMAGE_SUFFIXES else ''}").absolute()
        if not path.is_file() or path.read_bytes() != raw:
            write_atomically(path, raw)
        return str(path)
