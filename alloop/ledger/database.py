"""One database: opening it, bringing it to this version's tables, and its transactions."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock, RLock
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, Insert, create_engine, event, insert, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from alloop.errors import ConfigError, LedgerBusy, LoopError
from alloop.ledger.disk import Fault, find_fault
from alloop.ledger.sqlite_file import open_to_read, reading_engine, sqlite_engine
from alloop.ledger.tables import Base

__all__ = ["Database", "open_database", "shown_url"]

BUSY_S = 30
WRITE_LOCK = 7_263_512_001
"""Any number that other programs on the same Postgres do not lock."""
BEGIN = {
    ("sqlite", "read"): "BEGIN",
    ("sqlite", "write"): "BEGIN IMMEDIATE",
    ("postgresql", "read"): "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    ("postgresql", "write"): (
        f"SET LOCAL lock_timeout = '{BUSY_S}s'; SET LOCAL idle_in_transaction_session_timeout = '300s'; "
        f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"
    ),
}
"""What starts a transaction. One writer at a time on Postgres too, so that read-then-write is as safe there as on SQLite;
a writer whose machine went away is cut off after 300 s."""
BUSY = ("locked", "deadlock", "connection", "could not serialize", "lock timeout", "temporary failure")
CHECK = "check [ledger] url"
MISTAKEN = ("password", "does not exist", "pg_hba.conf", "invalid")
"""A server that answers this is there, and will answer the same next time."""
MANY = 100
GROWN = text("SELECT pg_relation_size(oid) > 16384 * (1 + relpages) FROM pg_class WHERE oid = to_regclass(:table)")
"""Whether a table has doubled since Postgres counted it. By itself it counts once a minute, and until then a fresh table's
lookups read the whole project: confirming 5,000 refs took 30 s."""
MIGRATING = Lock()
"""Alembic's `op` is one for all threads."""


class Database:
    """Transactions on the ledger's database: `read()` sees one state, `write()` is alone while it writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        one = isinstance(engine.pool, StaticPool)
        self._turn: AbstractContextManager[Any] = RLock() if one else nullcontext()  # threads share that connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only session."""
        with (
            self._turn,
            _damage_is_told(self._engine.url),
            _busy_is_transient(),
            self._engine.connect() as connection,
            Session(bind=connection) as session,
        ):
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction that starts with the write lock: committed whole or not at all."""
        with self._turn, _damage_is_told(self._engine.url), _busy_is_transient(), self._engine.connect() as connection:
            writing = connection.execution_options(alloop_writes=True)
            with Session(bind=writing) as session, session.begin():
                yield session

    def insert(self, session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, all of them new."""
        self._insert(session, table, insert(table), rows)

    def insert_new(self, session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
        """Insert the rows whose keys are new and leave the others as they are."""
        new = sqlite.insert if self.is_sqlite else postgresql.insert
        self._insert(session, table, new(table).on_conflict_do_nothing(), rows)

    def _insert(self, session: Session, table: type[Base], how: Insert, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            session.connection().execute(how, list(rows))
        if len(rows) >= MANY and not self.is_sqlite and session.scalar(GROWN, {"table": table.__tablename__}):
            session.connection().exec_driver_sql(f"ANALYZE {table.__tablename__}")

    def copy_from(self, path: Path) -> None:
        """Become what the SQLite ledger in the file `path` is; this one must be SQLite too."""
        with self._turn, self._engine.connect() as connection, closing(open_to_read(path)) as file:
            file.backup(_raw(connection))

    def copy_to(self, path: Path) -> None:
        """Write this SQLite ledger to the file `path`, as it is now."""
        with self._turn, self._engine.connect() as connection, closing(sqlite3.connect(path)) as file:
            _raw(connection).backup(file)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection), "only a SQLite ledger is copied as a whole"
    return raw


def open_database(url: str) -> Database:
    """The database at `url`, made or brought up to date; ConfigError when it is newer than this program or not ours.

    A SQLite file of this version that may only be read is opened for reading; writing to it is a LoopError.
    """
    engine = _engine(url)
    try:
        return _opened(engine)
    except DBAPIError as error:
        fault = find_fault(engine.url, _told(error))
        if fault is Fault.READ_ONLY:
            with suppress(DBAPIError):
                return _opened(_with_begin(reading_engine(engine.url, busy_s=BUSY_S)))
        what, remedy = (f"{fault.value.what} ({_told(error)})", fault.value.remedy) if fault else (_told(error), CHECK)
        raise ConfigError(f"the ledger {shown_url(url)} does not open: {what}; {remedy}") from error


def _opened(engine: Engine) -> Database:
    try:
        with _busy_is_transient(), MIGRATING:
            _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # without their text: parts of a password can be in it
        raise ConfigError("[ledger] url is not a database URL; write sqlite:///ledger.db") from None
    backend = {"postgres": "postgresql"}.get(parsed.get_backend_name(), parsed.get_backend_name())
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"the ledger speaks SQLite and Postgres, not {parsed.drivername}; change [ledger] url")
    if backend == "postgresql" and "@" in f"{parsed.host}{parsed.database}":  # a piece of the password is the host then
        raise ConfigError("[ledger] url holds more than one '@'; write %40 for those in the password")
    if backend == "sqlite":
        return _with_begin(sqlite_engine(parsed.set(drivername="sqlite"), busy_s=BUSY_S))
    parsed = parsed.set(drivername="postgresql+psycopg")
    return _with_begin(create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10}))


def _with_begin(engine: Engine) -> Engine:
    """The engine, whose transactions start as `BEGIN` says."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("alloop_writes")
        connection.exec_driver_sql(BEGIN[engine.dialect.name, "write" if writes else "read"])

    return engine


def _migrate(engine: Engine) -> None:
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    with engine.connect() as reading:
        if MigrationContext.configure(reading).get_current_revision() == script.get_current_head():
            return
    with engine.connect() as plain:
        connection = plain.execution_options(alloop_writes=True)
        with connection.begin():
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
        raise ConfigError(
            f"the ledger is of version '{version}', which this alloop does not know; upgrade alloop or use another "
            "[ledger] url"
        )
    tables = set(inspect(connection).get_table_names())
    if version is None and tables & set(Base.metadata.tables):
        clash = min(tables & set(Base.metadata.tables))
        raise ConfigError(f"the database holds a table '{clash}' that alloop did not make; use another [ledger] url")


@contextmanager
def _busy_is_transient() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        cause = _told(error).lower()
        if any(word in cause for word in BUSY) and not any(word in cause for word in MISTAKEN):
            raise LedgerBusy(f"the ledger is busy or unreachable ({_told(error)}); try again") from error
        raise
    except NoConnectionLeft as error:
        raise LedgerBusy("every connection to the ledger is in use; try again") from error


@contextmanager
def _damage_is_told(url: URL) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        fault = find_fault(url, _told(error))
        if fault is None:
            raise
        what, remedy = fault.value
        raise LoopError(f"the ledger {_shown(url)} cannot be used: {what} ({_told(error)}); {remedy}") from error


def _told(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def shown_url(url: str) -> str:
    """A ledger's URL without user, password and options, for people to read."""
    return _shown(make_url(url))


def _shown(url: URL) -> str:
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
