"""Several annotators for one sample, and a content for nothing but what a person labelled."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0005"
down_revision = "0004"

CONTENT = "(outcome = 'labelled' AND NOT deleted) = (content IS NOT NULL)"


def upgrade() -> None:
    """A number of annotators, which was one before; a table of verdicts; and the firewall as a constraint.

    Contents of unclear, skipped or deleted answers, which never trained, are forgotten: such boxes may be a model's.
    """
    op.add_column("batch_item", sa.Column("annotators", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "verdict",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sample_id", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("content", alloop.ledger.types.ContentJson(none_as_null=True), nullable=True),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "(outcome IS NOT NULL AND outcome = 'labelled') = (content IS NOT NULL)", name="ck_verdict_content"
        ),
        sa.CheckConstraint("outcome <> 'labelled' OR answers > 0", name="ck_verdict_has_a_human"),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id"],
            ["sample.project", "sample.id"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "sample_id"),
    )
    op.execute("UPDATE observation SET content = NULL WHERE outcome <> 'labelled' OR deleted")
    with op.batch_alter_table("observation", copy_from=_observation()) as observation:  # SQLite has to copy the table
        observation.create_check_constraint("ck_observation_content", CONTENT)


def _observation() -> sa.Table:
    """The table as 0001 made it: reading its constraints back depends on the version of Alembic."""
    table = sa.Table(
        "observation",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("updated_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("sample_id", sa.String(length=64), nullable=False),
        sa.Column("annotator", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("content", alloop.ledger.types.ContentJson(none_as_null=True), nullable=True),
        sa.Column("lead_time_s", sa.Double(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("observed_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("joined_cycle", sa.Integer(), nullable=True),
        sa.CheckConstraint("annotator <> ''", name="ck_observation_has_a_human"),
        sa.ForeignKeyConstraint(["project", "sample_id"], ["sample.project", "sample.id"]),
        sa.UniqueConstraint("project", "tool", "ref", "updated_at", "content_hash"),
    )
    sa.Index("ix_observation_joined", table.c.project, table.c.joined_cycle)
    sa.Index("ix_observation_sample", table.c.project, table.c.sample_id)
    return table
