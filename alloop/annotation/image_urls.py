"""Where an annotator's browser gets an image from: alloop's own service, Label Studio itself, or the web."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from alloop.clock import Clock
from alloop.errors import BadImage, ConfigError
from alloop.nouns import Sample
from alloop.sections import ServiceSection
from alloop.signing import Signer

__all__ = ["ImageUrl", "local_files", "reached_at", "signed"]

ImageUrl = Callable[[Sample], str]
WEB = ("http://", "https://")


def signed(project: str, service: ServiceSection, clock: Clock, *, suffix: str = "") -> ImageUrl:
    """Addresses of `alloop serve` that expire; ConfigError without a key to sign them with.

    `suffix` is put after the sample's id, for tools that take only what is called like an image.
    """
    if service.signing_key is None:
        raise ConfigError(
            "browsers get images under signed addresses, and there is no key to sign them; set "
            'ALLOOP_SERVICE__SIGNING_KEY (python -c "import secrets; print(secrets.token_hex(32))")'
        )
    base = reached_at(service)
    signer = Signer(project, service.signing_key.get_secret_value().encode())
    good_for = timedelta(days=service.image_days)
    return lambda sample: base + signer.path(sample.id, expires=clock.now() + good_for).replace("?", f"{suffix}?", 1)


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
