"""Webhooks of annotation tools become hints: verified, measured, and with everything secret taken out of them.

A hint says that something has happened, and nothing else is ever read from it. One parser per tool, all pure:
`(headers, raw_body, secret, now) -> Hint`. Forged when the secret is missing or wrong, BadHint when the rest is.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from alloop.errors import Forged, Rejected

__all__ = [
    "MAX_BYTES",
    "PARSERS",
    "BadHint",
    "Hint",
    "Parser",
    "parse_cvat",
    "parse_generic",
    "parse_label_studio",
    "sign_generic",
]

MAX_BYTES = 4 << 20
"""The largest body: Label Studio tells of 2,000 imported tasks in one of 978 kB."""
KEPT = 1 << 14
"""Characters of a body that are kept, for people to look at."""
WINDOW = timedelta(minutes=5)
"""How far a generic delivery's timestamp may be from now, either way; older ones are replays."""
EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}", re.ASCII)
STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
SECRET_KEY = re.compile(
    r"token|password|passwd|secret|authorization|cookie|credential|api_?key|signature", re.IGNORECASE
)
SECRET_TEXT = re.compile(
    r"(?i)([?&;](?:[a-z0-9_-]*(?:signature|token|credential|secret|password|key)|sig)=)[^&#\s\"'<>]+|(://)[^/@\s\"'<>]+@"
)
"""What a signed URL carries in its query, and user and password before its host."""
REMOVED = "(removed)"


class BadHint(Rejected):
    """A webhook that carries the secret, and cannot be read."""


@dataclass(frozen=True)
class Hint:
    """Something happened in a tool. `body` is what it said as JSON text, without secrets and cut at 16 KiB.

    Two deliveries with one `key` (64 hexadecimal digits) tell of the same thing. `project` is the alloop project that a
    delivery names, if it names one.
    """

    tool: str
    event: str
    key: str
    body: str
    project: str | None = None


Parser = Callable[[Mapping[str, str], bytes, str, datetime], Hint]


def parse_label_studio(headers: Mapping[str, str], raw: bytes, secret: str, now: datetime) -> Hint:
    """A delivery of Label Studio, which signs nothing: the header X-Alloop-Token holds the secret itself.

    It sends an edit once, but an own webhook for each model server; one version of one annotation is one hint.
    """
    _verify(_bytes(secret), _header(headers, "x-alloop-token"), secret)
    body = _object(raw)
    event, annotation = _event(body, "action"), body.get("annotation")
    if isinstance(annotation, dict) and annotation.get("id") and annotation.get("updated_at"):
        says = [event, annotation["id"], annotation["updated_at"]]
    elif body.keys() <= {"action"}:
        says = [event, int(now.timestamp())]  # a webhook without payload: each second is something new
    else:
        says = [hashlib.sha256(raw).hexdigest()]
    return _hint("label-studio", event, says, body)


def parse_cvat(headers: Mapping[str, str], raw: bytes, secret: str, now: datetime) -> Hint:  # noqa: ARG001 - one form for all
    """A delivery of CVAT: X-Signature-256 is "sha256=" and the HMAC of the raw body. It carries no time to check."""
    _verify(_digest(secret, raw), _header(headers, "x-signature-256"), secret)
    body = _object(raw)
    return _hint("cvat", _event(body, "event"), [hashlib.sha256(raw).hexdigest()], body)


def parse_generic(headers: Mapping[str, str], raw: bytes, secret: str, now: datetime) -> Hint:
    """A delivery of anything else: X-Alloop-Signature as `sign_generic` makes it, X-Alloop-Timestamp in Unix seconds.

    Forged when the timestamp is more than five minutes from `now`. The body is a JSON object with `event`, and `project`
    where it wants to be sure whom it wakes.
    """
    stamp = _header(headers, "x-alloop-timestamp")
    _verify(sign_generic(raw, secret, timestamp=stamp).encode(), _header(headers, "x-alloop-signature"), secret)
    if not STAMP.fullmatch(stamp) or abs(int(stamp) - now.timestamp()) > WINDOW.total_seconds():
        raise Forged("the delivery's X-Alloop-Timestamp is not of the last five minutes; check the sender's clock")
    body = _object(raw)
    project = body.get("project")
    if project is not None and not isinstance(project, str):
        raise BadHint(f"the delivery's project is {type(project).__name__}; send its name")
    return _hint("generic", _event(body, "event"), [stamp, hashlib.sha256(raw).hexdigest()], body, project=project)


PARSERS: Mapping[str, Parser] = {
    "label-studio": parse_label_studio,
    "cvat": parse_cvat,
    "generic": parse_generic,
}
"""{the tool's name in the webhook's address: who reads it}."""


def sign_generic(raw: bytes, secret: str, *, timestamp: str) -> str:
    """What X-Alloop-Signature must say: "sha256=" and the HMAC of the timestamp, a full stop, and the body."""
    return _digest(secret, _bytes(timestamp) + b"." + raw).decode()


def _digest(secret: str, message: bytes) -> bytes:
    return b"sha256=" + hmac.new(_bytes(secret), message, hashlib.sha256).hexdigest().encode()


def _verify(wanted: bytes, given: str, secret: str) -> None:
    """Forged unless both are equal; the time it takes says nothing about where they differ."""
    if not secret:
        raise Forged("no webhook secret is set, so no delivery can be genuine; set ALLOOP_SERVICE__WEBHOOK_SECRET")
    if not hmac.compare_digest(wanted, _bytes(given)):
        raise Forged("the delivery does not carry the webhook secret; set the same one in the tool and in alloop")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; BadHint when it is too large, or not one."""
    if len(raw) > MAX_BYTES:
        raise BadHint(f"the delivery has {len(raw)} bytes; send at most {MAX_BYTES}")
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadHint(f"the delivery is not JSON ({type(error).__name__}); send an object") from None
    if not isinstance(body, dict):
        raise BadHint(f"the delivery is a JSON {type(body).__name__}; send an object")
    return body


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _event(body: Mapping[str, Any], key: str) -> str:
    event = body.get(key)
    if not isinstance(event, str) or not EVENT.fullmatch(event):
        raise BadHint(f"the delivery's '{key}' is not the name of an event; send one such as ANNOTATION_CREATED")
    return event


def _hint(tool: str, event: str, says: list[Any], body: dict[str, Any], *, project: str | None = None) -> Hint:
    try:
        text = json.dumps(_redacted(body), allow_nan=False)
        key = hashlib.sha256(json.dumps([tool, *says], allow_nan=False).encode()).hexdigest()
    except (ValueError, RecursionError):  # 1e999 is infinite, and JSON has no word for that
        raise BadHint("the delivery holds a number that is too large, or is nested too deeply; send less") from None
    return Hint(tool, event, key, text[:KEPT], project)


def _redacted(value: Any) -> Any:
    """The same without values of secret keys, and without signatures and passwords in URLs."""
    if isinstance(value, dict):
        return {
            _plain(key): REMOVED if SECRET_KEY.search(key) and inner not in (None, "") else _redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_redacted(inner) for inner in value]
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    if text.startswith("data:"):
        return f"data:{REMOVED}"  # a whole image, in some set-ups
    return SECRET_TEXT.sub(lambda found: f"{found[1]}{REMOVED}" if found[1] else f"{found[2]}{REMOVED}@", text)
