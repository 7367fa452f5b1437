"""The service's secrets: there, long enough, and never shown."""

import hmac
from base64 import b64decode

from pydantic import SecretStr

from alloop.errors import ConfigError
from alloop.sections import ServiceSection

__all__ = ["BasicAuth", "missing", "reveal"]

SHORTEST = 16
"""Characters; 16 random hexadecimal ones are 64 bits, which nobody guesses over a network."""
ADVICE = "make one with: python -c 'import secrets; print(secrets.token_hex(32))'"


def reveal(given: SecretStr | None, name: str) -> str:
    """A secret's text, or "" when it is not set; ConfigError when it is too short. `name` is its key in `[service]`."""
    text = given.get_secret_value() if given else ""
    if 0 < len(text) < SHORTEST:
        raise ConfigError(
            f"service.{name} has {len(text)} characters; set {variable(name)} to {SHORTEST} or more ({ADVICE})"
        )
    return text


def missing(section: ServiceSection) -> tuple[str, ...]:
    """What cannot work for want of a secret, and what to set: a sentence each."""
    wants = {"webhook_secret": "webhooks are refused", "signing_key": "no image is served"}
    unset = {name: what for name, what in wants.items() if not reveal(getattr(section, name), name)}
    return tuple(f"{what}, since {variable(name)} is not set; {ADVICE}" for name, what in unset.items())


def variable(name: str) -> str:
    """The environment variable of a key of `[service]`."""
    return f"ALLOOP_SERVICE__{name.upper()}"


class BasicAuth:
    """One user and password, as HTTP basic authentication tells them."""

    def __init__(self, user: str, password: str) -> None:
        self._wanted = f"{user}:{password}".encode()

    def admits(self, header: str) -> bool:
        """Whether an Authorization header names that user and password; how long it takes does not tell how nearly."""
        scheme, _, told = header.partition(" ")
        try:
            given = b64decode(told.strip(), validate=True)
        except ValueError:
            given = b""
        return hmac.compare_digest(self._wanted, given) and scheme.lower() == "basic"
