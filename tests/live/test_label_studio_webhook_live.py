"""The webhook on a real server, which refuses addresses of its own machine unless told otherwise."""

import pytest
from pydantic import SecretStr

from alloop.annotation.form import Form
from alloop.annotation.label_studio import LabelStudioTool
from alloop.annotation.label_studio_client import Server
from alloop.nouns import Task
from alloop.testing.annotation_contract import LABELS
from tests.annotation.label_studio_person import Person
from tests.annotation.label_studio_webhooks import WebhookBehaviour
from tests.live.label_studio_server import EMAIL, TOKEN


@pytest.fixture
def open_tool(server, title):
    return lambda **options: LabelStudioTool(
        Server(server.url, SecretStr(TOKEN)),
        title,
        form=Form(Task.CLASSIFY, LABELS),
        image_url=lambda sample: f"https://images.example/{sample.uri}",
        size_of=lambda samples: dict.fromkeys(samples, (40, 30)),
        **options,
    )


@pytest.fixture
def person(server, title):
    with server.client() as client:
        yield Person(client, title, EMAIL)


class TestWebhook(WebhookBehaviour):
    pass
