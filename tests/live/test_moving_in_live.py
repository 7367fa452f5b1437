"""Moving in from a real Label Studio: uploaded and inline images, and answers given through its interface."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from alloop.cli import app
from alloop.nouns import Box, Content
from alloop.workspace import open_workspace
from tests.annotation.label_studio_person import Person, choice, rectangle
from tests.live.label_studio_server import EMAIL, TOKEN

TOML = """
[project]
name = "birds"
task = "{task}"
labels = ["cat", "dog"]
[model]
kind = "tests.small_project:nearest_centroid"
[loop]
ladder = ["random"]
[annotation.label_studio]
url = "{url}"
token = "{token}"
"""
CHOICES = """<View><Image name="img" value="$picture"/><Choices name="kind" toName="img">
<Choice value="cat"/><Choice value="dog"/><Choice value="bird"/></Choices>
<Choices name="quality" toName="img"><Choice value="blurred"/></Choices></View>"""
BOXES = """<View><Image name="img" value="$picture"/>
<RectangleLabels name="kind" toName="img"><Label value="cat"/><Label value="dog"/></RectangleLabels></View>"""


def png(number):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (number, 90, 10)).save(file, "PNG")
    return file.getvalue()


def inline(number):
    return "data:image/png;base64," + base64.b64encode(png(number)).decode()


class House:
    """A project in Label Studio, and an alloop project to move it into."""

    def __init__(self, person, folder, title):
        self.person, self.folder, self.title = person, folder, title

    def build(self, url, config, *, task):
        (self.folder / "alloop.toml").write_text(TOML.format(task=task, url=url, token=TOKEN))
        self.person.ask("POST", "/api/projects/", json={"title": self.title, "label_config": config})

    def add(self, *places):
        """The ids of new tasks."""
        rows = [{"data": {"picture": place}} for place in places]
        where = f"/api/projects/{self.person.number}/import"
        return self.person.ask("POST", where, json=rows, params={"return_task_ids": "true"})["task_ids"]

    def upload(self, number):
        """A task whose image lies in Label Studio; its id."""
        where = f"/api/projects/{self.person.number}/import"
        self.person.ask("POST", where, files={"file": (f"{number}.png", png(number), "image/png")})
        params = {"project": self.person.number, "fields": "all", "page_size": 100}
        return max(task["id"] for task in self.person.ask("GET", "/api/tasks", params=params)["tasks"])

    def move(self):
        result = CliRunner().invoke(
            app, ["pool", "add", "--from-label-studio", self.title, "--config", str(self.folder)]
        )
        assert result.exit_code == 0, result.output
        return result.stdout

    def truths(self):
        """{bytes of the image: what people said}."""
        with open_workspace(self.folder) as ws:
            samples = [one for some in ws.ledger.samples.everything(shard=100) for one in some]
        return {Path(one.uri).read_bytes(): one.truth for one in samples}


@pytest.fixture
def house(server, title, tmp_path):
    with server.client() as client:
        yield House(Person(client, title, EMAIL), tmp_path, title)


def say(control, name):
    return choice(name, control) | {"to_name": "img"}


def test_classes_of_uploaded_and_inline_images(house, server):
    house.build(server.url, CHOICES, task="classify")
    first, second, third, _ = house.add(inline(1), inline(2), inline(3), inline(4))
    fifth = house.upload(5)
    house.person.submit(first, [say("kind", "cat"), say("quality", "blurred") | {"id": "c2"}])
    house.person.submit(second, [say("kind", "bird")])
    house.person.skip(third, [say("kind", "dog")])
    house.person.submit(fifth, [say("kind", "cat")])
    house.person.submit(fifth, [say("kind", "dog")])
    told = house.move()
    assert told.startswith("4 added, 0 known, 1 set aside\n2 of 4 have labels\n")
    assert f"task {second}: label 'bird' is not in the label set" in told
    assert house.truths() == {png(1): Content("cat"), png(3): None, png(4): None, png(5): Content("dog")}
    assert house.move().startswith("0 added, 4 known, 1 set aside")


def test_boxes(house, server):
    house.build(server.url, BOXES, task="detect")
    first, second = house.add(inline(1), inline(2))
    drawn = rectangle(10, 20, 50, 50, name="dog") | {"from_name": "kind", "to_name": "img"}
    house.person.submit(first, [drawn])
    house.person.submit(second, [])
    house.move()
    assert house.truths() == {png(1): Content(boxes=(Box("dog", 4, 6, 24, 21),)), png(2): Content()}
