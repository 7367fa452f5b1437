"""The deployed runs of a cycle."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """A row for each run that was started for a cycle."""
    op.create_table(
        "attempt",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("sleeps", sa.Integer(), nullable=False),
        sa.Column("began_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("seen_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "number"),
    )
    op.create_index("ix_attempt_run", "attempt", ["project", "run"], unique=False)
