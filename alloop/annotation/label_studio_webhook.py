"""The webhook of a Label Studio project: with it alloop hears of answers at once, and without it on its timer."""

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import SecretStr

from alloop.annotation.label_studio_client import Api
from alloop.errors import ConfigError

__all__ = ["Webhook", "announce", "webhook_at"]

PATH = "/webhooks/label-studio"
"""Where `alloop serve` takes in what Label Studio sends."""
HEADER = "X-Alloop-Token"
"""Label Studio signs nothing: this header holds the secret itself."""
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
LOG = logging.getLogger("alloop.annotation")


@dataclass(frozen=True)
class Webhook:
    """Where a Label Studio project is to tell of answers, and the secret that it shows there."""

    url: str
    secret: SecretStr


def webhook_at(base: str, project: str, secret: SecretStr) -> Webhook:
    """The webhook of an alloop project whose `alloop serve` is reached at `base`."""
    return Webhook(f"{base.rstrip('/')}{PATH}?{urlencode({'project': project})}", secret)


def announce(api: Api, project: int, webhook: Webhook) -> None:
    """See to it that a project tells `webhook` of answers, under its present address and with its present secret.

    A refusal is a warning and no error, since labels are looked for on a timer as well.
    """
    wanted: dict[str, Any] = {
        "project": project,
        "url": webhook.url,
        "headers": {HEADER: webhook.secret.get_secret_value()},
        "actions": list(ACTIONS),  # always all that is wanted: a PATCH without them leaves none (1.23.2)
        "send_for_all_actions": False,
        "send_payload": True,  # the moment of an edit stands in it: without, two in one second are one hint
        "is_active": True,
    }
    try:
        ours = [one for one in api.get("/api/webhooks/", project=project) if _is_ours(one["url"], webhook.url)]
        if not ours:
            api.post("/api/webhooks/", wanted)
        for one in ours:  # all of them: one that is left with an old address would hold annotators up for a second each
            if not _is_right(one, wanted):
                api.patch(f"/api/webhooks/{one['id']}/", wanted)
    except ConfigError as refusal:
        LOG.warning(
            "Label Studio does not take the webhook %s, so answers are noticed on alloop's timer only; where that address "
            "is right, allow it there, with SSRF_PROTECTION_ENABLED=false for one of its own network (%s)",
            webhook.url,
            refusal,
        )


def _is_ours(found: str, wanted: str) -> bool:
    """Whether an address is that of the same alloop project, on whatever host."""
    there, here = urlsplit(found), urlsplit(wanted)
    return there.path.endswith(PATH) and parse_qs(there.query).get("project") == parse_qs(here.query)["project"]


def _is_right(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    there = {key: found.get(key) for key in wanted} | {"actions": sorted(found["actions"])}
    return there == {**wanted, "actions": sorted(wanted["actions"])}
