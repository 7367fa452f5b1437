"""Hints that tools sent."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A row for each thing that a tool told of."""
    op.create_table(
        "hint",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("received_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("handled_at", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "key"),
    )
    op.create_index("ix_hint_handled", "hint", ["project", "handled_at"], unique=False)
