"""Moving in: the images of a Label Studio project, with the labels that people finished there, as a source for the pool."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from alloop.adapters import label_studio_server
from alloop.annotation.form import Form
from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_results import read_results
from alloop.annotation.label_studio_schema import CONTROLS, OUTCOME
from alloop.annotation.label_studio_tasks import listing
from alloop.config import Config
from alloop.errors import BadImage, BadLabel, ConfigError
from alloop.manifest import Drawn, Row
from alloop.moved_images import MovedImages
from alloop.nouns import Content, Outcome, Progress, Task, no_progress
from alloop.sample_store import Cause, SetAside

__all__ = ["MovedIn", "move_in"]

Record = dict[str, Any]
WANTED = (
    "data,annotations,"
    "result,was_cancelled,ground_truth,updated_at,lead_time,parent_prediction"  # of each annotation
)
OWN = "batch_id"
"""Stands in the data of the tasks that alloop pushed: those images are in a pool already."""


@dataclass(frozen=True)
class MovedIn:
    """A source: the images of one Label Studio project. `refused` are those of its tasks that cannot be used, and why."""

    name: str
    found: tuple[Row, ...]
    refused: tuple[SetAside, ...]

    def rows(self) -> Iterator[Row]:
        """The images with their labels."""
        return iter(self.found)


@contextmanager
def move_in(config: Config, project: str, *, progress: Progress = no_progress) -> Iterator[MovedIn]:
    """The project of that title or id on the server of `[annotation.label_studio]`, ready for `add_to_pool`.

    Of several answers to one image the one marked as ground truth stands, else the newest. Skipped, unclear and unanswered
    images come without a label. `group` in a task's data is the sample's group.

    Raises:
        ConfigError: there is no such project, or it asks for something else than this project's task.
        ToolUnavailable: the server does not answer.
    """
    section, form = config.annotation.label_studio, Form(config.project.task, config.project.labels)
    server = label_studio_server(section)
    with server.open() as api:
        there = _project(api, project)
        questions = _questions(there, form)
        root = config.root / section.local_root if section.local_root else None
        folder = config.root / "moved-in" / f"label-studio-{there['id']}"
        images = MovedImages(api, server.url, folder=folder, local_root=root, hosts=section.image_hosts)
        name = f"Label Studio project {there['title']!r}"
        yield _read(name, _tasks(api, there, progress), questions, images)


def _project(api: Api, wanted: str) -> Record:
    """The project of this title, else of this id."""
    found = api.get("/api/projects/", title=wanted, include="id,title", page_size=100)["results"]
    ids = [one["id"] for one in found if one["title"] == wanted]
    if len(ids) > 1:
        raise ConfigError(f"Label Studio has {len(ids)} projects {wanted!r}; name one of the ids {ids}")
    if not ids and not wanted.isdecimal():
        raise ConfigError(f"Label Studio has no project {wanted!r}; name its title, or the number in its address")
    there: Record = api.get(f"/api/projects/{ids[0] if ids else int(wanted)}")
    return there


@dataclass(frozen=True)
class Questions:
    """Which controls of a project carry the label set, and where the image's address stands in a task's data."""

    form: Form
    controls: frozenset[str]
    image: str


def _questions(project: Record, form: Form) -> Questions:
    kinds, parsed = set(CONTROLS[form.task].values()), project["parsed_label_config"]
    fit = {name: one for name, one in parsed.items() if one.get("type") in kinds and _image_of(one)}
    if form.task is Task.CLASSIFY and len(fit) > 1:
        fit = {name: one for name, one in fit.items() if set(one.get("labels", ())) & set(form.labels)}
    images = {_image_of(one) for one in fit.values()}
    if len(images) != 1 or (form.task is Task.CLASSIFY and len(fit) != 1):
        there = ", ".join(f"'{name}' ({one.get('type')})" for name, one in parsed.items()) or "none"
        raise ConfigError(
            f"the Label Studio project {project['title']!r} does not ask one question of the task '{form.task}' about one "
            f"image with these labels ({' or '.join(sorted(kinds))}); its controls are {there}"
        )
    return Questions(form, frozenset(fit), images.pop())


def _image_of(control: Record) -> str:
    """The key in a task's data of the one image that a control looks at; "" when it looks at something else."""
    inputs = control.get("inputs", ())
    return str(inputs[0]["value"]) if len(inputs) == 1 and inputs[0].get("type") == "Image" else ""


def _tasks(api: Api, project: Record, progress: Progress) -> Iterator[Record]:
    tasks = listing(api, project["id"], (), include=WANTED, fields="all")
    for done, task in enumerate(tasks, start=1):
        progress("reading Label Studio", done, project.get("task_number") or 0)
        if OWN not in task["data"]:
            yield task


def _read(name: str, tasks: Iterator[Record], questions: Questions, images: MovedImages) -> MovedIn:
    found, dated, refused = dict[str, Row](), dict[str, str](), list[SetAside]()
    for task in tasks:
        where = f"{name}, task {task['id']}"
        try:
            uri = images.uri_of(task["id"], task["data"].get(questions.image))
        except BadImage as error:
            refused.append(SetAside(where, Cause.BAD_IMAGE, str(error)))
            continue
        answer = _answer(task["annotations"])
        at = answer["updated_at"] if answer else ""
        if uri in found and dated[uri] >= at:
            continue  # the image is in two tasks: the newest answer stands
        try:
            row = _row(Row(uri, group=_group(task["data"]), line=task["id"]), where, answer, questions)
        except BadLabel as error:
            refused.append(SetAside(uri, Cause.BAD_LABEL, f"has a label that cannot be used: {where}: {error}"))
        else:
            found[uri], dated[uri] = row, at
    return MovedIn(name, tuple(found.values()), tuple(one for one in refused if one.uri not in found))


def _group(data: Mapping[str, Any]) -> str | None:
    group = data.get("group")
    return str(group) if isinstance(group, str | int) and str(group) else None


def _answer(annotations: Sequence[Record]) -> Record | None:
    """The annotation that stands; none when there is none that was submitted."""
    given = [one for one in annotations if not one["was_cancelled"]]
    return max(given, key=lambda one: (bool(one["ground_truth"]), one["updated_at"]), default=None)


def _row(row: Row, where: str, answer: Record | None, questions: Questions) -> Row:
    """The row with its label, if there is one; BadLabel when it cannot be used."""
    results = _results(answer, questions) if answer else []
    if answer is None or (questions.form.task is Task.CLASSIFY and not results):
        return row
    if answer["parent_prediction"] is not None and answer["lead_time"] is None:
        raise BadLabel("predictions were turned into annotations in bulk, unseen; delete them, and label the tasks")
    outcome, content = read_results(results, questions.form, None)
    if outcome is not Outcome.LABELLED or content is None:
        return row
    if questions.form.task is Task.CLASSIFY:
        return replace(row, label=content.class_name)
    classes = frozenset(box.class_name for box in content.boxes)
    return replace(row, drawn=Drawn(classes, where, partial(_content, results, questions.form, where)))


def _results(answer: Record, questions: Questions) -> list[Record]:
    """What answers our question, as `read_results` wants it; regions of other kinds stay, and are refused there."""
    results = answer["result"] or []
    if questions.form.task is Task.CLASSIFY:
        return [one | {"from_name": "label"} for one in results if one.get("from_name") in questions.controls]
    return [one for one in results if str(one.get("type")).endswith("labels") or one.get("from_name") == OUTCOME]


def _content(results: Sequence[Record], form: Form, where: str, width: int, height: int) -> Content:
    try:
        _, content = read_results(results, form, (width, height))
    except BadLabel as error:
        raise BadLabel(f"{where}: {error}") from error
    return content or Content()
