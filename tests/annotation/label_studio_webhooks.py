"""The webhooks of a Label Studio, in memory, and what alloop does with them: these tests run on the real server as well."""

import json
import re

import httpx
import pytest
from pydantic import SecretStr

from alloop.annotation.label_studio_webhook import ACTIONS, webhook_at
from tests.annotation.fake_label_studio import FakeLabelStudio
from tests.annotation.label_studio_behaviour import batch_of

SECRET, OTHER = "a-secret-of-24-characters", "another-of-24-characters."
BASE = "https://9.9.9.9"
"""An address that no resolver is needed for, and that is never called: nobody answers in these tests."""
LOOPBACK = "http://127.0.0.1:8090"


class FakeWithWebhooks(FakeLabelStudio):
    """Stores webhooks as Label Studio does: a PATCH without actions leaves none, and a private address is refused."""

    def __init__(self):
        super().__init__()
        self.webhooks = {}

    def _answer(self, request):
        match = re.fullmatch(r"/api/webhooks/(?:(\d+)/)?", request.url.path)
        if match is None:
            return super()._answer(request)
        body = json.loads(request.content) if request.content else {}
        if body.get("url", "").startswith("http://127."):
            told = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
            return httpx.Response(403, json={"detail": told}, request=request)
        if request.method == "GET":
            mine = [row for row in self.webhooks.values() if row["project"] == int(request.url.params["project"])]
            return httpx.Response(200, json=mine, request=request)
        number = int(match[1]) if match[1] else next(self.ids)
        row = self.webhooks.get(number, {"id": number}) | body | {"actions": body.get("actions", [])}
        self.webhooks[number] = row
        return httpx.Response(200 if match[1] else 201, json=row, request=request)


class WebhookBehaviour:
    """Needs the fixtures `open_tool` (options → tool) and `person`."""

    @pytest.fixture
    def push(self, open_tool):
        def push(base=BASE, project="birds", secret=SECRET, batch="a"):
            tool = open_tool(webhook=webhook_at(base, project, SecretStr(secret)))
            return tool.push(batch_of(batch))

        return push

    @pytest.fixture
    def webhooks(self, person):
        return lambda: person.ask("GET", "/api/webhooks/", params={"project": person.number})

    def test_a_push_registers_the_webhook(self, push, webhooks, person):
        push()
        (made,) = webhooks()
        assert made["url"] == f"{BASE}/webhooks/label-studio?project=birds"
        assert made["headers"] == {"X-Alloop-Token": SECRET}
        assert sorted(made["actions"]) == sorted(ACTIONS)
        assert (made["project"], made["is_active"], made["send_for_all_actions"]) == (person.number, True, False)

    def test_twice_is_once(self, push, webhooks):
        push()
        first = webhooks()
        push(batch="ab")
        assert webhooks() == first

    @pytest.mark.parametrize("change", [{"base": "https://149.112.112.112:8443"}, {"secret": OTHER}])
    def test_a_new_address_or_secret_takes_the_place_of_the_old(self, push, webhooks, change):
        push()
        (old,) = webhooks()
        push(**change)
        (new,) = webhooks()
        assert new["id"] == old["id"]
        assert new["url"] == f"{change.get('base', BASE)}/webhooks/label-studio?project=birds"
        assert new["headers"] == {"X-Alloop-Token": change.get("secret", SECRET)}
        assert sorted(new["actions"]) == sorted(ACTIONS)

    def test_the_webhooks_of_others_stay(self, push, webhooks):
        push(project="fish")
        push(project="birds & bees")
        assert sorted(one["url"].rpartition("=")[2] for one in webhooks()) == ["birds+%26+bees", "fish"]

    def test_one_that_was_switched_off_or_lost_its_events_is_mended(self, push, webhooks, person):
        push()
        (made,) = webhooks()
        person.ask("PATCH", f"/api/webhooks/{made['id']}/", json={"is_active": False})
        assert webhooks()[0]["actions"] == []
        push()
        assert (webhooks()[0]["is_active"], sorted(webhooks()[0]["actions"])) == (True, sorted(ACTIONS))

    def test_a_refused_address_is_a_warning_and_the_push_goes_on(self, push, webhooks, caplog):
        assert set(push(base=LOOPBACK)) == {"a"}
        assert webhooks() == []
        (record,) = caplog.records
        assert "answers are noticed on alloop's timer only" in record.getMessage()
        assert "reserved network address" in record.getMessage()
        assert SECRET not in record.getMessage()

    def test_without_a_webhook_none_is_registered(self, open_tool, webhooks):
        open_tool().push(batch_of("a"))
        assert webhooks() == []
