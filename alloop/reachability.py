"""What the doctor asks of others: the ledger's database, the service, Prefect's API and everybody's clock."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import httpx
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

import alloop.ledger
from alloop.annotation.hints import parse_generic, sign_generic
from alloop.annotation.image_urls import reached_at
from alloop.clock import WallClock
from alloop.config import Config
from alloop.errors import AlloopError
from alloop.ledger.database import Database
from alloop.ledger.tables import HintRow
from alloop.service.secrets import reveal
from alloop.workspace import Workspace

__all__ = ["api_health", "clock_offsets", "database_offset", "is_configured", "knock", "table_versions"]

TIMEOUT_S = 5.0
MIDDLE_S = 0.5
"""A Date header leaves out the fraction of its second, half of one on average."""


def table_versions(database: Database) -> tuple[str | None, str | None]:
    """(the version of the tables that are there, that of this program's)."""
    script = ScriptDirectory(str(Path(alloop.ledger.__file__).parent / "migrations"))
    with database.read() as session:
        return session.scalar(text("SELECT version_num FROM alembic_version")), script.get_current_head()


def is_configured(config: Config) -> bool:
    """Whether there is to be a service: somebody wrote of it, or the annotation tool is one that sends webhooks."""
    return bool(config.service.model_fields_set) or config.annotation.tool not in ("simulated", "folder")


def knock(ws: Workspace) -> str:
    """Send the service a signed hint, and look whether it is in this ledger; AlloopError says what to do when it is not.

    A service that does not run is no error: answers are noticed on a timer as well.
    """
    secret, base = reveal(ws.config.service.webhook_secret, "webhook_secret"), reached_at(ws.config.service)
    shown = _without_password(base)
    if not secret:
        return "no webhook secret is set, so none can be sent"
    project, now = ws.config.project.name, WallClock().now()
    raw = json.dumps({"event": "DOCTOR", "project": project, "marker": uuid4().hex}).encode()
    stamp = str(int(now.timestamp()))
    headers = {"X-Alloop-Timestamp": stamp, "X-Alloop-Signature": sign_generic(raw, secret, timestamp=stamp)}
    began = time.perf_counter()
    try:
        answer = httpx.post(f"{base}/webhooks/generic", content=raw, headers=headers, timeout=TIMEOUT_S)
    except httpx.ConnectError:
        return f"nothing runs at {shown}; start it with 'alloop serve'"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AlloopError(
            f"{shown} does not answer ({type(error).__name__}); correct service.public_url or port"
        ) from None
    took = time.perf_counter() - began
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise AlloopError(f"{shown} refuses this webhook secret; restart 'alloop serve' with the present one")
    if not answer.is_success:
        raise AlloopError(
            f"{shown} answers {answer.status_code} to a webhook of '{project}'; see that it is this project's 'alloop serve'"
        )
    key = parse_generic(headers, raw, secret, now).key
    with ws.ledger.database.read() as session:
        stored = session.scalar(select(HintRow.id).filter_by(project=project, key=key))
    if stored is None:
        raise AlloopError(
            f"{shown} took a webhook that is not in this ledger; start 'alloop serve' with the same [ledger] url"
        )
    return f"a signed hint reached the ledger by way of {shown} in {1000 * took:.0f} ms"


def api_health(api: str) -> str:
    """Where Prefect's API answers that it is well, without user and password; AlloopError when it does not."""
    url = f"{api.rstrip('/')}/health"
    shown = _without_password(url)
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AlloopError(
            f"{shown} does not answer ({type(error).__name__}); start that server, or unset PREFECT_API_URL"
        ) from None
    if not answer.is_success:
        raise AlloopError(f"{shown} answers {answer.status_code}; correct PREFECT_API_URL, it ends with /api as a rule")
    return shown


def clock_offsets(ws: Workspace, prefect_api: str | None) -> Mapping[str, float]:
    """{whose: seconds that its clock is ahead of this machine's} of everybody that answers now."""
    section, servers = ws.config.annotation, {"Prefect": prefect_api and f"{prefect_api.rstrip('/')}/health"}
    tools = {"label-studio": ("Label Studio", section.label_studio.url), "cvat": ("CVAT", section.cvat.url)}
    if section.tool in tools:
        name, url = tools[section.tool]
        servers[name] = url
    found = {name: offset for name, url in servers.items() if url and (offset := _offset(url)) is not None}
    if not ws.ledger.database.is_sqlite:
        found["the ledger"] = database_offset(ws.ledger.database)
    return found


def _offset(url: str) -> float | None:
    """How far a server's clock is ahead, by the Date header of any answer; none when it gives none."""
    began = WallClock().now()
    try:
        told = httpx.get(url, timeout=TIMEOUT_S).headers.get("Date")
    except (httpx.HTTPError, httpx.InvalidURL):
        return None  # whoever cannot be reached has a line of its own
    middle = began + (WallClock().now() - began) / 2
    with suppress(ValueError, TypeError):
        return (parsedate_to_datetime(told) - middle).total_seconds() + MIDDLE_S
    return None


def database_offset(database: Database) -> float:
    """Seconds that the clock of a Postgres server is ahead of this machine's."""
    with database.read() as session:
        began = WallClock().now()
        told: datetime = session.scalar(text("SELECT clock_timestamp()")) or began
    middle = began + (WallClock().now() - began) / 2
    return (told.astimezone(UTC) - middle).total_seconds()


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"
