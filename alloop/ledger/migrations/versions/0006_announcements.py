"""Flags that can be raised again, who was told of them, and batches that were closed early."""

from typing import Any

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """A number in the key of flags, the first of which is 0; SQLite cannot change a key, so the table is made anew."""
    op.execute("CREATE TABLE flag_before AS SELECT * FROM flag")
    op.drop_table("flag")
    op.create_table(
        "flag",
        *_key(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hours", sa.Double(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project", "cycle"], ["cycle.project", "cycle.number"]),
        sa.PrimaryKeyConstraint("project", "cycle", "stage", "number"),
    )
    op.execute(
        "INSERT INTO flag (project, cycle, stage, number, kind, hours, at) "
        "SELECT project, cycle, stage, 0, kind, hours, at FROM flag_before"
    )
    op.drop_table("flag_before")
    op.create_table(
        "announcement",
        *_key(),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("claimed_until", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.Column("told_at", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "cycle", "stage", "number"],
            ["flag.project", "flag.cycle", "flag.stage", "flag.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "stage", "number", "channel"),
    )
    op.create_table(
        "early_close",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project", "cycle"], ["cycle.project", "cycle.number"]),
        sa.PrimaryKeyConstraint("project", "cycle"),
    )


def _key() -> tuple["sa.Column[Any]", ...]:
    return (
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
    )
