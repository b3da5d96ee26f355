"""Hold back what one delivery would end in too large a number, until a person decides."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "held_losses",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("contact_id", sa.String(length=255), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "reason", "trigger", "account_id", "contact_id"),
        comment="One row per sequence, or person in one, that a run would have ended for good.",
    )
    op.create_index(op.f("ix_held_losses_account_id"), "held_losses", ["account_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_held_losses_account_id", table_name="held_losses")
    op.drop_table("held_losses")
