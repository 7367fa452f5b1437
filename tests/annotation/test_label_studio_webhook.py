import pytest
from pydantic import SecretStr

from alloop.annotation.form import Form
from alloop.annotation.label_studio import LabelStudioTool
from alloop.annotation.label_studio_client import Server
from alloop.annotation.label_studio_webhook import webhook_at
from alloop.errors import ToolUnavailable
from alloop.nouns import Task
from alloop.testing.annotation_contract import LABELS
from alloop.workspace import open_workspace
from tests.annotation.fake_label_studio import EMAIL, TOKEN
from tests.annotation.label_studio_behaviour import batch_of
from tests.annotation.label_studio_person import Person
from tests.annotation.label_studio_webhooks import BASE, SECRET, FakeWithWebhooks, WebhookBehaviour

TOML = """
[project]
name = "fish"
labels = ["cat", "dog"]
[annotation]
tool = "label-studio"
[annotation.label_studio]
token = "0123456789abcdef"
[service]
signing_key = "a-signing-key-of-32-characters-x"
"""


@pytest.fixture
def fake():
    return FakeWithWebhooks()


def make_tool(fake, **options):
    return LabelStudioTool(
        Server("http://fake", SecretStr(TOKEN), transport=fake),
        "Signs",
        form=Form(Task.CLASSIFY, LABELS),
        image_url=lambda sample: f"https://images.example/{sample.uri}",
        size_of=lambda samples: dict.fromkeys(samples, (40, 30)),
        **options,
    )


@pytest.fixture
def open_tool(fake):
    return lambda **options: make_tool(fake, **options)


@pytest.fixture
def person(fake):
    with fake.client() as client:
        yield Person(client, "Signs", EMAIL)


class TestWebhook(WebhookBehaviour):
    pass


def push(fake):
    make_tool(fake, webhook=webhook_at(BASE, "birds", SecretStr(SECRET))).push(batch_of("ab"))


def test_cut_off_anywhere_there_is_one_webhook_in_the_end(fake):
    push(fake)
    for number in range(len(fake.requests)):
        for when in ("before", "after"):
            broken = FakeWithWebhooks()
            broken.cut = (number, when)
            with pytest.raises(ToolUnavailable):
                push(broken)
            broken.cut = None
            push(broken)
            assert len(broken.webhooks) == 1


def test_the_secret_is_not_shown():
    assert SECRET not in repr(webhook_at(BASE, "birds", SecretStr(SECRET)))


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ("", None),
        ('webhook_secret = ""', None),
        (f'webhook_secret = "{SECRET}"', "http://127.0.0.1:8090/webhooks/label-studio?project=fish"),
        (
            f'webhook_secret = "{SECRET}"\npublic_url = "https://labels.example.org/alloop/"',
            "https://labels.example.org/alloop/webhooks/label-studio?project=fish",
        ),
    ],
)
def test_the_configuration_says_where_label_studio_reaches_alloop(tmp_path, more, url):
    (tmp_path / "alloop.toml").write_text(TOML + more)
    with open_workspace(tmp_path) as ws:
        webhook = ws.tool._webhook
    assert (webhook and webhook.url) == url
