"""The report in a real browser: it asks nobody for anything, and fits a phone and a sheet of paper."""

import pytest

from alloop.report import write_report
from tests.live.browser import Browser
from tests.scene_project import scene_project
from tests.small_project import run_cycles

ASKED = "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:'))"
SEEN = "[...document.images].filter(image => image.checkVisibility({contentVisibilityAuto: true})).length"
CLOSED = "document.querySelectorAll('details:not([open])').length"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a detector after three cycles."""
    folder = tmp_path_factory.mktemp("report")
    with scene_project(folder / "project", count=120) as ws:
        run_cycles(ws, 3)
        return write_report(ws, folder / "report.html")


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "browser")
    yield browser
    browser.close()


def show(browser, report, *, width, media="screen"):
    browser._ask("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=True)
    browser._ask("Emulation.setEmulatedMedia", media=media)
    browser.open(report.as_uri())
    browser.until("document.readyState === 'complete' && document.images.length > 0")


def test_nothing_is_asked_of_anybody(browser, report):
    show(browser, report, width=1280)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.until("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.run(ASKED) == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_page_is_wider_than_its_screen(browser, report, width):
    show(browser, report, width=width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("document.documentElement.scrollWidth") == width


def test_on_paper_everything_is_unfolded(browser, report):
    show(browser, report, width=794)
    folded = browser.run(SEEN)
    browser._ask("Emulation.setEmulatedMedia", media="print")
    assert browser.run(CLOSED) > 0
    assert folded < browser.run(SEEN) == browser.run("document.images.length")
