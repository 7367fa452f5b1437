"""Opening a ledger: making it, bringing it up to date, and refusing what is not ours."""

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

import alloop.ledger
from alloop.errors import ConfigError, LedgerBusy
from alloop.ledger.tables import Base
from alloop.nouns import Flag

MIGRATIONS = Path(alloop.ledger.__file__).parent / "migrations"
HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()


def plain(url):
    """A connection that knows nothing of alloop."""
    parsed = make_url(url)
    driver = "postgresql+psycopg" if parsed.get_backend_name() == "postgresql" else "sqlite"
    return create_engine(parsed.set(drivername=driver), poolclass=NullPool)


def run(url, *statements):
    with plain(url).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def at_revision(url, revision):
    """A database as an older alloop left it, made with Alembic's own command line."""
    config = Config(MIGRATIONS / "alembic.ini")
    config.set_main_option("sqlalchemy.url", plain(url).url.render_as_string(hide_password=False).replace("%", "%%"))
    command.upgrade(config, revision)


def sentence(error):
    said = str(error.value)
    assert "\n" not in said
    assert "Traceback" not in said
    return said


def test_a_new_database_has_exactly_the_tables_of_the_program(fresh_url, open_at):
    with open_at(fresh_url), plain(fresh_url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == HEAD


def test_alembic_makes_the_same_tables(fresh_url):
    at_revision(fresh_url, "head")
    with plain(fresh_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_an_older_ledger_is_brought_up_to_date_and_keeps_its_rows(fresh_url, open_at, clock):
    at_revision(fresh_url, "0001")
    run(
        fresh_url,
        """INSERT INTO project VALUES ('birds', 'classify', '["cat", "dog"]', '2025-12-01 07:00:00')""",
        "INSERT INTO sample VALUES ('birds', 'a', '/a.png', 'clip', 'pool', NULL, false, 8, 6, 9, 1, '2025-12-01 07:00:00')",
        "INSERT INTO cycle VALUES ('birds', 0, 'margin', 5, '2025-12-01 07:00:00', NULL)",
    )
    with open_at(fresh_url, project="birds") as ledger:
        assert [sample.uri for shard in ledger.samples.unlabelled(shard=9) for sample in shard] == ["/a.png"]
        assert ledger.cycles.open_next(strategy="other", nominal=1).strategy == "margin"
        assert ledger.decisions.raise_flags([Flag(0, "cycle", "breached", 50.0, clock.now())])
    with plain(fresh_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_older_labels_are_kept_and_older_boxes_that_nobody_labelled_are_forgotten(fresh_url, open_at):
    at_revision(fresh_url, "0004")
    day, cat = "2025-12-01 07:00:00", '{"class": "cat", "boxes": []}'
    row = (
        "INSERT INTO observation VALUES ({0}, 'birds', 'tool', 'ref {0}', '"
        + day
        + "', 'f', '{1}', 'ann', '{2}', '{3}', 9, {4}, '"
        + day
        + "', 0)"
    )
    run(
        fresh_url,
        f"""INSERT INTO project VALUES ('birds', 'classify', '["cat", "dog"]', '{day}')""",
        *(
            f"INSERT INTO sample VALUES ('birds', '{key}', '/{key}.png', NULL, 'pool', NULL, false, 8, 6, 9, 1, '{day}')"
            for key in "abc"
        ),
        f"INSERT INTO cycle VALUES ('birds', 0, 'margin', 5, '{day}', '{day}')",
        """INSERT INTO batch_item (project, cycle, sample_id, rank, lane, cluster, outcome)
           VALUES ('birds', 0, 'a', 0, 'active', -1, 'labelled')""",
        row.format(1, "a", "labelled", cat, "false"),
        row.format(2, "b", "skipped", cat, "false"),
        row.format(3, "c", "labelled", cat, "true"),
    )
    with open_at(fresh_url, project="birds") as ledger:
        found = ledger.labels.training_set(0).labels
        assert [(label.sample.id, label.content.class_name) for label in found] == [("a", "cat")]
        assert [item.annotators for item in ledger.batches.get(0).items] == [1]
    with plain(fresh_url).connect() as connection:
        kept = connection.execute(text("SELECT id, content IS NULL FROM observation ORDER BY id")).all()
        assert [(number, bool(empty)) for number, empty in kept] == [(1, False), (2, True), (3, True)]
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    for wrong in ("content = NULL", "annotator = ''", "id = 2", "sample_id = 'nobody'"):
        with pytest.raises(IntegrityError):
            run(
                fresh_url,
                "PRAGMA foreign_keys=ON" if "sqlite" in fresh_url else "SELECT 1",
                f"UPDATE observation SET {wrong} WHERE id = 1",
            )


def test_a_failed_migration_leaves_the_older_ledger_as_it_was(fresh_url, open_at):
    at_revision(fresh_url, "0001")
    run(fresh_url, "CREATE TABLE flag (id INTEGER)")
    with pytest.raises(ConfigError):
        open_at(fresh_url)
    run(fresh_url, "DROP TABLE flag")
    with open_at(fresh_url) as ledger:
        assert ledger.decisions.flags() == ()


def test_a_ledger_of_an_unknown_version_is_refused(fresh_url, open_at):
    with open_at(fresh_url):
        pass
    run(fresh_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError) as error:
        open_at(fresh_url)
    assert "'9999'" in sentence(error)
    assert "upgrade alloop" in sentence(error)


def test_a_database_with_somebody_elses_table_of_our_name_is_refused(fresh_url, open_at):
    run(fresh_url, "CREATE TABLE sample (id INTEGER)")
    with pytest.raises(ConfigError, match="a table 'sample' that alloop did not make") as error:
        open_at(fresh_url)
    assert sentence(error)
    run(fresh_url, "INSERT INTO sample VALUES (1)")


def test_tables_of_other_names_are_none_of_our_business(fresh_url, open_at):
    run(fresh_url, "CREATE TABLE invoices (id INTEGER)")
    with open_at(fresh_url) as ledger:
        assert ledger.cycles.all() == ()


@pytest.mark.parametrize("url", ["mysql://u:geheim@h/d", "mssql+pyodbc://u:geheim@h/d", "http://u:geheim@h/d"])
def test_another_database_is_refused(url, open_at):
    with pytest.raises(ConfigError, match="SQLite and Postgres") as error:
        open_at(url)
    assert "geheim" not in sentence(error)


@pytest.mark.parametrize("url", ["ledger.db", "", "postgresql://u:x@h:geheim/d"])
def test_what_is_no_database_url_is_refused(url, open_at):
    with pytest.raises(ConfigError, match="not a database URL") as error:
        open_at(url)
    assert "geheim" not in sentence(error)


def test_a_missing_folder_is_refused_and_not_made(tmp_path, open_at):
    with pytest.raises(ConfigError, match="does not exist") as error:
        open_at(f"sqlite:///{tmp_path}/missing/ledger.db")
    assert str(tmp_path / "missing") in sentence(error)
    assert not (tmp_path / "missing").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path, open_at):
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes, and no database at all\n" * 100)
    with pytest.raises(ConfigError, match="does not open") as error:
        open_at(f"sqlite:///{file}")
    assert "check [ledger] url" in sentence(error)
    assert file.read_text().startswith("these are my notes")


def test_a_folder_is_no_database(tmp_path, open_at):
    with pytest.raises(ConfigError, match="does not open") as error:
        open_at(f"sqlite:///{tmp_path}")
    assert sentence(error)


def test_a_postgres_that_does_not_answer_is_tried_again_and_its_password_is_not_shown(open_at):
    with pytest.raises(LedgerBusy, match="unreachable") as error:
        open_at("postgresql://ann:geheim@127.0.0.1:1/ledger")
    assert "geheim" not in sentence(error)


def test_a_database_that_postgres_does_not_have_is_a_mistake(postgres, open_at):
    with pytest.raises(ConfigError, match='database "nowhere" does not exist') as error:
        open_at(make_url(postgres).set(database="nowhere", password="geheim").render_as_string(hide_password=False))
    assert "geheim" not in sentence(error)


def test_an_option_that_postgres_does_not_know_is_a_mistake(postgres, open_at):
    with pytest.raises(ConfigError, match="colour") as error:
        open_at(make_url(postgres).update_query_dict({"colour": "red"}).render_as_string(hide_password=False))
    assert sentence(error)


@pytest.mark.parametrize("name", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_name_of_postgres_is_understood(name, postgres_url, open_at):
    with open_at(make_url(postgres_url).set(drivername=name).render_as_string(hide_password=False)) as ledger:
        assert ledger.cycles.all() == ()


def test_prefects_name_of_sqlite_is_understood(tmp_path, open_at):
    with open_at(f"sqlite+aiosqlite:///{tmp_path}/ledger.db"):
        assert (tmp_path / "ledger.db").exists()


def test_processes_that_make_the_same_database_at_once_all_get_it(fresh_url, other_process):
    others = [other_process(fresh_url, project) for project in ("birds", "birds", "fish", "fish")]
    assert [other.answer() for other in others] == ["ready"] * 4
    for other in others:
        other.tell("open")
    assert [other.answer() for other in others] == ["birds", "birds", "fish", "fish"]
    with plain(fresh_url).connect() as connection:
        assert connection.scalars(text("SELECT name FROM project ORDER BY name")).all() == ["birds", "fish"]
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [HEAD]


def test_threads_that_make_different_databases_at_once_all_get_theirs(tmp_path, open_at):
    failed = []

    def make(number):
        try:
            with open_at(f"sqlite:///{tmp_path}/{number}.db") as ledger:
                ledger.cycles.open_next(strategy="margin", nominal=1)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_ledger_that_stays_locked_says_so(fresh_url, open_at, short_patience):
    with open_at(fresh_url) as first, open_at(fresh_url) as second, first.database.write() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(LedgerBusy, match="try again") as error:
            second.cycles.open_next(strategy="margin", nominal=1)
        assert sentence(error)
