"""How long images stay visible in Label Studio, as tests that run on the fake server and on the real one."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from alloop.annotation.image_urls import signed
from alloop.clock import VirtualClock
from alloop.nouns import Task
from alloop.sections import ServiceSection
from alloop.signing import Signer
from tests.annotation.label_studio_behaviour import CAT, batch_of, drained, told

KEY = "a-signing-key-of-32-characters-x"
DAY = 24 * 3600
START = datetime(2026, 11, 2, 9, tzinfo=UTC)


class LabelStudioAddresses:
    """Tests; a subclass has fixtures `person`, and `open_tool`, which opens that person's project."""

    @pytest.fixture
    def clock(self, tmp_path):
        return VirtualClock(tmp_path / "clock.json", START)

    @pytest.fixture
    def urls(self, clock):
        """Good for four days."""
        return signed("birds", ServiceSection(signing_key=SecretStr(KEY), image_days=4), clock)

    @pytest.fixture
    def tool(self, open_tool, urls):
        return open_tool(Task.CLASSIFY, image_url=urls)

    def test_an_address_with_more_than_a_day_left_stays(self, tool, person, clock):
        tool.push(batch_of("a"))
        before, cursor = shown(person), tool.changed_since("").cursor
        clock.sleep(2.9 * DAY)
        tool.changed_since(cursor)
        assert shown(person) == before

    def test_one_with_less_is_renewed_and_opens_the_image(self, tool, person, clock):
        tool.push(batch_of("ab"))
        cursor = tool.changed_since("").cursor
        clock.sleep(3.1 * DAY)
        tool.changed_since(cursor)
        clock.sleep(3.1 * DAY)
        for sample, address in shown(person).items():
            asked = parse_qs(urlsplit(address).query)
            found = {key: asked[key][0] for key in ("expires", "signature")}
            assert Signer("birds", KEY.encode()).check(sample, **found, now=clock.now()) == pytest.approx(0.9 * DAY)

    def test_nothing_else_of_a_task_changes(self, tool, person, clock):
        refs = tool.push(batch_of("dcba"))
        before = {name: task["data"] for name, task in person.tasks().items()}
        clock.sleep(3.1 * DAY)
        tool.changed_since("")
        after = {name: task["data"] for name, task in person.tasks().items()}
        assert [name for name in before if before[name] | {"image": after[name]["image"]} != after[name]] == []
        assert (tool.push(batch_of("dcba")), drained(person)) == (refs, list("dcba"))

    def test_what_is_pushed_later_is_renewed_in_its_own_time(self, tool, person, clock):
        tool.push(batch_of("a"))
        cursor = tool.changed_since("").cursor
        clock.sleep(2 * DAY)
        tool.push(batch_of("x", cycle=4))
        first = shown(person)
        clock.sleep(1.5 * DAY)
        cursor = tool.changed_since(cursor).cursor
        second = shown(person)
        clock.sleep(2 * DAY)
        tool.changed_since(cursor)
        third = shown(person)
        assert [first["a"] == second["a"], first["x"] == second["x"]] == [False, True]
        assert [second["a"] == third["a"], second["x"] == third["x"]] == [True, False]

    def test_a_finished_task_keeps_its_address(self, tool, person, clock):
        tool.push(batch_of("ab"))
        person.work(1)
        before = shown(person)
        clock.sleep(3.5 * DAY)
        changes = tool.changed_since("")
        after = shown(person)
        assert [before["a"] == after["a"], before["b"] == after["b"]] == [True, False]
        assert told(changes)["a"].content == CAT

    def test_renewing_tells_no_answer_again(self, tool, person, clock):
        tool.push(batch_of("ab"))
        person.work(1)
        cursor = tool.changed_since("").cursor
        clock.sleep(3.5 * DAY)
        changes = tool.changed_since(cursor)
        assert (changes.labels, tool.changed_since(changes.cursor).labels) == ((), ())

    def test_an_address_without_an_end_becomes_one_of_ours(self, open_tool, tool, person):
        open_tool(Task.CLASSIFY).push(batch_of("a"))
        tool.changed_since("")
        assert shown(person)["a"].startswith("http://127.0.0.1:8090/images/a?expires=")

    def test_a_short_life_is_renewed_at_half_of_it(self, open_tool, person, clock):
        short = signed("birds", ServiceSection(signing_key=SecretStr(KEY), image_days=0.5), clock)
        tool = open_tool(Task.CLASSIFY, image_url=short)
        tool.push(batch_of("a"))
        before = shown(person)
        assert short.due(before["a"]) == START + timedelta(hours=6)
        clock.sleep(0.3 * DAY)
        tool.changed_since("")
        assert shown(person) != before


def shown(person):
    """{sample id: address of its image}."""
    return {name: task["data"]["image"] for name, task in person.tasks().items()}
