"""Images and finished labels of a Label Studio project come into the pool."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from pydantic import SecretStr
from typer.testing import CliRunner

import alloop.adapters
from alloop.annotation.label_studio_client import Server
from alloop.cli import app
from alloop.config import load_config
from alloop.errors import ConfigError
from alloop.moving_in import move_in
from alloop.nouns import Box, Content
from alloop.workspace import open_workspace
from tests.annotation.fake_label_studio import TOKEN, FakeLabelStudio
from tests.annotation.label_studio_person import choice, rectangle, region

TOML = """
[project]
name = "birds"
task = "{task}"
labels = ["cat", "dog"]
[model]
kind = "tests.small_project:nearest_centroid"
[annotation.label_studio]
url = "http://fake"
token = "{token}"
{root}
{more}
"""
CHOICES = """<View><Image name="img" value="$image"/><Choices name="kind" toName="img">
<Choice value="cat"/><Choice value="dog"/><Choice value="bird"/><Choice value="unclear"/></Choices>
<Choices name="quality" toName="img"><Choice value="blurred"/></Choices></View>"""
BOXES = """<View><Image name="img" value="$image"/>
<RectangleLabels name="kind" toName="img"><Label value="cat"/><Label value="dog"/><Label value="bird"/></RectangleLabels>
<PolygonLabels name="shape" toName="img"><Label value="cat"/></PolygonLabels></View>"""


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (number, 90, 10)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def picture(tmp_path):
    """Makes image files; their paths."""

    def picture(number):
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number))
        return str(path)

    return picture


class House:
    """A project in Label Studio, and an alloop project to move it into."""

    def __init__(self, folder, fake):
        self.folder, self.fake = folder, fake

    def build(self, config=CHOICES, *, task="classify", more="", local_root=".."):
        root = f"local_root = '{local_root}'" if local_root else ""
        (self.folder / "alloop.toml").write_text(TOML.format(task=task, token=TOKEN, root=root, more=more))
        with self.fake.client() as client:
            body = {"title": "Old", "label_config": config}
            self.project = client.post("/api/projects/", json=body).json()["id"]
        return self

    def add(self, place, *answers, **data):
        """A task and its annotations, each a dict."""
        with self.fake.client() as client:
            task = {"data": {"image": place, **data}}
            number = client.post(f"/api/projects/{self.project}/import", json=[task]).json()["task_ids"][0]
            for answer in answers:
                body = {"lead_time": 2.0, **answer}
                client.post(f"/api/tasks/{number}/annotations/", json=body).raise_for_status()
        return number

    def move(self, wanted="Old"):
        """What the command prints."""
        result = CliRunner().invoke(app, ["pool", "add", "--from-label-studio", wanted, "--config", str(self.folder)])
        assert result.exit_code == 0, result.output
        return result.stdout

    def truths(self):
        """{uri: what people said} of the samples."""
        with open_workspace(self.folder) as ws:
            return {one.uri: one.truth for some in ws.ledger.samples.everything(shard=100) for one in some}

    def source(self, wanted="Old"):
        with move_in(load_config(self.folder), wanted) as source:
            return source


@pytest.fixture
def house(tmp_path, monkeypatch):
    fake = FakeLabelStudio()
    folder = tmp_path / "birds"
    folder.mkdir()
    server = Server("http://fake", SecretStr(TOKEN), transport=fake)
    monkeypatch.setattr("alloop.moving_in.label_studio_server", lambda section: server)
    return House(folder, fake)


def said(name, control="kind", **fields):
    return {"result": [choice(name, control) | {"to_name": "img"}], **fields}


def boxed(*regions, **fields):
    return {"result": [one | {"from_name": "kind", "to_name": "img"} for one in regions], **fields}


def test_images_come_with_the_classes_that_people_chose(house, picture):
    house.build()
    house.add(picture(1), said("cat"))
    house.add(picture(2), said("dog"))
    house.add(picture(3))
    assert house.move() == "3 added, 0 known, 0 set aside\n2 of 3 have labels\n"
    assert house.truths() == {picture(1): Content("cat"), picture(2): Content("dog"), picture(3): None}


def test_twice_is_once(house, picture):
    house.build()
    house.add(picture(1), said("cat"))
    house.move()
    assert house.move() == "0 added, 1 known, 0 set aside\n1 of 1 have labels\n"


def test_the_project_is_found_by_its_number_too(house, picture):
    house.build()
    house.add(picture(1), said("cat"))
    assert house.move(str(house.project)).startswith("1 added")


def test_an_unknown_label_is_set_aside_with_its_reason(house, picture):
    house.build()
    number = house.add(picture(1), said("bird"))
    house.add(picture(2), said("cat"))
    told = house.move()
    assert told.startswith("1 added, 0 known, 1 set aside\n")
    assert f"task {number}: label 'bird' is not in the label set" in told
    assert house.truths() == {picture(2): Content("cat")}


@pytest.mark.parametrize("answer", [said("cat", was_cancelled=True), said("unclear"), said("blurred", "quality")])
def test_skipped_unclear_and_other_questions_are_no_labels(house, picture, answer):
    house.build()
    house.add(picture(1), answer)
    house.move()
    assert house.truths() == {picture(1): None}


def test_predictions_that_were_accepted_unseen_are_no_labels(house, picture):
    house.build()
    house.add(picture(1), said("cat", parent_prediction=7, lead_time=None))
    house.add(picture(2), said("cat"))
    assert "turned into annotations in bulk, unseen" in house.move()
    assert house.truths() == {picture(2): Content("cat")}


def test_the_newest_answer_stands(house, picture):
    house.build()
    house.add(picture(1), said("cat"), said("dog"))
    house.move()
    assert house.truths() == {picture(1): Content("dog")}


def test_the_ground_truth_stands_above_newer_answers(house, picture):
    house.build()
    house.add(picture(1), said("cat", ground_truth=True), said("dog"))
    house.move()
    assert house.truths() == {picture(1): Content("cat")}


def test_an_image_in_two_tasks_is_one_sample_with_the_newest_answer(house, picture):
    house.build()
    house.add(picture(1), said("cat"))
    house.add(picture(1), said("dog"))
    house.add(picture(1))
    assert house.move().startswith("1 added, 0 known, 0 set aside")
    assert house.truths() == {picture(1): Content("dog")}


def test_tasks_that_alloop_pushed_are_passed_over(house, picture):
    house.build()
    house.add(picture(1), said("cat"))
    house.add(picture(2), said("cat"), batch_id="birds/3", item_id="abc")
    house.move()
    assert set(house.truths()) == {picture(1)}


def test_groups_in_the_data_are_groups_of_the_pool(house, picture):
    house.build()
    house.add(picture(1), said("cat"), group="clip-a")
    house.add(picture(2), said("cat"))
    assert [row.group for row in house.source().rows()] == ["clip-a", None]


def test_boxes_come_in_pixels(house, picture):
    house.build(BOXES, task="detect", more="[loop]\nladder = ['random']")
    house.add(picture(1), boxed(rectangle(10, 20, 50, 50), rectangle(0, 0, 25, 10, name="dog")))
    house.add(picture(2), boxed())
    house.move()
    boxes = (Box("cat", 4, 6, 24, 21), Box("dog", 0, 0, 10, 3))
    assert house.truths() == {picture(1): Content(boxes=boxes), picture(2): Content()}


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        (rectangle(10, 20, 50, 50, name="bird"), "label 'bird' is not in the label set"),
        (region("polygonlabels", {"points": [[0, 0], [9, 9], [0, 9]], "polygonlabels": ["cat"]}), "'polygonlabels'"),
        (rectangle(10, 20, 50, 50, original_width=300), "the regions lie on a picture of 300 x 30 pixels"),
    ],
)
def test_half_an_answer_is_none(house, picture, drawn, reason):
    house.build(BOXES, task="detect", more="[loop]\nladder = ['random']")
    house.add(picture(1), boxed(rectangle(10, 20, 50, 50), drawn))
    house.add(picture(2))
    assert reason in house.move()
    assert house.truths() == {picture(2): None}


def test_images_inside_their_tasks_become_files_of_the_project(house):
    house.build()
    number = house.add("data:image/png;base64," + base64.b64encode(png(5)).decode(), said("cat"))
    house.move()
    (uri,) = house.truths()
    assert Path(uri) == house.folder / "moved-in" / f"label-studio-{house.project}" / f"task-{number}.png"
    assert Path(uri).read_bytes() == png(5)
    assert house.move().startswith("0 added, 1 known")


def test_images_on_label_studios_disk_are_read_from_there(house, picture):
    house.build()
    picture(7)
    house.add("/data/local-files/?d=images/7.png", said("cat"))
    house.add("http://fake/data/local-files/?d=images%2F8.png", said("dog"))
    picture(8)
    house.move()
    assert house.truths() == {picture(7): Content("cat"), picture(8): Content("dog")}


def test_images_on_label_studios_disk_need_to_be_told_where_that_is(house):
    house.build(local_root=None)
    house.add("/data/local-files/?d=images/7.png")
    with pytest.raises(ConfigError, match=r"set \[annotation\.label_studio\] local_root"):
        house.source()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/data/local-files/?d=../../etc/passwd", "leads out of"),
        ("/data/upload/1/../../../api/users", "leads out of the uploads"),
        ("data:image/png;base64,???", "no image in base64"),
        ("data:text/html,<p>", "no image in base64"),
        ("7.png", "no address that can be read from here"),
        ("/etc/hostname", "leads out of"),
        ("/data/elsewhere/7.png", "no address that can be read from here"),
        ("", "names no image"),
        (None, "names no image"),
        (["a.png", "b.png"], "names no image"),
    ],
)
def test_what_names_no_image_is_set_aside(house, picture, place, reason):
    house.build()
    number = house.add(place, said("cat"))
    house.add(picture(1))
    told = house.move()
    assert told.startswith("1 added, 0 known, 1 set aside")
    assert f"Label Studio project 'Old', task {number}" in told
    assert reason in told


def test_hosts_of_an_inner_network_can_be_allowed(house):
    house.build(more="image_hosts = ['10.0.0.5']")
    house.add("http://10.0.0.5:9000/a.png")
    house.add("http://10.0.0.6:9000/b.png")
    assert [row.uri for row in house.source().rows()] == ["http://10.0.0.5:9000/a.png"]


def test_addresses_on_the_web_stay_what_they_are(house):
    house.build()
    house.add("https://93.184.216.34/a.png", said("cat"))
    house.add("s3://bucket/b.png")
    assert [row.uri for row in house.source().rows()] == ["https://93.184.216.34/a.png", "s3://bucket/b.png"]


def test_a_project_that_asks_something_else_is_refused(house):
    house.build(task="detect", more="[loop]\nladder = ['random']")
    with pytest.raises(ConfigError, match=r"does not ask one question of the task 'detect'.*'kind' \(Choices\)"):
        house.source()


def test_a_project_that_is_not_there_is_refused(house):
    house.build()
    with pytest.raises(ConfigError, match="no project 'New'; name its title"):
        house.source("New")


@pytest.mark.parametrize("given", [[], ["images", "--from-label-studio", "Old"]])
def test_one_source_has_to_be_named(given):
    result = CliRunner().invoke(app, ["pool", "add", *given])
    assert result.exit_code == 2
    assert "--from-label-studio" in result.output


def test_a_token_is_asked_for(tmp_path):
    section = load_config_without_token(tmp_path)
    with pytest.raises(ConfigError, match="ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN"):
        alloop.adapters.label_studio_server(section)


def load_config_without_token(folder):
    (folder / "alloop.toml").write_text('[project]\nname = "birds"\nlabels = ["cat", "dog"]\n')
    return load_config(folder).annotation.label_studio
