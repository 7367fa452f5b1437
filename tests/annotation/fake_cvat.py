"""The part of CVAT 2.80 that alloop and people use, in memory, behind a real HTTP server on a free port.

Every request body and every answer is checked by the SDK's own models, so both are of the documented form. Nobody could
compare it with a real CVAT: what it does beyond forms follows CVAT's published source.
"""

import base64
import itertools
import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.annotation.fake_cvat_answers import ROUTES, SIZE, Refuse

__all__ = ["PASSWORD", "SIZE", "TOKEN", "USER", "FakeCvat"]

TOKEN, USER, PASSWORD = "cvat-personal-access-token", "lea", "a-long-pass-phrase"
CLOSED = object()


class FakeCvat:
    """A server. `cut` breaks the connection at the request of that number, `before` or `after` it took effect.

    `refuses` answers everything with (status, text); `fetching` is how often one has to ask until the images are there,
    `fails` why they never are; `makes_replicas` is off for a CVAT that is too old.
    """

    def __init__(self):
        self.projects, self.labels, self.tasks, self.jobs, self.running = {}, {}, {}, {}, {}
        self.ids, self.requests, self.headers = itertools.count(1), [], []
        self.cut, self.refuses, self.fetching, self.fails, self.makes_replicas = None, None, 0, "", True
        self.url, self.now = "", datetime(2026, 11, 23, 16, tzinfo=UTC)

    @contextmanager
    def serving(self):
        server = HTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"fake": self}))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method, target, headers, body):
        """(status, JSON value) of a request; CLOSED when the connection breaks."""
        number, when = self.cut or (-1, "")
        is_cut = len(self.requests) == number
        self.requests.append((method, target))
        self.headers.append(dict(headers))
        if is_cut and when == "before":
            return CLOSED
        try:
            said = self._answer(method, urlsplit(target), headers, body)
        except Refuse as refusal:
            said = refusal.status, {"detail": refusal.detail}
        return CLOSED if is_cut else said

    def _answer(self, method, parts, headers, body):
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.refuses:
            raise Refuse(*self.refuses)
        if headers.get("Authorization") not in (f"Bearer {TOKEN}", basic):
            raise Refuse(401, "Invalid token.")
        params = dict(parse_qsl(parts.query))
        for (verb, pattern), answer in ROUTES.items():
            match = re.fullmatch(pattern, unquote(parts.path))
            if match and verb == method:
                return answer(self, body, params, *match.groups())
        raise Refuse(404, "Not found.")

    # what is in it

    def stamp(self):
        self.now += timedelta(seconds=1)
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def add_label(self, project, name, kind):
        row = {"id": next(self.ids), "name": name, "type": kind, "project_id": project, "parent_id": None}
        self.labels[row["id"]] = row

    def add_job(self, task, start, stop, kind):
        row = {"id": next(self.ids), "task_id": task["id"], "project_id": task["project_id"], "type": kind}
        row |= {"start_frame": start, "stop_frame": stop, "frame_count": stop - start + 1}
        row |= {"stage": "annotation", "state": "new", "assignee": None, "updated_date": self.stamp()}
        row |= {"issues": {"url": "", "count": 0}, "labels": {"url": ""}, "tags": [], "shapes": [], "tracks": []}
        self.jobs[row["id"]] = row

    def remove_task(self, key):
        del self.tasks[key]
        self.jobs = {number: job for number, job in self.jobs.items() if job["task_id"] != key}

    def names(self):
        return [task["name"] for task in self.tasks.values()]

    # what people do

    def touch(self, job):
        job["updated_date"] = self.stamp()

    def move(self, job, **changes):
        job |= changes
        self.touch(job)

    def jobs_at(self, ref):
        """The jobs in which the frame of a push's ref is labelled."""
        task, frame = map(int, ref.split(":"))
        at = [job for job in self.jobs.values() if job["task_id"] == task and job["start_frame"] <= frame]
        at = [job for job in at if frame <= job["stop_frame"]]
        return [job for job in at if job["type"] == "replica"] or at

    def job_at(self, ref):
        return self.jobs_at(ref)[0]

    def complete(self, job, who="ann"):
        url = {"url": "", "id": 7, "first_name": "", "last_name": ""}
        assignee = job["assignee"] or (who and url | {"username": who})
        self.move(job, assignee=assignee or None, state="completed")

    def draw(self, job, kind, points, **fields):
        shape = {"type": kind, "points": points, "occluded": False, "attributes": []}
        job["shapes"].append(shape | self._mark(job, fields))
        self.touch(job)

    def tag(self, job, label, **fields):
        job["tags"].append(self._mark(job, fields | {"label": label}))
        self.touch(job)

    def _mark(self, job, fields):
        name = fields.pop("label", "cat")
        label = next(key for key, row in self.labels.items() if row["name"] == name)
        return {"id": next(self.ids), "frame": job["start_frame"], "source": "manual", "label_id": label} | fields

    def clear(self, job, frame):
        """Delete everything on a frame."""
        kept = {kind: [mark for mark in job[kind] if mark["frame"] != frame] for kind in ("shapes", "tags")}
        self.move(job, **kept)


class Handler(BaseHTTPRequestHandler):
    fake: FakeCvat

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        said = self.fake.answer(self.command, self.path, self.headers, json.loads(raw) if raw else None)
        if said is CLOSED:
            return
        status, value = said
        out = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "https://elsewhere.example")
        self.send_header("Content-Type", "application/vnd.cvat+json")
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815

    def log_message(self, *args):
        pass
