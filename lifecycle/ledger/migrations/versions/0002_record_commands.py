"""Record the commands that have a schedule, and find the mails and faults of a day."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IS_A_FAULT = sa.text("kind IN ('bounced', 'complained')")


def upgrade() -> None:
    op.create_table(
        "command_runs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("command", sa.String(length=100), nullable=False),
        sa.Column("started_by", sa.String(length=16), nullable=False),
        sa.Column("began_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("due", sa.Integer(), nullable=True),
        sa.Column("accepted", sa.Integer(), nullable=True),
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="One row per start of a command that has a schedule, by Prefect or by hand; kept "
        "for 90 days.",
    )
    op.create_index(
        "ix_command_runs_command", "command_runs", ["command", "began_at"], unique=False
    )
    recording = op.create_table(
        "recording",
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("since"),
        comment="One row: since when the ledger records commands, which is when it was created "
        "or upgraded.",
    )
    op.bulk_insert(recording, [{"since": datetime.now(UTC).replace(tzinfo=None)}])
    op.create_index("ix_sends_accepted", "sends", ["accepted_at"], unique=False)
    op.create_index(
        "ix_feedback_faults",
        "feedback",
        ["at"],
        unique=False,
        sqlite_where=IS_A_FAULT,
        postgresql_where=IS_A_FAULT,
    )


def downgrade() -> None:
    op.drop_index("ix_feedback_faults", table_name="feedback")
    op.drop_index("ix_sends_accepted", table_name="sends")
    op.drop_table("recording")
    op.drop_index("ix_command_runs_command", table_name="command_runs")
    op.drop_table("command_runs")
