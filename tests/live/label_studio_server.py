"""A real Label Studio for tests: started from its own virtual environment, with a fresh copy of an empty database."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx

VARIABLE = "ALLOOP_LABEL_STUDIO_VENV"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
EMAIL, PASSWORD = "admin@alloop.test", "only-for-tests"
START_S = 180
"""Seconds; migrating an empty database took 40 s, the start after that 4 s."""
OFFLINE = {
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "FEATURE_FLAGS_OFFLINE": "True",
    "CONVERTER_DOWNLOAD_RESOURCES": "False",
}
SETTINGS = {
    "DJANGO_DB": "sqlite",
    "LABEL_STUDIO_USERNAME": EMAIL,
    "LABEL_STUDIO_PASSWORD": PASSWORD,
    "LABEL_STUDIO_USER_TOKEN": TOKEN,
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
}


def installed() -> Path:
    """The virtual environment that Label Studio is installed in; RuntimeError where there is none."""
    stated = os.environ.get(VARIABLE, "")
    if not stated or not (Path(stated) / "bin" / "label-studio").exists():
        raise RuntimeError(
            f"there is no Label Studio at {VARIABLE}={stated!r}; run `make test-live`, which installs it"
        )
    return Path(stated).resolve()


class LabelStudioServer:
    """One server process on a free port of this machine; `settings` are added to its environment."""

    def __init__(self, venv: Path, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self._program, self._home, self._settings = venv / "bin" / "label-studio", home, settings or {}
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers with our own token: on a port that is taken it would move elsewhere."""
        self._home.mkdir(parents=True, exist_ok=True)
        environment = {
            **OFFLINE,
            **SETTINGS,
            **self._settings,
            "LABEL_STUDIO_BASE_DATA_DIR": str(self._home),
            "HOME": str(self._home),
        }
        where = ["--internal-host", "127.0.0.1", "--port", str(self.port), "--data-dir", str(self._home)]
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "start", "--no-browser", *where],
                env={"PATH": os.environ["PATH"], **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Label Studio did not start:\n{self.log()[-4000:]}")
            time.sleep(0.3)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def log(self) -> str:
        """What it printed."""
        return (self._home / "server.log").read_text(errors="replace")

    def committed_tasks(self, title: str) -> int:
        """How many tasks a project has, from the database: the server itself would answer once it has done with its import."""
        query = "SELECT count(*) FROM task JOIN project ON project.id = task.project_id WHERE project.title = ?"
        with closing(sqlite3.connect(f"file:{self._home}/label_studio.sqlite3?mode=ro", uri=True, timeout=30)) as file:
            return int(file.execute(query, (title,)).fetchone()[0])

    def client(self) -> httpx.Client:
        """A client with the administrator's legacy token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                answer = client.get("/api/current-user/whoami", timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.json()["email"] == EMAIL


def template_of(venv: Path) -> Path:
    """A data folder with an empty database, made the first time ever, which takes 40 s."""
    template = venv / "alloop-template"
    if not template.exists():
        fresh = template.with_name(f"alloop-template.{os.getpid()}")
        cold = LabelStudioServer(venv, fresh)
        cold.start()
        cold.stop()
        fresh.rename(template)
    return template


def start_copy(venv: Path, home: Path, settings: Mapping[str, str] | None = None) -> LabelStudioServer:
    """A started server in `home` with an empty database."""
    shutil.copytree(template_of(venv), home)
    server = LabelStudioServer(venv, home, settings)
    server.start()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
