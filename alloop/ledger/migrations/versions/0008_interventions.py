"""What people asked of a cycle out of turn."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """A row for each pause, resumption and cancellation, and for each time that pre-labels were renewed."""
    op.create_table(
        "intervention",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "number"),
    )
