"""Adapters come out of the configuration, and what they lack is told before anybody is asked."""

from pathlib import Path

import pytest

from alloop.config import load_config
from alloop.errors import ConfigError
from alloop.nouns import Sample
from alloop.workspace import open_workspace

PROJECT = '[project]\nname = "birds"\nlabels = ["owl", "tit"]\n[annotation]\ntool = "{tool}"\n{more}'
KEY, TOKEN = "k" * 32, "t" * 40


@pytest.fixture
def write(tmp_path: Path):
    def write(tool: str, more: str = "") -> Path:
        (tmp_path / "alloop.toml").write_text(PROJECT.format(tool=tool, more=more))
        return tmp_path

    return write


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_SERVICE__SIGNING_KEY", KEY)
    monkeypatch.setenv("ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN", TOKEN)
    monkeypatch.setenv("ALLOOP_ANNOTATION__CVAT__TOKEN", TOKEN)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(("tool", "name", "ending"), [("label-studio", "label_studio", ""), ("cvat", "cvat", ".jpg")])
def test_a_tool_is_made_and_its_images_are_signed(write, tool: str, name: str, ending: str) -> None:
    with open_workspace(write(tool)) as ws:
        assert ws.tool.name == name
        address = ws.tool._image_url(Sample("a" * 64, "/x.png"))
    assert address.startswith(f"http://127.0.0.1:8090/images/{'a' * 64}{ending}?expires=")


@pytest.mark.parametrize(("tool", "wants"), [("label-studio", "LABEL_STUDIO__TOKEN"), ("cvat", "CVAT__TOKEN")])
def test_a_missing_secret_is_named(write, tool: str, wants: str) -> None:
    with pytest.raises(ConfigError, match=wants), open_workspace(write(tool)):
        pass


@pytest.mark.usefixtures("secrets")
def test_a_secret_is_never_shown(write) -> None:
    shown = repr(load_config(write("label-studio")))
    assert KEY not in shown
    assert TOKEN not in shown


@pytest.mark.usefixtures("secrets")
def test_files_elsewhere_are_not_served_by_label_studio(write, tmp_path: Path) -> None:
    more = '[annotation.label_studio]\nimages = "local-files"\nlocal_root = "pool"'
    with open_workspace(write("label-studio", more)) as ws:
        inside = ws.tool._image_url(Sample("a" * 64, str(tmp_path / "pool" / "a b.png")))
        with pytest.raises(Exception, match="does not lie in"):
            ws.tool._image_url(Sample("a" * 64, str(tmp_path / "elsewhere.png")))
    assert inside == "/data/local-files/?d=a%20b.png"


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("tool", ["label-studio", "cvat"])
def test_several_people_may_answer_a_sample(write, tool: str) -> None:
    with open_workspace(write(tool, "overlap_share = 0.1")) as ws:
        assert ws.config.annotation.overlap_share == 0.1


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    ("more", "base"), [("", "http://127.0.0.1:8090"), ('webhook_url = "http://in:1"', "http://in:1")]
)
def test_the_webhook_can_be_reached_elsewhere_than_the_images(
    write, monkeypatch: pytest.MonkeyPatch, more: str, base: str
) -> None:
    monkeypatch.setenv("ALLOOP_SERVICE__WEBHOOK_SECRET", KEY)
    with open_workspace(write("label-studio", f"[service]\n{more}")) as ws:
        assert ws.tool._webhook.url == f"{base}/webhooks/label-studio?project=birds"
        assert ws.tool._image_url(Sample("a" * 64, "/x.png")).startswith("http://127.0.0.1:8090/")
