"""The services of docker-compose.yml as processes of this machine: their own commands, environments and health checks.

Only hosts, ports and folders are other ones.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.compose_file import CHECKOUT, example, read, words
from tests.wiring.deployed_up import free_port, until

READY_S = 120.0
OVER_REDIS = {
    "PREFECT_MESSAGING_BROKER",
    "PREFECT_MESSAGING_CACHE",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    "PREFECT_REDIS_MESSAGING_URL",
    "PREFECT_SERVER_DOCKET_URL",
}
"""What is left out where there is no Redis."""


def has_redis() -> bool:
    """Whether Prefect's server and its services can talk to each other; else they are one process."""
    return shutil.which("redis-server") is not None and find_spec("prefect_redis") is not None


class ByHand:
    """The services of docker-compose.yml as processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        self.project.mkdir()
        self.given = {name: secrets.token_hex(20) for name in example()}
        self.given["PREFECT_SERVER_API_AUTH_STRING"] = f"admin:{secrets.token_hex(20)}"
        self.ports = {name: free_port() for name in ("postgres", "redis", "prefect", "service", "worker")}
        self.moved = {
            "prefect-server:4200": f"127.0.0.1:{self.ports['prefect']}",
            "127.0.0.1:4200": f"127.0.0.1:{self.ports['prefect']}",
            "127.0.0.1:8090": f"127.0.0.1:{self.ports['service']}",
            "127.0.0.1:8080": f"127.0.0.1:{self.ports['worker']}",
            "@postgres:5432": f"@127.0.0.1:{self.ports['postgres']}",
            "redis:6379": f"127.0.0.1:{self.ports['redis']}",
            "0.0.0.0": "127.0.0.1",
            "/project": str(self.project),
            "/tmp/ready": str(folder / "ready"),
        }
        own = {
            "PREFECT_SERVER_API_PORT": self.ports["prefect"],
            "ALLOOP_SERVICE__PORT": self.ports["service"],
            "PREFECT_WORKER_WEBSERVER_PORT": self.ports["worker"],
        }
        self.own = {name: str(port) for name, port in own.items()}
        self.found = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.ports["postgres"]),
            "PGPASSWORD": self.given["POSTGRES_PASSWORD"],
        }
        """For psql, which finds the server of its own container without them."""
        self.services: dict[str, dict[str, Any]] = read(self.given)["services"]

    def here(self, text: str) -> str:
        """A value of the file with the hosts, ports and folders of this machine."""
        for there, here in self.moved.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """All that a container would have in its environment, and nothing of ours but where programs are found."""
        values = {key: self.own.get(key, self.here(value)) for key, value in self.services[name]["environment"].items()}
        if not has_redis():
            values = {key: value for key, value in values.items() if key not in OVER_REDIS}
        paths = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        image = {"PATH": path, "PYTHONPATH": paths, "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        return image | self.found | values

    def command(self, name: str) -> list[str]:
        """Entrypoint and command, as the image's ENTRYPOINT is `alloop`."""
        service = self.services[name]
        said = [
            self.here(word) for word in (words(service.get("entrypoint")) or ["alloop"]) + words(service["command"])
        ]
        return in_this_python([word for word in said if has_redis() or word != "--no-services"])

    @contextmanager
    def started(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        log = self.folder / f"{name}.log"
        with (
            log.open("wb") as told,
            subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self.project, stdout=told, stderr=told
            ) as process,
        ):
            try:
                until(lambda: self.is_healthy(name) or process.poll() is not None, within_s=READY_S)
                assert process.poll() is None, self.log(name)
                yield process
            finally:
                stop(process)

    def is_healthy(self, name: str) -> bool:
        """What its health check says; without one it is while it runs."""
        check = self.services[name]["healthcheck"].get("test")
        if check is None:
            return True
        done = subprocess.run(
            in_this_python([self.here(word) for word in check[1:]]), env=self.environment(name), capture_output=True
        )
        return done.returncode == 0

    def once(self, name: str, *arguments: str) -> str:
        """A service that ends by itself, to its end; `arguments` instead of its command, as in `docker compose run`."""
        command = self.command(name)
        if arguments:
            command = [*command[: -len(words(self.services[name]["command"]))], *arguments]
        done = subprocess.run(
            command, env=self.environment(name), cwd=self.project, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def api(self) -> httpx.Client:
        user, _, password = self.given["PREFECT_SERVER_API_AUTH_STRING"].partition(":")
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.ports['prefect']}/api/", auth=(user, password), timeout=30
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, as a container is stopped, and end it when it does not: Prefect's worker hung so once."""
    process.terminate()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()


def in_this_python(command: list[str]) -> list[str]:
    """The programs of the image are modules of the Python that runs this."""
    program, *more = command
    modules = {"alloop": ["-m", "alloop"], "prefect": ["-m", "prefect"], "python": []}
    return [sys.executable, *modules[program], *more] if program in modules else command


@contextmanager
def postgres(hand: ByHand) -> Iterator[None]:
    """A server with the superuser, password and databases that the container would make.

    The one from a wheel that tests/ledger/ uses will not do: it has no pg_trgm, which Prefect needs.
    """
    debian = ":".join(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # not on the PATH there
    programs = shutil.which("initdb") or shutil.which("initdb", path=debian)
    assert programs, "this needs initdb and postgres, with the extensions that Debian's postgresql brings"
    asked, owner = hand.services["postgres"]["environment"], "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="alloop-compose-") as home:
        data, password = Path(home, "data"), Path(home, "password")
        password.write_text(asked["POSTGRES_PASSWORD"])
        if owner:  # Postgres refuses to be root's
            for one in (home, password):
                shutil.chown(one, owner, owner)
        made = ["--auth", "scram-sha-256", "--username", asked["POSTGRES_USER"], "--pwfile", str(password)]
        subprocess.run([programs, "--pgdata", data, *made], user=owner, cwd=home, check=True, stdout=subprocess.DEVNULL)
        where = ["-h", "127.0.0.1", "-p", str(hand.ports["postgres"]), "-k", home, "-c", "fsync=off"]
        server = Path(programs).resolve().with_name("postgres")
        with (hand.folder / "postgres.log").open("wb") as told:
            process = subprocess.Popen([server, "-D", data, *where], user=owner, cwd=home, stdout=told, stderr=told)
        try:
            until(lambda: "ready to accept connections" in hand.log("postgres"), within_s=READY_S)
            make_databases(hand, asked)
            assert hand.is_healthy("postgres")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def make_databases(hand: ByHand, asked: Mapping[str, str]) -> None:
    """What the container's own entrypoint does on an empty volume."""
    address = f"postgresql://{asked['POSTGRES_USER']}:{asked['POSTGRES_PASSWORD']}@127.0.0.1:{hand.ports['postgres']}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {asked['POSTGRES_DB']}")
        connection.execute((CHECKOUT / "deployments" / "ledger.sql").read_text())


@contextmanager
def redis(hand: ByHand) -> Iterator[None]:
    """A server started by the service's own command, or nothing, which is told."""
    if not has_redis():
        print(
            "no redis-server on the PATH, or no prefect-redis: Prefect's server keeps its messages and services to itself"
        )
        yield
        return
    folder = hand.folder / "redis"
    folder.mkdir()
    where = ["--port", str(hand.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(folder)]
    with (hand.folder / "redis.log").open("wb") as told:
        process = subprocess.Popen([*words(hand.services["redis"]["command"]), *where], stdout=told, stderr=told)
    try:
        until(lambda: "Ready to accept connections" in hand.log("redis"), within_s=READY_S)
        print("Prefect's messages go through a real redis-server")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
