"""Telling people that a cycle is at risk, breached or recovered: a log line, Apprise, and a webhook with signed JSON.

Addresses and secrets stay out of every log and error text, those of the libraries underneath included.
"""

import hashlib
import hmac
import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import httpx

from alloop.errors import AlloopError, ConfigError, Transient
from alloop.ledger.announcements import Announcement
from alloop.sections import NotifySection
from alloop.sla import AT_RISK, BREACHED, WHOLE_CYCLE, Limits
from alloop.workspace import Workspace

if TYPE_CHECKING:
    from apprise import Apprise

__all__ = ["Channel", "Message", "announce", "channels_of", "message_of", "signature"]

log = logging.getLogger(__name__)
CLAIM_S = 120.0
"""Another process tells what this one began to tell, when it has not ended after this long."""
HEADER = "X-Alloop-Signature"
LIBRARIES = ("httpx", "apprise", "urllib3.connectionpool")
"""Loggers that write addresses."""


@dataclass(frozen=True)
class Message:
    """What is told. `id` names the announcement: who has heard it already can drop it.

    `hours` is what the stage or the cycle took, or takes by the pessimistic forecast; `limit_hours` what was promised.
    """

    id: str
    project: str
    cycle: int
    stage: str
    kind: str
    hours: float
    limit_hours: float | None
    deadline: str | None
    at: str
    title: str
    text: str


Channel = Callable[[Message], None]
"""Tells one message; an AlloopError when it was not taken."""


def message_of(announcement: Announcement, limits: Limits, *, opened_at: datetime) -> Message:
    """An announcement in words; its deadline is that of the cycle, none for a stage."""
    flag, whole = announcement.flag, announcement.flag.stage == WHOLE_CYCLE
    limit = limits.cycle_hours if whole else limits.stage_hours.get(flag.stage)
    deadline = opened_at + timedelta(hours=limits.cycle_hours) if whole else None
    name = f"cycle {flag.cycle}" if whole else f"{flag.stage} of cycle {flag.cycle}"
    kind = {AT_RISK: "is at risk", BREACHED: "is late"}.get(flag.kind, "has recovered")
    took = {AT_RISK: "may take", BREACHED: "has taken"}.get(flag.kind, "should take no more than")
    promised = f", and {limit:g} h were promised" if limit is not None else ""
    until = f" (until {deadline:%Y-%m-%d %H:%M} UTC)" if deadline else ""
    advice = "; ask for more annotators; with sla.degrade a batch is closed at quorum" if flag.kind == AT_RISK else ""
    return Message(
        id=announcement.id,
        project=announcement.project,
        cycle=flag.cycle,
        stage=flag.stage,
        kind=flag.kind,
        hours=round(flag.hours, 3),
        limit_hours=limit,
        deadline=deadline.isoformat() if deadline else None,
        at=flag.at.isoformat(),
        title=f"{announcement.project}: {name} {kind}",
        text=f"{name} in '{announcement.project}' {took} {flag.hours:.1f} h{promised}{until}{advice}",
    )


def announce(ws: Workspace, channels: Mapping[str, Channel]) -> int:
    """Tell every channel what it has not been told yet, in order; how many messages were taken.

    One that fails is told again at the next call, and keeps its later messages back until then.
    """
    return sum(_tell_all(ws, name, channel) for name, channel in channels.items())


def _tell_all(ws: Workspace, name: str, channel: Channel) -> int:
    told, ledger = 0, ws.ledger.announcements
    while (announcement := ledger.claim(name, lease_s=CLAIM_S)) is not None:
        opened_at = ws.ledger.cycles.get(announcement.flag.cycle).opened_at
        try:
            channel(message_of(announcement, ws.limits, opened_at=opened_at))
        except AlloopError as error:
            ledger.give_back(announcement, name)
            log.warning("announcement %s could not be told on channel %s: %s", announcement.id, name, error)
            return told
        ledger.told(announcement, name)
        told += 1
    return told


def channels_of(section: NotifySection) -> Mapping[str, Channel]:
    """The channels of `[notify]`, and the log: `apprise-1` is the first of the Apprise URLs."""
    channels: dict[str, Channel] = {"log": tell_log}
    urls = section.apprise.get_secret_value().split() if section.apprise else []
    for number, url in enumerate(urls, start=1):
        channels[f"apprise-{number}"] = _apprise(url, number)
    if section.webhook_url is not None:
        channels["webhook"] = _webhook(section)
    return channels


def tell_log(message: Message) -> None:
    """A line in the log: a warning, or a plain one for good news."""
    level = logging.WARNING if message.kind in (AT_RISK, BREACHED) else logging.INFO
    log.log(level, "%s", message.text)


def _apprise(url: str, number: int) -> Channel:
    def tell(message: Message) -> None:
        import apprise  # a tenth of a second, for those who notify

        kinds = {AT_RISK: apprise.NotifyType.WARNING, BREACHED: apprise.NotifyType.FAILURE}
        with _silence():
            sender = apprise.Apprise()
            if not _understands(sender, url):
                raise ConfigError(f"URL {number} of notify.apprise is none that Apprise understands; check its scheme")
            kind = kinds.get(message.kind, apprise.NotifyType.SUCCESS)
            taken = sender.notify(title=message.title, body=message.text, notify_type=kind)
        if not taken:
            raise Transient(f"URL {number} of notify.apprise did not take the message; it is told again")

    return tell


def _understands(sender: "Apprise", url: str) -> bool:
    with warnings.catch_warnings():  # its first URL loads all plugins, and one asks for a module that Python will drop
        warnings.simplefilter("ignore", DeprecationWarning)
        return bool(sender.add(url))


def _webhook(section: NotifySection) -> Channel:
    assert section.webhook_url is not None
    url, secret = section.webhook_url.get_secret_value(), section.webhook_secret

    def tell(message: Message) -> None:
        body = json.dumps(asdict(message), ensure_ascii=False, sort_keys=True).encode()
        headers = {"Content-Type": "application/json", "X-Alloop-Id": message.id}
        if secret is not None:
            headers[HEADER] = signature(body, secret.get_secret_value())
        try:
            with _silence():
                answer = httpx.post(url, content=body, headers=headers, timeout=section.timeout_s)
        except httpx.RequestError as error:
            raise Transient(f"notify.webhook_url does not answer ({type(error).__name__}); it is told again") from None
        except (httpx.InvalidURL, ValueError):
            raise ConfigError("notify.webhook_url is no address; write it like https://host/path") from None
        if not answer.is_success:
            raise Transient(f"notify.webhook_url answered {answer.status_code}; it is told again")

    return tell


def signature(body: bytes, secret: str) -> str:
    """What the header X-Alloop-Signature holds: "sha256=" and the HMAC-SHA256 of the raw body, in hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@contextmanager
def _silence() -> Iterator[None]:
    """What libraries log in this thread is dropped meanwhile: they write whole addresses."""
    here = threading.get_ident()

    def drop(record: logging.LogRecord) -> bool:
        return record.thread != here

    loggers = [logging.getLogger(name) for name in LIBRARIES]
    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)
