"""What people see: pre-labels in the real editor, and what its buttons Submit and Skip bring back."""

import json

import pytest

from alloop.nouns import Box, Content, Outcome, Task
from tests.annotation.label_studio_behaviour import batch_of, told
from tests.annotation.label_studio_person import Person
from tests.live.browser import Browser
from tests.live.label_studio_server import EMAIL, PASSWORD
from tests.live.test_label_studio_live import make_tool

BOXES = (Box("cat", 4, 3, 20, 15), Box("dog", 10, 12, 36, 27))
SIGN_IN = f"""
(() => {{
  const form = document.querySelector('form');
  form.querySelector('[name=email]').value = {json.dumps(EMAIL)};
  form.querySelector('[name=password]').value = {json.dumps(PASSWORD)};
  form.submit();
  return true;
}})()
"""
TASK = "Htx.task?.id"
SHOWN = (
    "(regions => regions.length ? regions.map(region => [region.labels[0], ...['x', 'y', 'width', 'height']"
    ".map(side => Math.round(1000 * region[side]) / 1000)]) : null)(Htx.annotationStore.selected.regionStore.regions)"
)
"""The regions on the canvas of the editor: label, and left, top, width and height in percent."""


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "browser")
    yield browser
    browser.close()


def sign_in(browser, server):
    browser.open(f"{server.url}/user/login/")
    browser.until("document.querySelector('form [name=password]')?.name")
    browser.run(SIGN_IN)
    browser.until("location.pathname.includes('/user/') ? null : document.body.innerText.length")


def test_somebody_sees_the_boxes_submits_one_task_and_skips_the_next(server, title, browser):
    tool = make_tool(server, title, Task.DETECT)
    tool.push(batch_of("ab", content=Content(boxes=BOXES)))
    with server.client() as client:
        number = Person(client, title).number
    sign_in(browser, server)
    browser.open(f"{server.url}/projects/{number}/data")
    browser.press("Label All Tasks")
    assert browser.until(SHOWN) == [["cat", 10.0, 10.0, 40.0, 40.0], ["dog", 25.0, 40.0, 65.0, 50.0]]
    assert {"cat", "dog", "0.75"} <= set(browser.run("document.body.innerText").split())
    first = browser.run(TASK)
    browser.press("Submit")
    browser.until(f"{TASK} !== {first} && {SHOWN}")
    browser.press("Skip")
    browser.until("document.body.innerText.includes('No More Tasks Left') || null")
    labels = told(tool.changed_since(""))
    assert (labels["a"].outcome, labels["a"].content) == (Outcome.LABELLED, Content(boxes=BOXES))
    assert (labels["b"].outcome, labels["b"].content) == (Outcome.SKIPPED, None)
    assert labels["a"].lead_time_s > 0
