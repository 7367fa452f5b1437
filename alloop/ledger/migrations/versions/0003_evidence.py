"""Why a committee chose a sample, and who was shown a pre-label."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two columns beside the pre-label; batches chosen before have no evidence, and showed what they had."""
    op.add_column(
        "batch_item", sa.Column("evidence", alloop.ledger.types.EvidenceJson(none_as_null=True), nullable=True)
    )
    op.add_column("batch_item", sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false()))
