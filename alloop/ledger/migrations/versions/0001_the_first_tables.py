"""The first tables."""

import sqlalchemy as sa
from alembic import op

import alloop.ledger.types

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "project",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "cycle",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("nominal", sa.Integer(), nullable=False),
        sa.Column("opened_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("closed_at", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "number"),
    )
    op.create_table(
        "holdout_freeze",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project"),
    )
    op.create_table(
        "refusal",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("where", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "tool", "where", "reason"),
    )
    op.create_table(
        "sample",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("truth", alloop.ledger.types.ContentJson(none_as_null=True), nullable=True),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("added_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "id"),
        sa.UniqueConstraint("project", "uri"),
    )
    op.create_index("ix_sample_group", "sample", ["project", "group"], unique=False)
    op.create_index("ix_sample_split", "sample", ["project", "split", "id"], unique=False)
    op.create_table(
        "set_aside",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "uri"),
    )
    op.create_table(
        "tool_cursor",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "tool"),
    )
    op.create_table(
        "batch_item",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sample_id", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("distance", sa.Double(), nullable=True),
        sa.Column("prelabel", alloop.ledger.types.PrelabelJson(none_as_null=True), nullable=True),
        sa.Column("ref", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id"],
            ["sample.project", "sample.id"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "sample_id"),
        sa.UniqueConstraint("project", "cycle", "rank"),
    )
    op.create_index("ix_batch_item_sample", "batch_item", ["project", "sample_id"], unique=False)
    op.create_table(
        "continuation",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle"),
    )
    op.create_table(
        "decision",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("judged", sa.String(), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("threshold_points", sa.Double(), nullable=False),
        sa.Column("lift_points", sa.Double(), nullable=True),
        sa.Column("lift_low", sa.Double(), nullable=True),
        sa.Column("lift_high", sa.Double(), nullable=True),
        sa.Column("miss", sa.Boolean(), nullable=False),
        sa.Column("firm", sa.Boolean(), nullable=False),
        sa.Column("unclear_rate", sa.Double(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle"),
    )
    op.create_table(
        "holdout_item",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("sample_id", sa.String(length=64), nullable=False),
        sa.Column("content", alloop.ledger.types.ContentJson(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "sample_id"],
            ["sample.project", "sample.id"],
        ),
        sa.PrimaryKeyConstraint("project", "sample_id"),
    )
    op.create_table(
        "model_version",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("label_set_hash", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("created_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "name"),
        sa.UniqueConstraint("project", "cycle", "replicate"),
    )
    op.create_table(
        "observation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        sa.ForeignKeyConstraint(
            ["project", "sample_id"],
            ["sample.project", "sample.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "tool", "ref", "updated_at", "content_hash"),
    )
    op.create_index("ix_observation_joined", "observation", ["project", "joined_cycle"], unique=False)
    op.create_index("ix_observation_sample", "observation", ["project", "sample_id"], unique=False)
    op.create_table(
        "score_file",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "path"),
    )
    op.create_table(
        "step",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("cycle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("started_at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.Column("finished_at", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.Column("work_s", sa.Double(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", alloop.ledger.types.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.PrimaryKeyConstraint("project", "cycle", "name"),
    )
    op.create_table(
        "evaluation",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("holdout_hash", sa.String(length=64), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("points", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("results_path", sa.String(), nullable=False),
        sa.Column("results_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "cycle"],
            ["cycle.project", "cycle.number"],
        ),
        sa.ForeignKeyConstraint(
            ["project", "version"],
            ["model_version.project", "model_version.name"],
        ),
        sa.PrimaryKeyConstraint("project", "version", "holdout_hash"),
    )
    op.create_table(
        "promotion",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", alloop.ledger.types.UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "name"],
            ["model_version.project", "model_version.name"],
        ),
        sa.PrimaryKeyConstraint("project", "number"),
    )
