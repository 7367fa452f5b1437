"""People for the demo with Label Studio: somebody who labels through the same requests as the browser."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from alloop.errors import LoopError
from alloop.nouns import Batch

__all__ = ["answers_to", "label_everything", "project_number"]

TIMEOUT_S = 60.0


def label_everything(url: str, token: str, title: str, answers: Mapping[str, str]) -> datetime:
    """Take task after task from a project's queue and submit {sample id: choice}; when the last was submitted."""
    number = project_number(url, token, title)
    with httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=TIMEOUT_S) as client:
        for _ in answers:
            task = _asked(client.get(f"/api/projects/{number}/next"))
            region = {"id": "said", "type": "choices", "from_name": "label", "to_name": "image"}
            choice = region | {"value": {"choices": [answers[task["data"]["item_id"]]]}}
            body = {"result": [choice], "lead_time": 2.0}
            _asked(client.post(f"/api/tasks/{task['id']}/annotations/", json=body))
    return datetime.now(UTC)


def project_number(url: str, token: str, title: str) -> int:
    """The id of the project of that title."""
    signed = {"Authorization": f"Token {token}"}
    found = _asked(httpx.get(f"{url}/api/projects/", params={"title": title}, headers=signed, timeout=TIMEOUT_S))
    return int(found["results"][0]["id"])


def answers_to(batch: Batch, truths: Mapping[str, str]) -> Mapping[str, str]:
    """{sample id: choice} for a batch, from {uri: label}."""
    return {item.sample.id: truths[item.sample.uri] for item in batch.items}


def _asked(response: httpx.Response) -> Any:
    if response.is_error:
        raise LoopError(f"Label Studio answers {response.status_code} to {response.request.url.path}; see its log")
    return response.json()
