"""One database: opening it, bringing it to this version's tables, and its transactions."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from alloop.errors import ConfigError, LedgerBusy
from alloop.ledger.tables import Base

__all__ = ["Database", "open_database"]

BUSY_S = 30
MIGRATION_LOCK = 7_263_512_001
"""Any number that other programs on the same Postgres do not lock."""


class Database:
    """Transactions on the ledger's database: `read()` sees one state, `write()` is alone while it writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only session."""
        with _busy_is_transient(), self._engine.connect() as connection, Session(bind=connection) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction that starts with the write lock on SQLite: committed whole or not at all."""
        with _busy_is_transient(), self._engine.connect() as connection:
            writing = connection.execution_options(alloop_writes=True)
            with Session(bind=writing) as session, session.begin():
                yield session

    def insert_new(self, session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        """Insert the rows whose keys are new and leave the others as they are."""
        insert = sqlite.insert if self.is_sqlite else postgresql.insert
        width = max((len(row) for row in rows), default=1)
        step = max(1, 30_000 // width)  # SQLite takes 32,766 variables a statement, Postgres 65,535
        for start in range(0, len(rows), step):
            session.execute(insert(table).values(list(rows[start : start + step])).on_conflict_do_nothing())

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def open_database(url: str) -> Database:
    """The database at `url`, made or brought up to date; ConfigError when it is newer than this program or not ours."""
    engine = _engine(url)
    try:
        with _busy_is_transient():
            _migrate(engine)
    except OperationalError as error:
        raise ConfigError(f"the ledger {_shown(url)} does not open ({error.orig}); check [ledger] url") from error
    return Database(engine)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ConfigError(f"the ledger speaks SQLite and Postgres, not {parsed.drivername}; change [ledger] url")
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        return _sqlite_engine(parsed.database or ":memory:", url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(f"[ledger] url is not a database URL ({error}); write sqlite:///ledger.db") from error


def _sqlite_engine(database: str, url: str) -> Engine:
    memory = database == ":memory:"
    options: dict[str, Any] = {"poolclass": StaticPool} if memory else {}
    if not memory and not Path(database).parent.is_dir():
        raise ConfigError(f"the folder of the ledger {database} does not exist; make it or change [ledger] url")
    engine = create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False}, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={BUSY_S * 1000}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("alloop_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _migrate(engine: Engine) -> None:
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    with engine.connect() as plain:
        connection = plain.execution_options(alloop_writes=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context = MigrationContext.configure(connection, opts={"target_metadata": Base.metadata})
            version = context.get_current_revision()
            if version == script.get_current_head():
                return
            _refuse_foreign(connection, version, script)
            with Operations.context(context):
                for revision in reversed(list(script.iterate_revisions("head", version or "base"))):
                    revision.module.upgrade()
                    context.stamp(script, revision.revision)


def _refuse_foreign(connection: Connection, version: str | None, script: ScriptDirectory) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if version is not None and version not in known:
        raise ConfigError(f"the ledger is of the newer version {version}; upgrade alloop or use another [ledger] url")
    tables = set(inspect(connection).get_table_names())
    if version is None and tables & set(Base.metadata.tables):
        clash = min(tables & set(Base.metadata.tables))
        raise ConfigError(f"the database holds a table '{clash}' that alloop did not make; use another [ledger] url")


@contextmanager
def _busy_is_transient() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        cause = str(error.orig).lower()
        if any(word in cause for word in ("locked", "deadlock", "connection", "could not serialize")):
            raise LedgerBusy(f"the ledger is busy or unreachable ({error.orig}); it is tried again") from error
        raise


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
