"""A person who works on a Label Studio project through the same requests as the browser."""

from functools import cached_property

import httpx


class Person:
    """One person with an own session; `client` signs the requests."""

    def __init__(self, client: httpx.Client, title: str, email: str = "admin@alloop.test") -> None:
        self._client, self._title, self.email = client, title, email

    def ask(self, method, path, **content):
        answer = self._client.request(method, path, **content)
        assert answer.is_success, (method, path, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None

    @cached_property
    def number(self):
        """The project's id."""
        return self.ask("GET", "/api/projects/", params={"title": self._title})["results"][0]["id"]

    @property
    def project(self):
        return self.ask("GET", f"/api/projects/{self.number}")

    def tasks(self):
        """All tasks, {sample id: task}."""
        params = {"project": self.number, "fields": "all", "page_size": 5000}
        found = self.ask("GET", "/api/tasks", params=params)["tasks"]
        by_sample = {task["data"]["item_id"]: task for task in found}
        assert len(by_sample) == len(found)
        return by_sample

    def next(self):
        """The task that the queue serves now; None at its end."""
        answer = self._client.get(f"/api/projects/{self.number}/next")
        return None if answer.status_code == 404 else answer.json()

    def work(self, count, name="cat"):
        """Take `count` tasks from the queue and choose `name`; the tasks, in the order they came."""
        served = []
        while len(served) < count and (task := self.next()) is not None:  # none more: being served locks a task
            served.append(task)
            self.choose(task["id"], name)
        return served

    def submit(self, task, result, **fields):
        body = {"result": result, "lead_time": 2.5, **fields}
        return self.ask("POST", f"/api/tasks/{task}/annotations/", json=body)

    def skip(self, task, result=()):
        """As the browser does, which sends along whatever is on the canvas."""
        return self.submit(task, list(result), was_cancelled=True)

    def choose(self, task, name):
        return self.submit(task, [choice(name)])

    def edit(self, annotation, **fields):
        return self.ask("PATCH", f"/api/annotations/{annotation}/", json=fields)

    def delete(self, annotation):
        self.ask("DELETE", f"/api/annotations/{annotation}/")

    def draft(self, task, result):
        self.ask("POST", f"/api/tasks/{task}/drafts", json={"result": result, "lead_time": 1.0})

    def act(self, action, tasks):
        """One of the Data Manager's actions on these tasks."""
        body = {"selectedItems": {"all": False, "included": list(tasks)}}
        self.ask("POST", "/api/dm/actions/", json=body, params={"id": action, "project": self.number})


def choice(name, control="label"):
    return {"id": "c1", "type": "choices", "from_name": control, "to_name": "image", "value": {"choices": [name]}}


def region(kind, value, *, control="label", size=(40, 30), **fields):
    measured = {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
    return {"id": "r1", "type": kind, "from_name": control, "to_name": "image", "value": value, **measured, **fields}


def rectangle(x, y, width, height, *, name="cat", rotation=0, **fields):
    corners = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region("rectanglelabels", corners | {"rectanglelabels": [name]}, **fields)
