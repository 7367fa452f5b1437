"""The Label Studio adapter on a real server; `make test-live` runs these."""

import base64
import io
import threading

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from alloop.annotation.form import Form
from alloop.annotation.label_studio import LabelStudioTool
from alloop.annotation.label_studio_client import Server
from alloop.errors import ConfigError, ToolUnavailable
from alloop.nouns import Box, Content, Outcome, Task
from alloop.testing.annotation_contract import LABELS, AnnotationToolContract
from tests.annotation.label_studio_addresses import LabelStudioAddresses
from tests.annotation.label_studio_answers import LabelStudioAnswers, measured
from tests.annotation.label_studio_behaviour import LabelStudioBehaviour, batch_of, drained, told
from tests.annotation.label_studio_person import Person, choice, rectangle
from tests.annotation.label_studio_sharing import LabelStudioShared, LabelStudioSharing
from tests.live.label_studio_server import EMAIL, TOKEN, start_copy


def picture(sample):
    """A small PNG inside its own address, so that the browser needs nobody else."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, len(sample.id) * 40 % 256, 60)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def make_tool(server, title, task=Task.CLASSIFY, labels=LABELS, *, token=TOKEN, transport=None, image_url=picture):
    return LabelStudioTool(
        Server(server.url, SecretStr(token), transport=transport),
        title,
        form=Form(task, labels),
        image_url=image_url,
        size_of=lambda samples: dict.fromkeys(samples, (40, 30)),
    )


@pytest.fixture
def open_tool(server, title):
    return lambda *form, **options: make_tool(server, title, *form, **options)


@pytest.fixture
def person(server, title):
    with server.client() as client:
        yield Person(client, title, EMAIL)


@pytest.fixture
def people(accounts, title):
    return [Person(client, title, email) for email, client in accounts.items()]


class TestContract(AnnotationToolContract):
    @pytest.fixture(autouse=True)
    def _project(self, server, title, person):
        self.server, self.title, self.person = server, title, person

    def make_tool(self, home):
        return make_tool(self.server, self.title)

    def answer(self, tool, batch, *, count):
        self.person.work(count)


class TestBehaviour(LabelStudioBehaviour):
    pass


class TestAnswers(LabelStudioAnswers):
    pass


class TestShared(LabelStudioShared):
    pass


class TestSharing(LabelStudioSharing):
    pass


class TestAddresses(LabelStudioAddresses):
    pass


def test_two_hundred_images_go_through_the_hands_of_people(open_tool, person):
    """Pushed with pre-labels, served by rank, and answered, skipped, called unclear, changed and deleted."""
    names = [f"{number:03d}" for number in range(200)]
    boxes = (Box("cat", 4, 3, 20, 15), Box("dog", 10, 12, 36, 27))
    tool = open_tool(Task.DETECT)
    tool.push(batch_of(names, content=Content(boxes=boxes)))
    served, made, cursor, arrived = [], {}, "", {}
    for number in range(200):
        task = person.next()
        name = task["data"]["item_id"]
        served.append(name)
        shown = [measured(row) for row in task["predictions"][0]["result"]]
        if number % 10 == 3:
            person.skip(task["id"], shown)
        elif number % 10 == 6:
            person.submit(task["id"], [*shown, choice("unclear", "outcome")])
        else:
            made[name] = person.submit(task["id"], shown if number % 2 else shown[:1])["id"]
        if number % 50 == 49:
            changes = tool.changed_since(cursor)
            assert not set(arrived) & set(told(changes))
            arrived |= told(changes)
            cursor = changes.cursor
    assert served == names
    assert person.next() is None
    wanted = {name: Content(boxes=boxes if int(name) % 2 else boxes[:1]) for name in made}
    assert {name: label.content for name, label in arrived.items() if label.content} == wanted
    assert {name for name, label in arrived.items() if label.outcome is Outcome.SKIPPED} == set(names[3::10])
    assert {name for name, label in arrived.items() if label.outcome is Outcome.UNCLEAR} == set(names[6::10])

    person.edit(made["000"], result=[rectangle(50, 50, 25, 50, name="dog")], lead_time=9.0)
    person.delete(made["001"])
    changes = tool.changed_since(cursor)
    assert {name: label.content.boxes for name, label in told(changes).items()} == {
        "000": (Box("dog", 20, 15, 30, 30),)
    }
    assert changes.present == {label.ref for label in arrived.values()} - {str(made["001"])}


class Killer(httpx.HTTPTransport):
    """A connection to a server that is killed while it works on its third import."""

    def __init__(self, server):
        super().__init__()
        self._imports, self.timer = 0, threading.Timer(0.1, server.kill)

    def handle_request(self, request):
        self._imports += request.url.path.endswith("/import")
        if self._imports == 3 and not self.timer.is_alive():
            self.timer.start()
        return super().handle_request(request)


def test_a_server_that_is_killed_while_it_imports_has_every_task_once_in_the_end(venv, tmp_path):
    server = start_copy(venv, tmp_path / "data")
    try:
        killer = Killer(server)
        batch = batch_of([f"{number:04d}" for number in range(3000)])
        with pytest.raises(ToolUnavailable):
            make_tool(server, "killed", transport=killer).push(batch)
        killer.timer.join()
        server.start()
        with server.client() as client:
            person = Person(client, "killed", EMAIL)
            assert 1000 <= len(person.tasks()) <= 1500
            refs = make_tool(server, "killed").push(batch)
            assert len(refs) == 3000
            assert {name: str(task["id"]) for name, task in person.tasks().items()} == refs
            assert drained(person, 3) == ["0000", "0001", "0002"]
    finally:
        server.stop()


@pytest.fixture(scope="module")
def personal_token(server):
    with server.client() as client:
        answer = client.post("/api/token/")
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]


def test_a_personal_access_token_works_as_well(open_tool, personal_token, person):
    tool = open_tool(token=personal_token)
    tool.push(batch_of("ab"))
    person.work(1)
    assert set(told(tool.changed_since(""))) == {"a"}


@pytest.mark.parametrize("token", ["f" * 40, "eyJh.eyJi.c2ln"])
def test_a_wrong_token_is_refused_and_not_shown(open_tool, token):
    with pytest.raises(ConfigError, match="refuses the token") as refusal:
        open_tool(token=token).push(batch_of("a"))
    assert token not in str(refusal.value)


def test_two_people_share_the_queue_and_sign_their_answers(open_tool, people):
    tool = open_tool()
    tool.push(batch_of("abcdef"))
    served = []
    for _ in range(3):
        for one in people[:2]:
            task = one.next()
            served.append(task["data"]["item_id"])
            one.choose(task["id"], "cat")
    labels = told(tool.changed_since(""))
    assert served == list("abcdef")
    assert [labels[name].annotator for name in "abcdef"] == [EMAIL, "second@alloop.test"] * 3
