"""Ask once whether less of a part of the usage feed is normal, and keep the answer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_questions",
        sa.Column("part", sa.String(length=300), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("is_normal", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("part", "since"),
        comment="One row per part of the usage feed that stayed thin, and whether that is normal.",
    )


def downgrade() -> None:
    op.drop_table("feed_questions")
