"""What the fake Label Studio answers to each request; see `fake_label_studio`."""

import json
import random
import xml.etree.ElementTree as ElementTree
from datetime import datetime

EMAIL = "admin@alloop.test"
DEFAULTS = {
    "sampling": "Sequential sampling",
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "show_collab_predictions": True,
    "model_version": "",
    "maximum_annotations": 1,
}


class Refuse(Exception):
    """An answer with an error status."""

    def __init__(self, status, detail="Not found."):
        super().__init__(detail)
        self.status, self.detail = status, detail


def parsed(config):
    """Controls as `parsed_label_config` tells them."""
    root = ElementTree.fromstring(config)
    sources = {tag.get("name"): tag.get("value").lstrip("$") for tag in root.iter("Image")}
    return {
        tag.get("name"): {
            "type": tag.tag,
            "to_name": [tag.get("toName")],
            "inputs": [{"type": "Image", "value": sources[tag.get("toName")]}],
            "labels": [label.get("value") for label in tag],
        }
        for tag in root.iter()
        if tag.get("toName")
    }


def list_projects(fake, body, params):
    found = [row for row in fake.projects.values() if params["title"].lower() in row["title"].lower()]
    return 200, {
        "count": len(found),
        "next": None,
        "results": [{"id": row["id"], "title": row["title"]} for row in found],
    }


def make_project(fake, body, params):
    if len(body["title"]) < 3:
        raise Refuse(400, "Ensure this field has at least 3 characters.")
    number = next(fake.ids)
    fake.projects[number] = {**DEFAULTS, **body, "id": number}
    return 201, fake.whole(fake.projects[number])


def get_project(fake, body, params, number):
    if number not in fake.projects:
        raise Refuse(404)
    return 200, fake.whole(fake.projects[number])


def change_project(fake, body, params, number):
    known = {row["model_version"] for row in fake.predictions.values()}
    if body.get("model_version") and body["model_version"] not in known:
        raise Refuse(400, "Model version doesn't exist either as live model or as static predictions.")
    fake.projects[number] |= body
    return 200, fake.whole(fake.projects[number])


def drop_project(fake, body, params, number):
    for task in [task for task, row in fake.tasks.items() if row["project"] == number]:
        fake.remove_task(task)
    del fake.projects[number]
    return 204, None


def import_tasks(fake, body, params, project):
    made = []
    for row in body:
        if "image" not in row["data"]:
            raise Refuse(400, "'image' key is expected in task data")
        number = next(fake.ids)
        usual = {"overlap": fake.projects[project]["maximum_annotations"], "is_labeled": False}
        fake.tasks[number] = {"id": number, "project": project, "data": row["data"], "updated_at": "", **usual}
        fake.touch(number)
        made.append(number)
        for annotation in row.get("annotations", []):
            add_annotation(fake, number, annotation)
        for prediction in row.get("predictions", []):
            fake.add_prediction(number, prediction)
            fake.projects[project]["model_version"] = (
                fake.projects[project]["model_version"] or prediction["model_version"]
            )
    return 201, {"task_count": len(made), "task_ids": made}


def import_predictions(fake, body, params, project):
    if not all(row["task"] in fake.tasks for row in body):
        raise Refuse(400, "contains invalid task field")
    taken = [row for row in body if 0 <= row["score"] <= 1]  # the others are named in the log
    for row in taken:
        fake.add_prediction(row["task"], {key: row[key] for key in ("model_version", "score", "result")})
    return 201, {"created": len(taken)}


def meets(task, condition):
    field, value = condition["filter"].removeprefix("filter:tasks:"), condition["value"]
    found = task["data"].get(field[5:]) if field.startswith("data.") else task[field]
    if field == "annotations_ids":
        found = max((int(number) for number in found.split(",") if number), default=0)
    if field == "updated_at":
        found, value = datetime.fromisoformat(found), datetime.fromisoformat(value)
    tests = {
        "equal": lambda: found == value,
        "greater": lambda: found > value,
        "in_list": lambda: found in value,
    }
    return tests[condition["operator"]]()


def list_tasks(fake, body, params):
    if len(str(params)) > 16_000:
        raise Refuse(400, "Request-URI Too Long")
    query = json.loads(params["query"]) if "query" in params else {"filters": {"items": []}}
    rows = [fake.shown(task) for task in fake.tasks.values() if task["project"] == int(params["project"])]
    found = [row for row in rows if all(meets(row, condition) for condition in query["filters"]["items"])]
    field = query.get("ordering", ["tasks:id"])[0]
    key = field.removeprefix("-").removeprefix("tasks:")
    page = sorted(found, key=lambda row: row[key], reverse=field.startswith("-"))[: int(params["page_size"])]
    wanted = params["include"].split(",") if "include" in params else None
    hidden = () if params["fields"] == "all" else ("annotations", "predictions")
    return 200, {
        "total": len(found),
        "tasks": [only({k: row[k] for k in row if k not in hidden}, wanted) for row in page],
    }


def only(row, wanted):
    """The wanted fields, and those of nested rows too."""
    if wanted is None:
        return row
    kept = {key: value for key, value in row.items() if key in wanted}
    for nested in ("annotations", "predictions"):
        if nested in kept:
            kept[nested] = [{key: one[key] for key in one if key in wanted} for one in kept[nested]]
    return kept


def change_task(fake, body, params, number):
    if number not in fake.tasks:
        raise Refuse(404)
    fake.tasks[number] |= body
    fake.touch(number)
    return 200, fake.tasks[number]


def annotate(fake, body, params, task):
    if task not in fake.tasks:
        raise Refuse(404)
    unique = body.pop("unique_id", None)
    if unique and any(row.get("unique_id") == unique for row in fake.annotations.values()):
        raise Refuse(409, "Annotation with this unique id already exists")
    return 201, add_annotation(fake, task, {"unique_id": unique, **body})


def add_annotation(fake, task, fields):
    number, now = next(fake.ids), fake.now()
    usual = {"was_cancelled": False, "lead_time": None, "parent_prediction": None, "ground_truth": False}
    dated = {"created_at": now, "updated_at": now, "completed_by": fake.user, "task": task}
    fake.annotations[number] = {**usual, **dated, **fields, "id": number}
    fake.settle(task)
    return fake.annotations[number]


def edit_annotation(fake, body, params, number):
    fake.annotations[number] |= {**body, "updated_at": fake.now()}
    fake.settle(fake.annotations[number]["task"])
    return 200, fake.annotations[number]


def delete_annotation(fake, body, params, number):
    fake.settle(fake.annotations.pop(number)["task"])
    return 204, None


def add_draft(fake, body, params, task):
    number = next(fake.ids)
    fake.drafts[number] = {"id": number, "task": task, **body}
    return 201, fake.drafts[number]


def act(fake, body, params):
    chosen = [task for task in body["selectedItems"]["included"] if task in fake.tasks]
    for task in chosen:
        if params["id"] == "delete_tasks":
            fake.remove_task(task)
        elif params["id"] == "predictions_to_annotations":
            for row in fake.of(fake.predictions, task):
                add_annotation(fake, task, {"result": row["result"], "parent_prediction": row["id"]})
        else:
            raise Refuse(404)
    return 200, {"processed_items": len(chosen)}


def next_task(fake, body, params, project):
    """As projects/functions/next_task.py: the lowest score of the present version first, the others at random."""
    settings = fake.projects[project]
    mine = {row["task"] for row in fake.annotations.values() if row["completed_by"] == fake.user}
    waiting = [
        task
        for task in fake.tasks.values()
        if task["project"] == project and not task["is_labeled"] and task["id"] not in mine
    ]
    version = settings["model_version"]
    queue = [
        (row["score"], task["id"])
        for task in waiting
        for row in fake.of(fake.predictions, task["id"])
        if row["model_version"] == version
    ]
    if not waiting:
        raise Refuse(404)
    if settings["sampling"] == "Uncertainty sampling":
        chosen = min(queue)[1] if queue else random.choice(waiting)["id"]
    else:
        chosen = min(task["id"] for task in waiting)
    task = fake.shown(fake.tasks[chosen])
    shown = [row for row in task["predictions"] if row["model_version"] == version]
    return 200, {**task, "annotations": [], "predictions": shown if settings["show_collab_predictions"] else []}


def list_users(fake, body, params):
    return 200, [{"id": number, "email": email} for number, email in fake.people.items()]


ROUTES = {
    ("GET", r"/api/projects/"): list_projects,
    ("POST", r"/api/projects/"): make_project,
    ("GET", r"/api/projects/(\d+)"): get_project,
    ("PATCH", r"/api/projects/(\d+)"): change_project,
    ("DELETE", r"/api/projects/(\d+)"): drop_project,
    ("POST", r"/api/projects/(\d+)/import"): import_tasks,
    ("POST", r"/api/projects/(\d+)/import/predictions"): import_predictions,
    ("GET", r"/api/projects/(\d+)/next"): next_task,
    ("GET", r"/api/tasks"): list_tasks,
    ("PATCH", r"/api/tasks/(\d+)/"): change_task,
    ("POST", r"/api/tasks/(\d+)/annotations/"): annotate,
    ("POST", r"/api/tasks/(\d+)/drafts"): add_draft,
    ("PATCH", r"/api/annotations/(\d+)/"): edit_annotation,
    ("DELETE", r"/api/annotations/(\d+)/"): delete_annotation,
    ("POST", r"/api/dm/actions/"): act,
    ("GET", r"/api/users/"): list_users,
}
