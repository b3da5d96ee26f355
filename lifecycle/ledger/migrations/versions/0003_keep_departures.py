"""Keep those who left by the word of the CRM, and find the steps that a person got."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IS_PROVISIONAL = sa.text("confirmed_at IS NULL AND lifted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "departures",
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("left_at", sa.DateTime(), nullable=True),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("column_name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.Column("lifted_at", sa.DateTime(), nullable=True),
        sa.Column("lifted_by", sa.String(length=100), nullable=True),
        sa.Column("lifted_why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("address"),
        comment="One row per address that a delivery of the CRM showed as having left.",
    )
    op.create_index("ix_departures_run", "departures", ["run_id"], unique=False)
    op.create_index(
        "ix_departures_provisional",
        "departures",
        ["address"],
        unique=False,
        sqlite_where=IS_PROVISIONAL,
        postgresql_where=IS_PROVISIONAL,
    )

    op.add_column("sends", sa.Column("not_again_days", sa.Integer(), nullable=True))
    op.drop_index("ix_sends_address", table_name="sends")
    op.create_index("ix_sends_address", "sends", ["address", "trigger", "step"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_sends_address", table_name="sends")
    op.create_index("ix_sends_address", "sends", ["address"], unique=False)
    op.drop_column("sends", "not_again_days")
    op.drop_index("ix_departures_provisional", table_name="departures")
    op.drop_index("ix_departures_run", table_name="departures")
    op.drop_table("departures")
