-- Postgres runs this once, on an empty volume: Prefect's database is there then, and both keep an alembic_version table.
CREATE DATABASE alloop;
