"""The part of Label Studio 1.23.2 that alloop and people use, in memory, behind a transport.

The tests of `label_studio_behaviour` run on it and on the real server, which keeps it honest. It validates what the
real one validates and nothing more: results of annotations are taken as they come.
"""

import itertools
import json
import re
from datetime import UTC, datetime

import httpx

from tests.annotation.fake_label_studio_answers import EMAIL, ROUTES, Refuse, parsed

__all__ = ["EMAIL", "PEOPLE", "TOKEN", "FakeLabelStudio", "parsed"]

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PEOPLE = {1: EMAIL, 2: "second@alloop.test", 3: "third@alloop.test"}
"""Their tokens are TOKEN, and TOKEN with their number behind it."""


class FakeLabelStudio(httpx.BaseTransport):
    """A server. `cut` breaks the connection at the request of that number, `before` or `after` it took effect."""

    def __init__(self):
        self.projects, self.tasks, self.annotations, self.predictions, self.drafts = {}, {}, {}, {}, {}
        self.ids = itertools.count(1)
        self.requests = []
        self.cut = None
        self.down = False
        self.user, self.people = 1, PEOPLE
        self._last = datetime.min.replace(tzinfo=UTC)

    def client(self, number=1):
        """What one of the `PEOPLE` is signed in with."""
        return httpx.Client(base_url="http://fake", transport=self, headers={"Authorization": _token(number)})

    def handle_request(self, request):
        number, when = self.cut or (-1, "")
        broken = len(self.requests) == number or self.down
        self.requests.append(request)
        assert request.extensions["timeout"]["read"], "a request without a timeout"
        if broken and when != "after":
            raise httpx.ConnectError("refused")
        answer = self._answer(request)
        if broken:
            raise httpx.ReadError("the connection was lost")
        return answer

    def _answer(self, request):
        signed = {_token(number): number for number in self.people}
        if request.headers.get("Authorization") not in signed:
            return httpx.Response(401, json={"detail": "Invalid token."}, request=request)
        self.user = signed[request.headers["Authorization"]]
        body = json.loads(request.content) if request.content else None
        for (method, pattern), answer in ROUTES.items():
            match = re.fullmatch(pattern, request.url.path)
            if match and method == request.method:
                try:
                    status, said = answer(self, body, request.url.params, *map(int, match.groups()))
                except Refuse as refusal:
                    status, said = refusal.status, {"detail": refusal.detail}
                return httpx.Response(status, json=said, request=request)
        return httpx.Response(404, json={"detail": "Not found."}, request=request)

    def now(self):
        """Later with each call, like the real clock."""
        self._last = max(datetime.now(UTC), self._last.replace(microsecond=(self._last.microsecond + 1) % 10**6))
        return self._last.isoformat().replace("+00:00", "Z")

    def touch(self, task):
        self.tasks[task]["updated_at"] = self.now()

    def of(self, table, task):
        return [row for row in table.values() if row["task"] == task]

    def whole(self, project):
        """A project with its counters."""
        mine = [row for row in self.annotations.values() if self.tasks[row["task"]]["project"] == project["id"]]
        skipped = sum(row["was_cancelled"] for row in mine)
        counts = {"total_annotations_number": len(mine) - skipped, "skipped_annotations_number": skipped}
        return {**project, "parsed_label_config": parsed(project["label_config"]), **counts}

    def shown(self, task):
        """A task with what belongs to it."""
        annotations, predictions = self.of(self.annotations, task["id"]), self.of(self.predictions, task["id"])
        return {
            **task,
            "annotations": annotations,
            "predictions": predictions,
            "annotations_ids": ",".join(str(row["id"]) for row in annotations),
            "total_annotations": sum(not row["was_cancelled"] for row in annotations),
            "cancelled_annotations": sum(row["was_cancelled"] for row in annotations),
            "draft_exists": bool(self.of(self.drafts, task["id"])),
        }

    def settle(self, number):
        """After an annotation: a task is done when so many different people have answered it."""
        task = self.tasks[number]
        ignored = self.projects[task["project"]]["skip_queue"] == "IGNORE_SKIPPED"
        answers = [row for row in self.of(self.annotations, number) if not row["was_cancelled"] or ignored]
        task["is_labeled"] = len({row["completed_by"] for row in answers}) >= task["overlap"]
        self.touch(number)

    def add_prediction(self, task, row):
        number = next(self.ids)
        self.predictions[number] = {"id": number, "task": task, **row}
        self.touch(task)

    def remove_task(self, task):
        del self.tasks[task]
        for table in (self.annotations, self.predictions, self.drafts):
            for number in [number for number, row in table.items() if row["task"] == task]:
                del table[number]


def _token(number):
    return f"Token {TOKEN}{number if number > 1 else ''}"
