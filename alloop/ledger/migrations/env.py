"""Where Alembic's own command line starts, for writing a new revision; `alloop` itself migrates in database.py.

alembic --config alloop/ledger/migrations/alembic.ini revision --autogenerate -m "what changes"
"""

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from alloop.ledger.tables import Base

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None, "alembic.ini names the database to compare with"
with create_engine(url, poolclass=NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
