"""Addresses of images that expire and cannot be guessed: HMAC-SHA256 over project, sample and expiry."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from alloop.errors import Forged

__all__ = ["Signer"]

PURPOSE = "alloop image 1"
"""Stands in every signed text, so that a signature made for something else never opens an image."""
SECONDS = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Signer:
    """Signs and checks the addresses of one project's images; `key` is the service's secret, never shown."""

    project: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("an empty key signs nothing; set ALLOOP_SERVICE__SIGNING_KEY")

    def path(self, sample_id: str, *, expires: datetime) -> str:
        """The path and query under which the service gives this image until `expires` (aware, cut to whole seconds)."""
        seconds = str(int(expires.timestamp()))
        query = urlencode({"expires": seconds, "signature": self._sign(sample_id, seconds)})
        return f"/images/{quote(sample_id, safe='')}?{query}"

    def check(self, sample_id: str, *, expires: str, signature: str, now: datetime) -> int:
        """Seconds that an address is still good for; Forged when it is not ours, was changed, or has expired."""
        if not SECONDS.fullmatch(expires) or not SIGNATURE.fullmatch(signature):
            raise Forged("the address of the image carries no signature; use the one that alloop gave out")
        if not hmac.compare_digest(self._sign(sample_id, expires), signature):
            raise Forged("the signature of the image does not fit its address; use the one that alloop gave out")
        late = now.timestamp() - int(expires)
        if late >= 0:
            raise Forged(f"the address of the image expired {late:.0f} s ago; open the task again for a new one")
        return int(-late)

    def _sign(self, sample_id: str, expires: str) -> str:
        # a line each: no part can end in what the next one begins with
        text = "\n".join((PURPOSE, self.project, sample_id, expires))
        return hmac.new(self.key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
