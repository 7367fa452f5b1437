"""A SQLite ledger: how its file is opened, for writing and, where it may only be read, for reading."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from alloop.errors import ConfigError

__all__ = ["open_to_read", "reading_engine", "sqlite_engine"]


def open_to_read(path: Path) -> sqlite3.Connection:
    """The SQLite file at `path`, which is not changed."""
    return sqlite3.connect(_read_uri(path), uri=True)


def sqlite_engine(url: URL, *, busy_s: float) -> Engine:
    """The file or memory of `url`, with a write-ahead log; it waits `busy_s` for others. ConfigError without its folder."""
    database = url.database or ":memory:"
    memory = database == ":memory:"
    options: dict[str, Any] = {"poolclass": StaticPool} if memory else {}
    if not memory and not Path(database).parent.is_dir():
        raise ConfigError(f"the folder of the ledger {database} does not exist; make it or change [ledger] url")
    engine = create_engine(url, connect_args={"timeout": busy_s, "check_same_thread": False}, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={busy_s * 1000:.0f}")
        _write_ahead(connection, busy_s)
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def reading_engine(url: URL, *, busy_s: float) -> Engine:
    """The file of `url` where neither it nor its folder can be written; what writes fails.

    SQLite reads a write-ahead log only beside a file of shared memory that it may make. Where there is no log left to
    read, the file is all there is, and cannot change either.
    """
    path = Path(url.database or "")
    log = path.with_name(f"{path.name}-wal")
    is_whole = not (log.exists() and log.stat().st_size)

    def connect() -> sqlite3.Connection:
        uri = _read_uri(path) + ("&immutable=1" if is_whole else "")
        connection = sqlite3.connect(uri, uri=True, timeout=busy_s, check_same_thread=False)
        connection.isolation_level = None
        return connection

    return create_engine(url, creator=connect)


def _read_uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


def _write_ahead(connection: sqlite3.Connection, busy_s: float) -> None:
    """Turn the write-ahead log on. Of two processes at this in a new database one is refused at once, busy timeout or not."""
    patience = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patience:
                raise
        time.sleep(0.02)
