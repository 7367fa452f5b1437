import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alloop.errors import MissingExtra
from alloop.models.yolo import YoloModel
from alloop.models.yolo_environment import import_ultralytics, own_folder, variables
from tests.models.yolo_tiny import tiny

HOOK = """
import json, os, sys
log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND)
def tell(*words):
    os.write(log, (json.dumps(words) + "\\n").encode())
def hook(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        tell(event, str(args[1:]))
    elif event == "open" and isinstance(args[0], (str, bytes)):
        if (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(args[1] or "") & set("wax+"):
            tell(event, os.path.abspath(os.fsdecode(args[0])))
    elif event in ("os.mkdir", "os.rename"):
        tell(event, os.path.abspath(os.fsdecode(args[event == "os.rename"])))
tell("key", os.environ.get("ULTRALYTICS_API_KEY", "none"))
sys.addaudithook(hook)
"""
WORK = """
import os, torch, PIL.Image, sitecustomize
from pathlib import Path
def state():
    return dict(os.environ), torch.get_num_threads(), torch.save, PIL.Image.open
before = state()
from alloop.models.yolo import YoloModel
from alloop.testing.detection_contract import LABELS, make_scenes
from tests.models.yolo_tiny import OPTIONS
labels = make_scenes(Path("images"), 4)
model = YoloModel(labels=LABELS, architecture="tiny.yaml", steps=1, state=Path("state"), **OPTIONS)
model.load(model.fit(labels, parent=None, out_dir=Path("out"), seed=1))
model.predict([label.sample for label in labels], embeddings=True)
sitecustomize.tell("left", [repr(left) for left, found in zip(state(), before) if left != found])
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    home = tmp_path_factory.mktemp("audited")
    (home / "sitecustomize.py").write_text(HOOK)
    (home / "tmp").mkdir()
    (home / "log").touch()
    tiny(home)
    environment = {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "AUDIT_LOG": str(home / "log"),
        "PYTHONPATH": f"{home}:{Path(__file__).parents[2]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ULTRALYTICS_API_KEY": "a-key",
    }
    command = [sys.executable, "-c", WORK]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120, cwd=home)
    assert done.returncode == 0, done.stderr
    return home, done, [json.loads(line) for line in (home / "log").read_text().splitlines()]


@pytest.mark.xdist_group("yolo-audit")
class TestAudit:
    def test_nothing_is_looked_up_or_connected(self, audited):
        _, _, events = audited
        assert [event for event in events if event[0].startswith("socket.")] == []

    def test_nothing_is_written_elsewhere(self, audited):
        home, _, events = audited
        allowed = ("/dev/", *(str(home / name) for name in ("images", "state", "out")))
        places = {path for event, path in events if event in ("open", "os.mkdir", "os.rename")}
        assert [path for path in places if not path.startswith(allowed)] == []
        assert places  # the hook was there

    def test_only_settings_stay_in_the_state_folder(self, audited):
        home, _, _ = audited
        files = {path.name for path in (home / "state").rglob("*") if path.is_file()}
        assert files <= {"settings.json", "persistent_cache.json"}

    def test_the_training_does_not_know_the_platforms_key(self, audited):
        _, _, events = audited
        assert [value for event, value in events if event == "key"] == ["a-key", "none"]

    def test_environment_threads_and_what_ultralytics_replaces_are_as_before(self, audited):
        _, _, events = audited
        assert [left for event, left in events if event == "left"] == [[]]

    def test_nothing_is_printed(self, audited):
        _, done, _ = audited
        assert (done.stdout, done.stderr) == ("", "")


def test_without_the_package_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ultralytics", None)  # the import system's way to say that it is not there
    with pytest.raises(MissingExtra, match=r"pip install 'alloop\[yolo\]'"):
        YoloModel(labels=("cat",))


def test_the_first_import_decides(tmp_path):
    first = import_ultralytics("ultralytics.nn.tasks", state=own_folder())
    assert import_ultralytics("ultralytics.nn.tasks", state=tmp_path) is first
    assert list(tmp_path.iterdir()) == []


def test_everything_that_ultralytics_writes_goes_to_the_state_folder(tmp_path):
    folders = [value for value in variables(tmp_path).values() if "/" in value]
    assert len(folders) == 3
    assert all(Path(folder).is_relative_to(tmp_path) for folder in folders)
