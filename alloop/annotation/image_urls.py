"""Where an annotator's browser gets an image from: alloop's own service, Label Studio itself, or the web."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from alloop.clock import Clock
from alloop.errors import BadImage, ConfigError
from alloop.nouns import Sample
from alloop.sections import ServiceSection
from alloop.signing import Signer

__all__ = ["ImageUrl", "SignedUrls", "local_files", "reached_at", "signed"]

ImageUrl = Callable[[Sample], str]
WEB = ("http://", "https://")


RENEWED = timedelta(days=1)
"""How long before its end an address is renewed; one that lives for less than two days, after half its life."""


@dataclass(frozen=True)
class SignedUrls:
    """Addresses of `alloop serve` under `base`, each good for so long; `suffix` is put after the sample's id."""

    base: str
    signer: Signer
    clock: Clock
    good_for: timedelta
    suffix: str = ""

    def __call__(self, sample: Sample) -> str:
        """A sample's address from now on."""
        return self.of(sample.id)

    def of(self, sample_id: str) -> str:
        """That of the sample with this id."""
        path = self.signer.path(sample_id, expires=self.clock.now() + self.good_for)
        return self.base + path.replace("?", f"{self.suffix}?", 1)

    def due(self, address: str) -> datetime:
        """When an address that was given out is to be renewed; one without an end is overdue."""
        (expires, *_) = parse_qs(urlsplit(address).query).get("expires", [""])
        if not expires.isdecimal():
            return datetime.min.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(expires[:11]), UTC) - min(RENEWED, self.good_for / 2)


def signed(project: str, service: ServiceSection, clock: Clock, *, suffix: str = "") -> SignedUrls:
    """Addresses of `alloop serve` that expire; ConfigError without a key to sign them with.

    `suffix` is for tools that take only what is called like an image.
    """
    if service.signing_key is None:
        raise ConfigError(
            "browsers get images under signed addresses, and there is no key to sign them; set "
            'ALLOOP_SERVICE__SIGNING_KEY (python -c "import secrets; print(secrets.token_hex(32))")'
        )
    signer = Signer(project, service.signing_key.get_secret_value().encode())
    return SignedUrls(reached_at(service), signer, clock, timedelta(days=service.image_days), suffix)


def reached_at(service: ServiceSection) -> str:
    """Where others reach `alloop serve`, without a slash at the end."""
    return (service.public_url or f"http://{service.host}:{service.port}").rstrip("/")


def local_files(root: Path | None) -> ImageUrl:
    """Paths that Label Studio serves itself from `root`, its LOCAL_FILES_DOCUMENT_ROOT; images on the web stay there.

    BadImage for a file that lies elsewhere.
    """
    if root is None:
        raise ConfigError(
            "annotation.label_studio.images is local-files; set local_root to Label Studio's document root"
        )
    top = root.resolve()

    def address(sample: Sample) -> str:
        if sample.uri.startswith(WEB):
            return sample.uri
        path = Path(sample.uri)
        if not path.resolve().is_relative_to(top):
            raise BadImage(f"{sample.uri} does not lie in {top}, from where Label Studio serves files; move it there")
        return f"/data/local-files/?d={quote(str(path.resolve().relative_to(top)))}"

    return address
