"""Hold deliveries that moved too far from the last published one, until a person decides."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_deliveries",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("table_name", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "table_name"),
        comment="One row per run and table whose delivery was too far from the last published one.",
    )
    op.create_index(op.f("ix_held_deliveries_digest"), "held_deliveries", ["digest"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_held_deliveries_digest", table_name="held_deliveries")
    op.drop_table("held_deliveries")
