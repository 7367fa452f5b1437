import pytest
from pydantic import SecretStr

from alloop.annotation.form import Form
from alloop.annotation.image_urls import signed
from alloop.annotation.label_studio import LabelStudioTool
from alloop.annotation.label_studio_client import Server
from alloop.clock import VirtualClock
from alloop.errors import ConfigError, ToolUnavailable
from alloop.nouns import Prelabel, Task
from alloop.sections import ServiceSection
from alloop.testing.annotation_contract import LABELS, AnnotationToolContract
from tests.annotation.fake_label_studio import EMAIL, PEOPLE, TOKEN, FakeLabelStudio
from tests.annotation.label_studio_addresses import DAY, KEY, START, LabelStudioAddresses
from tests.annotation.label_studio_answers import LabelStudioAnswers
from tests.annotation.label_studio_behaviour import DOG, LabelStudioBehaviour, batch_of, drained, told
from tests.annotation.label_studio_person import Person
from tests.annotation.label_studio_sharing import LabelStudioShared, LabelStudioSharing, again, shared, take

TITLE = "Signs"


def plain(sample):
    return f"https://images.example/{sample.uri}"


def make_tool(fake, task=Task.CLASSIFY, labels=LABELS, title=TITLE, *, image_url=plain):
    return LabelStudioTool(
        Server("http://fake", SecretStr(TOKEN), transport=fake),
        title,
        form=Form(task, labels),
        image_url=image_url,
        size_of=lambda samples: dict.fromkeys(samples, (40, 30)),
    )


@pytest.fixture
def fake():
    return FakeLabelStudio()


@pytest.fixture
def open_tool(fake):
    return lambda *form, **options: make_tool(fake, *form, **options)


@pytest.fixture
def person(fake):
    with fake.client() as client:
        yield Person(client, TITLE, EMAIL)


@pytest.fixture
def people(fake):
    return [Person(fake.client(number), TITLE, email) for number, email in PEOPLE.items()]


class TestContract(AnnotationToolContract):
    @pytest.fixture(autouse=True)
    def _server(self, fake, person):
        self.fake, self.person = fake, person

    def make_tool(self, home):
        return make_tool(self.fake)

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


@pytest.fixture
def small_chunks(monkeypatch):
    """Two tasks a request, so that a small batch takes many."""
    monkeypatch.setattr("alloop.annotation.label_studio_tasks.CHUNK", 2)


def cuts(work):
    """Servers whose connection breaks at one request of `work(fake)`, before or after it took effect: each once."""
    fake = FakeLabelStudio()
    work(fake)
    for number in range(len(fake.requests)):
        for when in ("before", "after"):
            fake = FakeLabelStudio()
            fake.cut = (number, when)
            with pytest.raises(ToolUnavailable):
                work(fake)
            fake.cut = None
            work(fake)
            with fake.client() as client:
                yield Person(client, TITLE, EMAIL)


def push_all(fake):
    make_tool(fake).push(batch_of("abcde"))


def push_and_publish(fake):
    push_all(fake)
    make_tool(fake).publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "abcde"})


def test_a_push_cut_off_anywhere_goes_on(small_chunks):
    for person in cuts(push_all):
        assert list(person.tasks()) == list("abcde")
        assert drained(person) == list("abcde")


def test_publishing_cut_off_anywhere_goes_on(small_chunks):
    for person in cuts(push_and_publish):
        tasks = person.tasks().values()
        assert [[row["model_version"] for row in task["predictions"]] for task in tasks] == [["v3/b3", "v4/b3"]] * 5
        assert drained(person) == list("abcde")


def push_shared(fake):
    make_tool(fake).push(shared("abc", only="ab"))


def test_a_push_for_several_people_cut_off_anywhere_goes_on(small_chunks):
    for person in cuts(push_shared):
        assert [(task["overlap"], task["is_labeled"]) for task in person.tasks().values()] == [
            (2, False),
            (2, False),
            (1, False),
        ]


def test_asking_again_cut_off_anywhere_goes_on():
    def ask_again(fake):
        if not fake.tasks:
            answered(fake)
        make_tool(fake).push(again("a"))

    def answered(fake):
        fake.cut, cut = None, fake.cut
        push_shared(fake)
        for number in PEOPLE:
            with fake.client(number) as client:
                take(Person(client, TITLE))
        fake.requests.clear()
        fake.cut = cut

    for person in cuts(ask_again):
        rows = person.ask("GET", "/api/tasks", params={"project": person.number, "fields": "all", "page_size": 100})
        asked = [task for task in rows["tasks"] if task["data"]["cycle"] == 4]
        assert [(task["overlap"], task["is_labeled"], task["cancelled_annotations"]) for task in asked] == [
            (3, False, 2)
        ]


def test_a_server_that_is_down_is_asked_again_later(fake):
    fake.down = True
    with pytest.raises(ToolUnavailable, match=r"Label Studio at http://fake does not answer GET /api/projects/"):
        make_tool(fake).changed_since("")


def test_two_projects_of_one_title_are_refused(fake, open_tool):
    open_tool().push(batch_of("a"))
    with fake.client() as client:
        client.post("/api/projects/", json={"title": TITLE, "label_config": "<View/>"})
    with pytest.raises(ConfigError, match="2 projects 'Signs'"):
        open_tool().changed_since("")


def test_a_project_whose_title_only_contains_ours_is_another(fake, open_tool):
    open_tool(title="Signs, old").push(batch_of("a"))
    assert open_tool().changed_since("").labels == ()


def test_a_project_made_anew_has_lost_everything_that_was_told(fake, open_tool, person):
    refs = open_tool().push(batch_of("a"))
    person.choose(int(refs["a"]), "cat")
    cursor = open_tool().changed_since("").cursor
    person.ask("DELETE", f"/api/projects/{person.number}")
    refs = open_tool().push(batch_of("a"))
    made = person.choose(int(refs["a"]), "dog")
    changes = open_tool().changed_since(cursor)
    assert (told(changes)["a"].content, changes.present) == (DOG, {str(made["id"])})


def test_addresses_that_are_not_due_cost_nothing(fake, open_tool, tmp_path):
    clock = VirtualClock(tmp_path / "clock.json", START)
    tool = open_tool(image_url=signed("birds", ServiceSection(signing_key=SecretStr(KEY)), clock))
    tool.push(batch_of("ab"))
    cursor = tool.changed_since("").cursor
    before = len(fake.requests)
    clock.sleep(28 * DAY)
    tool.changed_since(cursor)
    assert len(fake.requests) - before == 3


def test_nothing_new_costs_no_list_of_all_annotations(fake, open_tool, person):
    open_tool().push(batch_of("ab"))
    person.work(1)
    cursor = open_tool().changed_since("").cursor
    before = len(fake.requests)
    person_free = open_tool().changed_since(cursor)
    assert person_free.present is None
    assert len(fake.requests) - before == 3


@pytest.mark.parametrize("title", ["", "ab"])
def test_a_title_that_label_studio_would_refuse_is_refused_at_once(fake, title):
    with pytest.raises(ConfigError, match="too short"):
        make_tool(fake, title=title)


def test_a_label_called_unclear_is_refused(fake):
    with pytest.raises(ConfigError, match="nobody can tell"):
        make_tool(fake, labels=("cat", "unclear"))
