"""Keep the order and the distance of a sequence, and know who is absent for how long."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sends", sa.Column("time_zone", sa.String(length=64), nullable=True))
    op.add_column("sends", sa.Column("after_send", sa.String(length=32), nullable=True))
    op.add_column("sends", sa.Column("after_distance", sa.String(length=16), nullable=True))
    op.add_column("sends", sa.Column("waiting_for", sa.Text(), nullable=True))
    op.add_column("recipients", sa.Column("joined_at", sa.DateTime(), nullable=True))
    op.add_column("recipients", sa.Column("follows", sa.String(length=255), nullable=True))
    op.add_column("recipients", sa.Column("gone_at", sa.DateTime(), nullable=True))
    op.add_column("recipients", sa.Column("gone_why", sa.Text(), nullable=True))
    _say_of_recipients("One row per contact that reads, or read, the mails of an entry.")
    for table in ("enrollments", "recipients"):
        op.add_column(table, sa.Column("absent_since", sa.DateTime(), nullable=True))
        op.add_column(
            table, sa.Column("absent_runs", sa.Integer(), server_default="0", nullable=False)
        )


def _say_of_recipients(comment: str) -> None:
    if op.get_bind().dialect.supports_comments:
        op.create_table_comment("recipients", comment)


def downgrade() -> None:
    _say_of_recipients("One row per contact chosen when its account entered.")
    for table in ("enrollments", "recipients"):
        op.drop_column(table, "absent_runs")
        op.drop_column(table, "absent_since")
    for column in ("gone_why", "gone_at", "follows", "joined_at"):
        op.drop_column("recipients", column)
    for column in ("waiting_for", "after_distance", "after_send", "time_zone"):
        op.drop_column("sends", column)
