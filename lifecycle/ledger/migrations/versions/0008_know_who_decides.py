"""Know who decides, and by which keys people were erased."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasure_keys",
        sa.Column("verifier", sa.String(length=80), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("verifier"),
        comment="One row per key under which people were erased: enough to recognise the key by.",
    )
    for table in ("actions", "approvals"):
        op.add_column(table, sa.Column("entered_by", sa.String(length=100), nullable=True))
    op.add_column("runs", sa.Column("started_by", sa.String(length=100), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "started_by")
    for table in ("approvals", "actions"):
        op.drop_column(table, "entered_by")
    op.drop_table("erasure_keys")
