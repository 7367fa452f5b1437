"""Which web servers may be asked for an image whose address a stranger wrote: none of the inner network, unless told so."""

import socket
from collections.abc import Collection
from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from alloop.errors import BadImage

__all__ = ["OpenHosts"]

SHOWN = 80
"""Characters of an address that an error quotes."""
PORTS = {"http": 80, "https": 443}


class OpenHosts:
    """The public web, the server at `url` (its host and port), and the `allowed` host names with all their ports."""

    def __init__(self, url: str, allowed: Collection[str] = ()) -> None:
        self._own = _place(url)
        self._allowed = {host.lower() for host in allowed}

    def check(self, address: str) -> None:
        """BadImage unless the http or https address leads there.

        A name that cannot be looked up passes: nothing can be read from it either.
        """
        host, port = _place(address)
        if (host, port) == self._own or host in self._allowed:
            return
        inner = next((one for one in _addresses(host) if not _is_public(one)), None)
        if inner is not None:
            raise BadImage(
                f"{address[:SHOWN]!r} leads into an inner network ({inner}); if its images are meant, add {host!r} to "
                "[annotation.label_studio] image_hosts"
            )


def _place(address: str) -> tuple[str, int]:
    """The host and the port of an address; BadImage when different programs could read it in different ways."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        host, port = "", 0
    if not host or not address.isprintable() or "\\" in address or set(parts.netloc) & set(" %"):
        raise BadImage(f"{address[:SHOWN]!r} is no address of a web server; mend it")
    return host, port


@cache
def _addresses(host: str) -> tuple[str, ...]:
    """The IP addresses of a host, however it is written: 2130706433 is 127.0.0.1; none when it is not known."""
    try:
        return tuple(sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None)}))
    except (OSError, UnicodeError):
        return ()


def _is_public(address: str) -> bool:
    found = ip_address(address.partition("%")[0])  # the rest names an interface
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return all(one.is_global and not one.is_multicast for one in (found, inner) if one is not None)
