"""The supervisor of `alloop up`: Prefect's server, a runner, the relay and the service as children of one process."""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx
from prefect.settings import get_current_settings

from alloop.config import Config
from alloop.errors import ConfigError, LoopError
from alloop.workspace import open_workspace
from deployments.processes import Child, Part

__all__ = ["Terms", "supervise"]

CHECKOUT = Path(__file__).parents[1]
START_S = 120.0
LOOK_S = 0.2
HEARTBEAT_S = 30
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
}
"""What whoever starts us may set otherwise."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Terms:
    """When a cycle is opened, as a cron line in UTC, and how often the relay looks (None: every `loop.poll_s`)."""

    cron: str = "*/10 * * * *"
    watch_s: float | None = None


def supervise(config: Config, terms: Terms, *, tell: Tell) -> None:
    """Run everything until Ctrl-C or SIGTERM; what dies is started again.

    ConfigError when a port is taken, a folder cannot be written, or it runs already; LoopError when a part does not start.
    """
    over = Event()
    with _signals(over), _alone(config) as folder:
        address = _address(config)
        parts = tuple(_parts(config, terms, address, folder))
        children = [Child(part, log=folder / f"{part.name}.log", env=_environment(config, address)) for part in parts]
        try:
            for child in children:
                _start(child, over)
            if not over.is_set():
                _greet(config, address, tell)
            while not over.wait(LOOK_S):
                for child in children:
                    if news := child.revive():
                        tell(news)
        finally:
            _stop(children)


@dataclass(frozen=True)
class Address:
    """Where Prefect's server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For people."""
        return f"http://{self.host}:{self.port}"


def _address(config: Config) -> Address:
    """Prefect's own settings say where, as for `prefect server start`."""
    api = get_current_settings().server.api
    _refuse_taken(api.host, api.port, "set PREFECT_SERVER_API_PORT to another")
    _refuse_taken(config.service.host, config.service.port, "choose another [service] port")
    return Address(api.host, api.port)


def _refuse_taken(host: str, port: int, remedy: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"port {port} of {host} cannot be had ({why}); {remedy}") from error


def _parts(config: Config, terms: Terms, address: Address, folder: Path) -> Iterator[Part]:
    """In the order in which they start; the runner stops first, the server last."""
    file, service = str(config.file), f"http://{config.service.host}:{config.service.port}"
    watch = () if terms.watch_s is None else ("--watch-s", str(terms.watch_s))
    runner, relay = _fresh(folder / "runner.ready"), _fresh(folder / "relay.ready")
    yield Part("server", ("deployments.server",), _answers(f"{address.url}/api/health"), stop_s=4)
    yield Part(
        "runner", ("deployments.runner", file, "--cron", terms.cron, "--ready", str(runner)), runner.exists, stop_s=7
    )
    yield Part("relay", ("deployments.relay", file, *watch, "--ready", str(relay)), relay.exists, stop_s=2)
    yield Part("service", ("alloop", "serve", "--config", file), _answers(f"{service}/readyz"), stop_s=2)


def _fresh(file: Path) -> Path:
    file.unlink(missing_ok=True)
    return file


def _answers(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.TransportError:
            return False

    return answers


def _environment(config: Config, address: Address) -> Mapping[str, str]:
    home = {"PREFECT_HOME": str(config.state / "prefect")}
    paths = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    ours = {
        "PREFECT_API_URL": f"{address.url}/api",
        "PREFECT_SERVER_API_HOST": address.host,
        "PREFECT_SERVER_API_PORT": str(address.port),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # into the logs; the command itself keeps Prefect silent
        "PYTHONPATH": paths,
    }
    return QUIET | home | os.environ | ours


def _start(child: Child, over: Event) -> None:
    child.start()
    deadline = time.monotonic() + START_S
    while not over.is_set() and not child.part.is_ready():
        if not child.lives or time.monotonic() > deadline:
            raise LoopError(f"{child.part.name} did not start; {_last_words(child.log)}")
        over.wait(LOOK_S)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"it said: {lines[-1][:300]}; see {log}" if lines else f"it said nothing; see {log}"


def _greet(config: Config, address: Address, tell: Tell) -> None:
    service = f"http://{config.service.host}:{config.service.port}"
    tell(f"runs and schedules   {address.url}")
    tell(f"webhooks and images  {service}")
    tell(f"metrics              {service}/metrics")
    with open_workspace(config) as ws:
        if not ws.ledger.samples.counts()["samples"]:
            tell("pool is empty: alloop pool add")
    tell("ready; Ctrl-C ends it")


def _stop(children: Sequence[Child]) -> None:
    """The runner first, since its runs tell the server how they ended; the server last."""
    server, runner, *others = [*children[:2], *children[2:]]
    runner.stop()
    for child in others:
        child.ask_to_stop()
    for child in others:
        child.stop()
    server.stop()


@contextmanager
def _signals(over: Event) -> Iterator[None]:
    """Within it Ctrl-C, SIGTERM and a closed terminal set `over`."""
    which = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: over.set()) for number in which]
    try:
        yield
    finally:
        for number, handler in zip(which, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _alone(config: Config) -> Iterator[Path]:
    """The folder for logs, held against a second `alloop up`; the system frees it when this process dies."""
    folder = config.state / "up"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"alloop up runs already for '{config.project.name}' (process {file.read().strip()}); stop it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield folder
