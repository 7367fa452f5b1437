"""Batches that were looked at again, since the champion changed while people were answering them."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """A row for each other model that became champion while a batch waited."""
    op.create_table(
        "drift",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("chosen_by", sa.String(), nullable=False),
        sa.Column("rescored", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("withdrawn", sa.JSON(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("finished_at", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.ForeignKeyConstraint(
            ["project", "version"],
            ["model_version.project", "model_version.name"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "version"),
    )
