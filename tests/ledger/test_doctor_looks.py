"""What the doctor asks of a ledger's database, on both kinds."""

from sqlalchemy import text

from alloop.reachability import database_offset, table_versions


def test_a_ledger_that_was_opened_is_of_this_version(ledger):
    there, newest = table_versions(ledger.database)
    assert there == newest


def test_tables_that_another_program_moved_on_meanwhile(fresh_url, open_at):
    with open_at(fresh_url) as ledger:
        with ledger.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        assert table_versions(ledger.database)[0] == "9999"


def test_the_clock_of_a_database_server_on_this_machine_is_ours(postgres_url, open_at):
    with open_at(postgres_url) as ledger:
        assert abs(database_offset(ledger.database)) < 5
