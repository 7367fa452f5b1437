"""The addresses of images in a Label Studio project. They stand in its tasks and expire, so they are renewed there."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from alloop.annotation.image_urls import SignedUrls
from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_schema import IMAGE
from alloop.annotation.label_studio_tasks import AT_ONCE, OPEN, Record, listing

__all__ = ["keep_shown"]


def keep_shown(api: Api, project: int, cursor: str, *, urls: SignedUrls) -> str:
    """Renew the addresses of open tasks that are near their end; the cursor, which says when the next ones will be.

    Until then nothing is asked: what is pushed meanwhile lives longer. Finished tasks keep their addresses.
    """
    mark, now = json.loads(cursor), urls.clock.now()
    if mark["images"] and now < datetime.fromisoformat(mark["images"]):
        return cursor
    tasks = [task for task in listing(api, project, OPEN, include="data") if "batch_id" in task["data"]]
    dues = {task["id"]: urls.due(task["data"][IMAGE]) for task in tasks}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda task: _renew(api, task, urls), (task for task in tasks if dues[task["id"]] <= now)))
    following = min([urls.due(urls.of("")), *(due for due in dues.values() if due > now)])
    return json.dumps(mark | {"images": following.isoformat()})


def _renew(api: Api, task: Record, urls: SignedUrls) -> None:
    data = task["data"] | {IMAGE: urls.of(task["data"]["item_id"])}
    api.patch(f"/api/tasks/{task['id']}/", {"data": data})
