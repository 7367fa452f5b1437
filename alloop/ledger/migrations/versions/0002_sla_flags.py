"""SLA announcements."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A row for each announcement."""
    op.create_table(
        "flag",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hours", sa.Double(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "stage", "kind"),
    )
