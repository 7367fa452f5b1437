"""The part of CVAT 2.80 that alloop and people use, in memory, behind a real HTTP server on a free port.

Every request body and every answer is checked by the SDK's own models, so both are of the documented form. Nobody could
compare it with a real CVAT: what it does beyond forms follows CVAT's published source.
"""

import base64
import itertools
import json
import mimetypes
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from cvat_sdk.api_client import Configuration, models
from cvat_sdk.api_client.exceptions import OpenApiException
from cvat_sdk.api_client.model_utils import validate_and_convert_types

__all__ = ["PASSWORD", "SIZE", "TOKEN", "USER", "FakeCvat"]

TOKEN, USER, PASSWORD = "cvat-personal-access-token", "lea", "a-long-pass-phrase"
SIZE = (40, 30)
CLOSED = object()


class Refuse(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status, self.detail = status, detail


def documented(value, model):
    """Refuse what the SDK's model does not know."""
    known = getattr(models, model)
    try:
        validate_and_convert_types(value, (known,), [model], True, True, configuration=Configuration())
    except OpenApiException as error:
        raise Refuse(400, f"{model}: {error}") from error
    unknown = set(value) - set(known.attribute_map) if isinstance(value, dict) else set()
    if unknown:
        raise Refuse(400, f"{model} has no {sorted(unknown)}")
    return value


class FakeCvat:
    """A server. `cut` breaks the connection at the request of that number, `before` or `after` it took effect.

    `refuses` answers everything with that status; `fetching` is how many questions pass until images are there;
    `makes_replicas` is off for a CVAT that is too old.
    """

    def __init__(self):
        self.projects, self.labels, self.tasks, self.jobs, self.running = {}, {}, {}, {}, {}
        self.ids, self.requests = itertools.count(1), []
        self.cut, self.refuses, self.fetching, self.makes_replicas = None, None, 0, True
        self.fails, self.url = "", ""
        self.now = datetime(2026, 11, 23, 16, tzinfo=UTC)

    @contextmanager
    def running_server(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"fake": self}))
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def stamp(self):
        self.now += timedelta(seconds=1)
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def answer(self, method, target, headers, body):
        """(status, JSON value) of a request; CLOSED when the connection breaks."""
        number, when = self.cut or (-1, "")
        is_cut = len(self.requests) == number
        self.requests.append((method, target))
        if is_cut and when == "before":
            return CLOSED
        try:
            said = self._answer(method, urlsplit(target), headers, body)
        except Refuse as refusal:
            said = refusal.status, {"detail": refusal.detail}
        return CLOSED if is_cut else said

    def _answer(self, method, parts, headers, body):
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("Authorization") not in (f"Bearer {TOKEN}", basic):
            raise Refuse(401, "Invalid token.")
        if self.refuses:
            raise Refuse(self.refuses, "no")
        params = dict(parse_qsl(parts.query))
        for (verb, pattern), answer in ROUTES.items():
            match = re.fullmatch(pattern, parts.path)
            if match and verb == method:
                return answer(self, body, params, *match.groups())
        raise Refuse(404, "Not found.")

    # what people do

    def touch(self, job):
        job["updated_date"] = self.stamp()

    def job_at(self, ref):
        """The job in which the frame of a push's ref is labelled."""
        return self.jobs_at(ref)[0]

    def jobs_at(self, ref):
        task, frame = map(int, ref.split(":"))
        jobs = [job for job in self.jobs.values() if job["task_id"] == task]
        at = [job for job in jobs if job["start_frame"] <= frame <= job["stop_frame"]]
        return [job for job in at if job["type"] == "replica"] or at

    def complete(self, job, who="ann"):
        job["assignee"] = job["assignee"] or (who and {"id": 7, "username": who})
        job["state"] = "completed"
        self.touch(job)

    def move(self, job, **changes):
        job |= changes
        self.touch(job)

    def draw(self, job, kind, points, **fields):
        shape = {"type": kind, "points": points, "source": "manual", "occluded": False, "attributes": []}
        job["shapes"].append(shape | {"id": next(self.ids), "frame": job["start_frame"]} | self._named(fields))
        self.touch(job)

    def tag(self, job, label, **fields):
        mark = {"id": next(self.ids), "frame": job["start_frame"], "source": "manual"}
        job["tags"].append(mark | self._named(fields | {"label": label}))
        self.touch(job)

    def _named(self, fields):
        name = fields.pop("label", "cat")
        ids = [key for key, label in self.labels.items() if label["name"] == name]
        return fields | {"label_id": ids[0] if ids else 999}

    def clear(self, job, frame):
        for kind in ("shapes", "tags"):
            job[kind] = [mark for mark in job[kind] if mark["frame"] != frame]
        self.touch(job)


class Handler(BaseHTTPRequestHandler):
    fake: FakeCvat
    protocol_version = "HTTP/1.0"

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        said = self.fake.answer(self.command, self.path, self.headers, json.loads(raw) if raw else None)
        if said is CLOSED:
            return
        status, value = said
        out = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.cvat+json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815

    def log_message(self, *args):
        pass


def listed(rows, model, params):
    """A page as CVAT gives it: the newest first unless sorted, ten rows unless told."""
    rule = json.loads(params.get("filter") or "null")
    if rule:
        assert rule == {">": [{"var": "id"}, rule[">"][1]]}, rule
        rows = [row for row in rows if row["id"] > rule[">"][1]]
    rows = sorted(rows, key=lambda row: row["id"], reverse=params.get("sort") != "id")
    size = int(params.get("page_size", 10))
    following = "http://fake/?page=2" if len(rows) > size else None
    page = {"count": len(rows), "next": following, "previous": None, "results": rows[:size]}
    return 200, documented(page, f"Paginated{model}List")


def found(rows, key):
    if int(key) not in rows:
        raise Refuse(404, "Not found.")
    return rows[int(key)]


def told(row, *hidden):
    return {key: value for key, value in row.items() if key not in hidden}


def list_projects(fake, _, params):
    rows = [row for row in fake.projects.values() if params.get("name") in (None, row["name"])]
    return listed(rows, "ProjectRead", params)


def create_project(fake, body, _):
    documented(body, "ProjectWriteRequest")
    row = {"id": next(fake.ids), "name": body["name"], "tasks": {"url": ""}, "labels": {"url": ""}}
    fake.projects[row["id"]] = row
    for label in body["labels"]:
        kind = documented(label, "PatchedLabelRequest").get("type", "any")
        fake.labels[key] = {"id": (key := next(fake.ids)), "name": label["name"], "type": kind, "project_id": row["id"]} if (
            key := next(fake.ids)
        ) else None
    return 201, documented(row, "ProjectRead")
