"""What the fake CVAT answers to each request; bodies and answers are checked by the models of cvat-sdk 2.80."""

import json
import mimetypes
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from cvat_sdk.api_client import Configuration, models
from cvat_sdk.api_client.exceptions import OpenApiException
from cvat_sdk.api_client.model_utils import validate_and_convert_types

__all__ = ["ROUTES", "SIZE", "Refuse"]

SIZE = (40, 30)
"""(width, height) of every image."""
MOST = 50
"""Rows in a page, whatever is asked for."""


class Refuse(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status, self.detail = status, detail


def documented(value, model):
    """The value; refused when the SDK's model does not know it."""
    known = getattr(models, model)
    try:
        validate_and_convert_types(value, (known,), [model], True, True, configuration=Configuration())
    except OpenApiException as error:
        raise Refuse(400, f"{model}: {error}") from error
    unknown = set(value) - set(known.attribute_map)
    if unknown:
        raise Refuse(400, f"{model} has no {sorted(unknown)}")
    return value


def listed(rows, model, params):
    """A page as CVAT gives it: the newest first unless sorted, ten rows unless told."""
    rule = json.loads(params.get("filter") or "null")
    rows = sorted(rows, key=lambda row: row["id"], reverse=params.get("sort") != "id")
    if rule:
        assert rule == {">": [{"var": "id"}, rule[">"][1]]}, rule
        rows = [row for row in rows if row["id"] > rule[">"][1]]
    size = min(int(params.get("page_size", 10)), MOST)
    page = {
        "count": len(rows),
        "next": "http://fake/?page=2" if len(rows) > size else None,
        "previous": None,
        "results": [told(row, model) for row in rows[:size]],
    }
    return 200, documented(page, f"Paginated{model}List")


def told(row, model):
    """What an answer says of a row: no more than the model has."""
    return {key: row[key] for key in row if key in getattr(models, model).attribute_map}


def found(rows, key):
    if int(key) not in rows:
        raise Refuse(404, "Not found.")
    return rows[int(key)]


def fits(row, params, *fields):
    return all(str(row[field]) == params[field] for field in fields if field in params)


def list_projects(fake, body, params):
    return listed([row for row in fake.projects.values() if fits(row, params, "name")], "ProjectRead", params)


def create_project(fake, body, params):
    documented(body, "ProjectWriteRequest")
    row = {"id": next(fake.ids), "name": body["name"], "tasks": {"url": ""}, "labels": {"url": ""}}
    fake.projects[row["id"]] = row
    for label in body["labels"]:
        fake.add_label(row["id"], documented(label, "PatchedLabelRequest")["name"], label.get("type", "any"))
    return 201, documented(row, "ProjectRead")


def list_labels(fake, body, params):
    return listed([row for row in fake.labels.values() if fits(row, params, "project_id")], "Label", params)


def list_tasks(fake, body, params):
    return listed([row for row in fake.tasks.values() if fits(row, params, "project_id")], "TaskRead", params)


def create_task(fake, body, params):
    documented(body, "TaskWriteRequest")
    found(fake.projects, body["project_id"])
    summary = {"jobs": {"completed": 0, "validation": 0, "count": 0}, "labels": {"url": ""}}
    row = {"initial_replicas": 0} | body | summary
    row |= {"id": next(fake.ids), "size": 0, "images": [], "deleted": [], "is_given": False}
    fake.tasks[row["id"]] = row
    return 201, documented(told(row, "TaskRead"), "TaskRead")


def retrieve_task(fake, body, params, key):
    return 200, documented(told(found(fake.tasks, key), "TaskRead"), "TaskRead")


def rename_task(fake, body, params, key):
    row = found(fake.tasks, key)
    row |= documented(body, "PatchedTaskWriteRequest")
    return 200, documented(told(row, "TaskRead"), "TaskRead")


def delete_task(fake, body, params, key):
    found(fake.tasks, key)
    fake.remove_task(int(key))
    return 204, None


def attach_data(fake, body, params, key):
    row = found(fake.tasks, key)
    documented(body, "DataRequest")
    if row["is_given"]:
        raise Refuse(400, "Adding more data is not supported")
    assert body["sorting_method"] == "predefined"
    row["is_given"] = True
    number = f"action=create&target=task&id={key}"
    fake.running[number] = {"task": int(key), "urls": body["remote_files"], "left": fake.fetching, "status": "queued"}
    work_on(fake, number)
    return 202, documented({"rq_id": number}, "DataResponse")


def work_on(fake, number):
    """One step further with fetching images; what CVAT's source (engine/task.py, `_download_data`) does with addresses."""
    request = fake.running[number]
    if request["status"] not in ("queued", "started") or request["task"] not in fake.tasks:
        return
    request["status"] = "started"
    if request["left"]:
        request["left"] -= 1
        return
    names = [PurePosixPath(urlsplit(url).path).name for url in request["urls"]]
    wrong = [name for name in names if not (mimetypes.guess_type(name)[0] or "").startswith("image/")]
    if fake.fails or wrong or len(set(names)) < len(names):
        request |= {"status": "failed", "message": fake.fails or f"No media data found: {wrong or 'collision'}"}
        return
    request["status"] = "finished"
    cut_into_jobs(fake, fake.tasks[request["task"]], names)


def cut_into_jobs(fake, task, names):
    task |= {"images": names, "size": len(names)}
    step = task["segment_size"] or len(names)
    replicas = task["initial_replicas"] if fake.makes_replicas else 0
    for start in range(0, len(names), step):
        stop = min(start + step, len(names)) - 1
        fake.add_job(task, start, stop, "annotation")
        for _ in range(replicas):
            fake.add_job(task, start, stop, "replica")


def list_requests(fake, body, params):
    assert (params["action"], params["target"]) == ("create", "task")
    rows = [number for number, row in fake.running.items() if str(row["task"]) == params["task_id"]]
    page = {"count": len(rows), "next": None, "previous": None, "results": [request_of(fake, row) for row in rows]}
    return 200, documented(page, "PaginatedRequestList")


def request_of(fake, number):
    row = fake.running[number]
    work_on(fake, number)
    operation = {"type": "create:task", "target": "task", "task_id": row["task"]}
    said = {"id": number, "status": row["status"], "message": row.get("message", ""), "operation": operation}
    return said | {"created_date": "2026-11-23T16:00:00.000000Z"}


def retrieve_request(fake, body, params, number):
    if number not in fake.running:
        raise Refuse(404, "Not found.")
    return 200, documented(request_of(fake, number), "Request")


def retrieve_meta(fake, body, params, key):
    row = found(fake.tasks, key)
    frames = [{"name": name, "width": SIZE[0], "height": SIZE[1], "related_files": 0} for name in row["images"]]
    said = {"frames": frames, "deleted_frames": row["deleted"], "chunks_updated_date": "2026-11-23T16:00:00.000000Z"}
    return 200, documented(said, "DataMetaRead")


def list_jobs(fake, body, params):
    rows = [row for row in fake.jobs.values() if fits(row, params, "project_id", "task_id")]
    return listed(rows, "JobRead", params)


def change_job(fake, body, params, key):
    row = found(fake.jobs, key)
    fake.move(row, **documented(body, "PatchedJobWriteRequest"))
    return 200, documented(told(row, "JobRead"), "JobRead")


def delete_frames(fake, body, params, key):
    """Of the frames of one job; those of other jobs stay as they are."""
    row = found(fake.jobs, key)
    task = fake.tasks[row["task_id"]]
    own = range(row["start_frame"], row["stop_frame"] + 1)
    wanted = documented(body, "PatchedJobDataMetaWriteRequest")["deleted_frames"]
    if not set(wanted) <= set(own):
        raise Refuse(400, "some frames are not in the job")
    task["deleted"] = sorted([*wanted, *(one for one in task["deleted"] if one not in own)])
    fake.touch(row)
    return retrieve_meta(fake, None, params, row["task_id"])


def annotations_of(row):
    said = {"version": 0, "tags": row["tags"], "shapes": row["shapes"], "tracks": row["tracks"]}
    return 200, documented(said, "LabeledData")


def retrieve_annotations(fake, body, params, key):
    return annotations_of(found(fake.jobs, key))


def replace_annotations(fake, body, params, key):
    row = found(fake.jobs, key)
    documented(body, "LabeledDataRequest")
    fresh = {kind: numbered(fake, row, body[kind]) for kind in ("tags", "shapes")}
    fake.move(row, **fresh)
    return annotations_of(row)


def add_annotations(fake, body, params, key):
    assert params["action"] == "create"
    row = found(fake.jobs, key)
    documented(body, "PatchedLabeledDataRequest")
    fake.move(row, **{kind: row[kind] + numbered(fake, row, body[kind]) for kind in ("tags", "shapes")})
    return annotations_of(row)


def numbered(fake, row, marks):
    """The marks with ids; refused outside the job or with a label of nobody."""
    for mark in marks:
        if not row["start_frame"] <= mark["frame"] <= row["stop_frame"] or mark["label_id"] not in fake.labels:
            raise Refuse(400, f"frame {mark['frame']} or label_id {mark['label_id']} is invalid")
    return [mark | {"id": next(fake.ids)} for mark in marks]


N = r"(\d+)"
ROUTES = {
    ("GET", "/api/projects"): list_projects,
    ("POST", "/api/projects"): create_project,
    ("GET", "/api/labels"): list_labels,
    ("GET", "/api/tasks"): list_tasks,
    ("POST", "/api/tasks"): create_task,
    ("GET", f"/api/tasks/{N}"): retrieve_task,
    ("PATCH", f"/api/tasks/{N}"): rename_task,
    ("DELETE", f"/api/tasks/{N}"): delete_task,
    ("POST", f"/api/tasks/{N}/data/"): attach_data,
    ("GET", f"/api/tasks/{N}/data/meta"): retrieve_meta,
    ("GET", "/api/requests"): list_requests,
    ("GET", "/api/requests/(.+)"): retrieve_request,
    ("GET", "/api/jobs"): list_jobs,
    ("PATCH", f"/api/jobs/{N}"): change_job,
    ("PATCH", f"/api/jobs/{N}/data/meta"): delete_frames,
    ("GET", f"/api/jobs/{N}/annotations/"): retrieve_annotations,
    ("PUT", f"/api/jobs/{N}/annotations/"): replace_annotations,
    ("PATCH", f"/api/jobs/{N}/annotations/"): add_annotations,
}
"""{(method, pattern of a path): who answers}."""
