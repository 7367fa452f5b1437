"""What the doctor finds: every fault by its name and with a remedy, and nothing wrong with a sound project."""

import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

import alloop.doctor as doctor
from alloop.doctor import diagnose
from alloop.hands_on import roll_back
from alloop.reachability import clock_offsets
from alloop.service.app import create_app
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, for_holdout, project, write_digits
from tests.small_project import run_cycles, run_until_pushed


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    """After two cycles: three models, one of them the champion; and an open batch in nobody's hands."""
    digits = write_digits(tmp_path / "images")
    rows: list[Row] = for_holdout(digits[:30]) + digits[30:]
    with project(tmp_path / "p", rows) as ws:
        run_cycles(ws, 2)
        yield ws


def faults(config: Path) -> dict[str, str]:
    return {finding.what: finding.says for finding in diagnose(config) if not finding.ok}


def rewrite(ws: Workspace, old: str, new: str) -> Path:
    text = ws.config.file.read_text()
    assert old in text
    ws.config.file.write_text(text.replace(old, new))
    return ws.config.file


def test_a_sound_project_has_no_fault(ws: Workspace) -> None:
    assert faults(ws.config.file) == {}


def test_it_tells_what_it_saw(ws: Workspace) -> None:
    seen = {finding.what: finding.says for finding in diagnose(ws.config.file)}
    assert seen["configuration"] == str(ws.config.file)
    assert seen["ledger"].startswith(f"sqlite:///{ws.config.root / 'ledger.db'} is of this version, 0")
    assert seen["pool"] == "80 samples, 30 unlabelled, 0 set aside"
    assert seen["images"] == "30 of the holdout, 20 others open"
    assert seen["model"] == "champion v1 loads and is the file that was registered"
    assert seen["files"] == "3 model files have the hashes that were registered"
    assert seen["tool"] == "simulated answers"
    assert seen["package alloop"]
    assert (
        seen["secrets"]
        == "no service is configured, so none is needed; announcements go to the log and 0 other channels"
    )
    assert seen["webhook"] == "no service is configured; answers are noticed every 3600 s"
    assert seen["prelabels"] == "no open task shows any"
    assert seen["clocks"] == "there is no other clock to compare this machine's with"
    assert seen["compute"].endswith((" thread", " threads"))
    assert seen["prefect"].endswith("no PREFECT_API_URL is set, so a server is started when one is needed")


def test_looking_changes_nothing(ws: Workspace) -> None:
    run_until_pushed(ws)
    before = ws.ledger.steps.of(2), ws.ledger.labels.cursor("simulated"), ws.clock.now()
    diagnose(ws.config.file)
    assert (ws.ledger.steps.of(2), ws.ledger.labels.cursor("simulated"), ws.clock.now()) == before


def test_a_project_before_its_first_cycle_lacks_nothing(tmp_path: Path) -> None:
    with project(tmp_path / "p", write_digits(tmp_path / "images", 3)) as ws:
        assert faults(ws.config.file) == {}


# Faults


def test_no_configuration(tmp_path: Path) -> None:
    assert "make one with 'alloop init" in faults(tmp_path / "alloop.toml")["configuration"]


def test_a_wrong_configuration(ws: Workspace) -> None:
    assert faults(rewrite(ws, "batch = 12", "bacth = 12")) == {
        "configuration": f"{ws.config.file}: unknown key 'loop.bacth'; did you mean 'batch'?"
    }


def test_a_ledger_that_is_none(ws: Workspace) -> None:
    ws.ledger.close()
    for file in ws.config.root.glob("ledger.db*"):
        file.unlink()
    (ws.config.root / "ledger.db").write_bytes(b"no database" * 500)
    assert "file is not a database" in faults(ws.config.file)["configuration"]


def test_a_ledger_of_a_newer_version(ws: Workspace) -> None:
    connection = sqlite3.connect(ws.config.root / "ledger.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "upgrade alloop" in faults(ws.config.file)["configuration"]


def test_an_empty_pool(tmp_path: Path) -> None:
    with project(tmp_path / "p", []) as ws:
        assert faults(ws.config.file) == {"pool": "the pool is empty; add images with 'alloop pool add'"}


def test_images_that_are_not_where_they_were(ws: Workspace) -> None:
    (ws.config.root.parent / "images").rename(ws.config.root.parent / "elsewhere")
    (what, says), *others = faults(ws.config.file).items()
    assert what == "images"
    assert "cannot be read" in says
    assert "check the path" in says
    assert others == []


def look_at_images(ws: Workspace) -> str:
    (said,) = (finding.says for finding in diagnose(ws.config.file) if finding.what == "images")
    return said


def test_every_image_of_the_open_batch_is_opened(ws: Workspace) -> None:
    cycle = run_until_pushed(ws)
    size = len(ws.ledger.batches.get(cycle).items)
    assert look_at_images(ws) == f"{size} of the open batch, 30 of the holdout, 20 others open"
    Path(ws.ledger.batches.get(cycle).items[-1].sample.uri).unlink()
    told = look_at_images(ws)
    assert told.startswith(f"images do not open, 1 of {size} of the open batch")
    assert "cannot be read" in told


def test_every_image_of_the_holdout_is_opened(ws: Workspace) -> None:
    Path(ws.ledger.holdout.all()[-1].uri).unlink()
    assert look_at_images(ws).startswith("images do not open, 1 of 30 of the holdout; the first: ")


def test_a_holdout_that_is_too_large_for_a_look_is_looked_at_in_part(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "AT_ONCE", 7)
    assert look_at_images(ws).startswith("7 of the holdout, ")


def test_others_are_opened_in_the_next_cycle(ws: Workspace) -> None:
    first = doctor._others(ws, ws.dice(2, "doctor"))
    assert first == doctor._others(ws, ws.dice(2, "doctor"))
    assert len(first) == 20
    assert first != doctor._others(ws, ws.dice(3, "doctor"))


def test_a_champion_that_was_changed(ws: Workspace) -> None:
    champion = ws.ledger.models.champion()
    assert champion is not None
    ws.registry.path(champion.sha256).write_bytes(b"another model")
    found = faults(ws.config.file)
    assert set(found) == {"model", "files"}
    assert all("is damaged" in says and "restore it" in says for says in found.values())


def test_an_older_model_that_is_gone(ws: Workspace) -> None:
    ws.registry.path(ws.ledger.models.of(0)[0].sha256).unlink()
    (what, says), *others = faults(ws.config.file).items()
    assert what == "files"
    assert "restore it" in says
    assert others == []


def test_a_model_that_cannot_be_made(tmp_path: Path) -> None:
    images = write_digits(tmp_path / "images", 3)
    with project(tmp_path / "p", images, model="tests.small_project:nobody") as ws:
        assert "mend it or [model] kind" in faults(ws.config.file)["model"]


def test_an_unknown_model(ws: Workspace) -> None:
    config = rewrite(ws, "tests.small_project:nearest_centroid", "forzen")
    assert "did you mean 'frozen'?" in faults(config)["configuration"]


def test_a_tool_that_cannot_be_read(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "images", 60)
    with project(tmp_path / "p", for_holdout(digits[:20]) + digits[20:], tool="folder", loop="shard = 9") as ws:
        batch = ws.config.root / "annotation" / "batch-0000"
        batch.mkdir(parents=True)
        (batch / "tasks.jsonl").write_text("{")
        (what, says), *others = faults(ws.config.file).items()
        assert what == "tool"
        assert f"{batch / 'tasks.jsonl'}, line 1 is not what alloop wrote" in says
        assert others == []


def test_answers_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    digits = [(uri, "", group, split) for uri, _, group, split in write_digits(tmp_path / "images", 60)]
    with project(tmp_path / "p", digits, tool="folder") as ws:
        cycle = run_until_pushed(ws)
        (ws.config.root / "annotation" / f"batch-{cycle:04d}" / "labels.jsonl").write_text("what?\nwhat?\n")
        seen = {finding.what: finding for finding in diagnose(ws.config.file)}
        assert seen["tool"].ok
        assert seen["tool"].says == "folder answers, 2 answers cannot be used: see 'alloop report'"


def test_a_full_disk(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES", shutil.disk_usage(ws.config.state).total + 1)
    assert "make room for models and score files" in faults(ws.config.file)["disk"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc, a file system that nobody can write to: run it on Linux"
)
def test_a_folder_that_nobody_can_write_to(tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_text(
        '[project]\nname = "x"\nlabels = ["a", "b"]\n[ledger]\nurl = "sqlite:////proc/x.db"\n'
    )
    assert "does not open" in faults(tmp_path)["configuration"]


def test_a_file_where_the_folder_of_the_state_should_be(tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_text('[project]\nname = "x"\nlabels = ["a", "b"]\n')
    (tmp_path / ".alloop").write_text("")
    assert "File exists" in faults(tmp_path)["configuration"]


# The service

SECRET = "5a1f0c2e9b7d4a36"
KEY = "a-signing-key-of-32-characters-x"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def with_service(folder: Path, port: int, *, secret: str = SECRET, ledger: str = "ledger.db") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "alloop.toml").write_text(
        f'[project]\nname = "birds"\nlabels = ["cat", "dog"]\n[ledger]\nurl = "sqlite:///{ledger}"\n'
        f'[service]\nport = {port}\nwebhook_secret = "{secret}"\nsigning_key = "{KEY}"\n'
    )
    return folder / "alloop.toml"


@contextmanager
def serving(config: Path, port: int) -> Iterator[Workspace]:
    """The service of a project, on a thread."""
    with open_workspace(config) as ws:
        server = uvicorn.Server(uvicorn.Config(create_app(ws), host="127.0.0.1", port=port, log_config=None))
        thread = Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield ws
        finally:
            server.should_exit = True
            thread.join()


def look(config: Path, what: str, **given: str) -> tuple[bool, str]:
    (found,) = [finding for finding in diagnose(config, **given) if finding.what == what]
    return found.ok, found.says


def test_a_service_that_does_not_run_is_no_fault(tmp_path: Path) -> None:
    port = free_port()
    told = f"nothing runs at http://127.0.0.1:{port}; start it with 'alloop serve'"
    assert look(with_service(tmp_path, port), "webhook") == (True, told)


def test_a_hint_goes_through_the_service_into_the_ledger(tmp_path: Path) -> None:
    port = free_port()
    config = with_service(tmp_path, port)
    with serving(config, port) as ws:
        ok, says = look(config, "webhook")
        assert ok
        assert says.startswith(f"a signed hint reached the ledger by way of http://127.0.0.1:{port} in ")
        assert ws.ledger.hints.newest() == 1


def test_a_service_with_another_secret(tmp_path: Path) -> None:
    port = free_port()
    with serving(with_service(tmp_path, port, secret="another-secret-of-old"), port):
        told = f"http://127.0.0.1:{port} refuses this webhook secret; restart 'alloop serve' with the present one"
        assert look(with_service(tmp_path, port), "webhook") == (False, told)


def test_a_service_with_another_ledger(tmp_path: Path) -> None:
    port = free_port()
    with serving(with_service(tmp_path / "a", port), port):
        ok, says = look(with_service(tmp_path / "b", port), "webhook")
        assert not ok
        assert "took a webhook that is not in this ledger" in says


def test_something_else_at_the_port_of_the_service(tmp_path: Path) -> None:
    with somebody(501) as port:
        ok, says = look(with_service(tmp_path, port), "webhook")
        assert not ok
        assert "answers 501 to a webhook of 'birds'; see that it is this project's 'alloop serve'" in says


def test_secrets_that_are_not_set(tmp_path: Path) -> None:
    config = with_service(tmp_path, free_port())
    config.write_text(config.read_text().replace(SECRET, "").replace(KEY, ""))
    ok, says = look(config, "secrets")
    assert not ok
    assert "ALLOOP_SERVICE__WEBHOOK_SECRET is not set" in says
    assert "ALLOOP_SERVICE__SIGNING_KEY is not set" in says


def test_a_secret_that_is_too_short(tmp_path: Path) -> None:
    ok, says = look(with_service(tmp_path, free_port(), secret="short"), "secrets")
    assert not ok
    assert "service.webhook_secret has 5 characters" in says


def test_no_secret_is_told(tmp_path: Path) -> None:
    port = free_port()
    config = with_service(tmp_path, port)
    config.write_text(config.read_text() + '[notify]\nwebhook_url = "https://me:hidden-word@example.org/x"\n')
    with serving(config, port):
        told = " ".join(finding.says for finding in diagnose(config))
    assert "announcements go to the log and 1 other channel" in told
    for secret in (SECRET, KEY, "hidden-word"):
        assert secret not in told


# Prefect, and clocks


@contextmanager
def somebody(status: int = 200, *, ahead_s: float = 0.0) -> Iterator[int]:
    """A server that answers everything alike, with a clock of its own."""

    class Answers(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - the standard library's names

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "alloop.toml").write_text('[project]\nname = "birds"\nlabels = ["cat", "dog"]\n')
    return tmp_path / "alloop.toml"


def test_a_prefect_server_that_answers(config: Path) -> None:
    with somebody() as port:
        ok, says = look(config, "prefect", prefect_api=f"http://me:hidden@127.0.0.1:{port}/api")
        assert ok
        assert says.endswith(f", http://127.0.0.1:{port}/api/health answers")


def test_a_prefect_server_that_is_not_there(config: Path) -> None:
    ok, says = look(config, "prefect", prefect_api=f"http://me:hidden@127.0.0.1:{free_port()}/api")
    assert not ok
    assert "does not answer (ConnectError); start that server, or unset PREFECT_API_URL" in says
    assert "hidden" not in says


def test_an_address_that_is_not_the_api(config: Path) -> None:
    with somebody(404) as port:
        ok, says = look(config, "prefect", prefect_api=f"http://127.0.0.1:{port}")
        assert not ok
        assert "answers 404; correct PREFECT_API_URL, it ends with /api as a rule" in says


def test_an_address_that_is_none(config: Path) -> None:
    ok, says = look(config, "prefect", prefect_api="nowhere")
    assert not ok
    assert "correct" in says or "unset PREFECT_API_URL" in says


def test_a_prefect_of_a_version_that_is_not_supported(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["prefect>=99"])
    ok, says = look(config, "prefect")
    assert not ok
    assert "pip install 'prefect>=99'" in says


def test_clocks_that_agree(config: Path) -> None:
    with somebody() as port:
        ok, says = look(config, "clocks", prefect_api=f"http://127.0.0.1:{port}/api")
        assert ok
        assert says.startswith("Prefect ")


@pytest.mark.parametrize(("ahead_s", "told"), [(60, "ahead of"), (-60, "behind")])
def test_clocks_that_differ(config: Path, ahead_s: float, told: str) -> None:
    with somebody(ahead_s=ahead_s) as port:
        ok, says = look(config, "clocks", prefect_api=f"http://127.0.0.1:{port}/api")
        assert not ok
        assert "the clock of Prefect is " in says
        assert f" s {told} this machine's; set both by NTP" in says


# Whose pre-labels people see


def test_open_tasks_show_the_champion(ws: Workspace) -> None:
    run_until_pushed(ws)
    champion = ws.ledger.models.champion()
    told = f"the open tasks show those of the champion {champion.name}"
    assert look(ws.config.file, "prelabels") == (True, told)


def test_open_tasks_that_show_another_model(ws: Workspace) -> None:
    run_until_pushed(ws)
    ws.ledger.interventions.roll_back("v0", reason="and then the power failed")
    told = "the open tasks show those of v1, and the champion is v0; renew them with 'alloop model rollback v0'"
    assert look(ws.config.file, "prelabels") == (False, told)
    roll_back(ws, "v0")
    assert look(ws.config.file, "prelabels") == (True, "the open tasks show those of the champion v0")


@pytest.mark.parametrize(
    ("tool", "section", "name"), [("label-studio", "label_studio", "Label Studio"), ("cvat", "cvat", "CVAT")]
)
def test_the_clock_of_an_annotation_server_is_looked_at(config: Path, tool: str, section: str, name: str) -> None:
    with somebody(ahead_s=3600) as port:
        config.write_text(
            config.read_text() + f'[annotation]\ntool = "{tool}"\n[annotation.{section}]\n'
            f'url = "http://127.0.0.1:{port}"\ntoken = "of nobody"\n[service]\nsigning_key = "{KEY}"\n'
        )
        with open_workspace(config) as ws:
            (found,) = clock_offsets(ws, None).items()
    assert found[0] == name
    assert 3598 < found[1] < 3602
