"""Create the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_holds",
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
        comment="One row per account that somebody put on hold; it is over by itself.",
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=320), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="One row per thing that a person decided.",
    )
    op.create_table(
        "feedback",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("send_id", sa.String(length=32), nullable=True),
        sa.Column("address", sa.String(length=320), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=128), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("event_id"),
        comment="One row per fact that came back about a mail or an address.",
    )
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feedback_address"), ["address"], unique=False)
        batch_op.create_index(batch_op.f("ix_feedback_send_id"), ["send_id"], unique=False)

    op.create_table(
        "feedback_syncs",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("read_until", sa.DateTime(), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
        comment="One row per list of the provider that was pulled whole.",
    )
    op.create_table(
        "recipients",
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "trigger", "cycle", "contact_id"),
        comment="One row per contact chosen when its account entered.",
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("as_of", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("people", sa.Integer(), nullable=True),
        sa.Column("over_budget", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
        comment="One row per run that was not a dry run.",
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_runs_as_of"), ["as_of"], unique=False)

    op.create_table(
        "steps",
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "trigger", "cycle", "step"),
        comment="One row per step that was decided for an enrolment; a step is decided once.",
    )
    op.create_table(
        "suppressions",
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("address"),
        comment="One row per address that may not be mailed any more, whatever the account.",
    )
    with op.batch_alter_table("suppressions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_suppressions_reason"), ["reason"], unique=False)

    op.create_table(
        "trigger_stops",
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trigger"),
        comment="One row per trigger that is paused or off; resuming takes it away.",
    )
    op.create_table(
        "withheld",
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("contact_id", sa.String(length=255), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("trigger", "account_id", "contact_id", "step"),
        comment="One row per mail, or entry, that was decided against, and why.",
    )
    with op.batch_alter_table("withheld", schema=None) as batch_op:
        batch_op.create_index("ix_withheld_account", ["account_id"], unique=False)

    op.create_table(
        "approvals",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("run_id"),
        comment="One row per run over its budget that a person decided about.",
    )
    op.create_table(
        "enrollments",
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("entered_version", sa.String(length=64), nullable=False),
        sa.Column("trigger_version", sa.String(length=64), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("time_zone_source", sa.String(length=16), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("next_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.Column("seen_false_at", sa.DateTime(), nullable=True),
        sa.Column("held_out", sa.Boolean(), nullable=False),
        sa.Column("goal_until", sa.DateTime(), nullable=True),
        sa.Column("goal_met_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("account_id", "trigger", "cycle"),
        comment="One row per entry of an account into a trigger.",
    )
    with op.batch_alter_table("enrollments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_enrollments_open", ["trigger", "ended_at", "next_at"], unique=False
        )

    op.create_table(
        "launches",
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("launched_at", sa.DateTime(), nullable=False),
        sa.Column("mode", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("trigger"),
        comment="One row per trigger that has run live.",
    )
    op.create_table(
        "sends",
        sa.Column("send_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("contact_id", sa.String(length=255), nullable=False),
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("step", sa.String(length=100), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("trigger_version", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("locale", sa.String(length=16), nullable=False),
        sa.Column("locale_source", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("account_cap", sa.String(length=16), nullable=True),
        sa.Column("contact_cap", sa.String(length=16), nullable=True),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=False),
        sa.Column("closes_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_at", sa.DateTime(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(), nullable=True),
        sa.Column("lease_owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("send_id"),
        comment="One row per mail: account, contact, trigger, step and cycle. An owner's list "
        "has neither account nor contact; its cycle is the day, 20260610.",
    )
    with op.batch_alter_table("sends", schema=None) as batch_op:
        batch_op.create_index("ix_sends_account", ["account_id", "trigger"], unique=False)
        batch_op.create_index("ix_sends_address", ["address"], unique=False)
        batch_op.create_index(
            "ix_sends_expiry",
            ["state", "expires_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('planned', 'queued')"),
            postgresql_where=sa.text("state IN ('planned', 'queued')"),
        )
        # Alembic does not write indexes with an expression by itself.
        batch_op.create_index(
            "ix_sends_due",
            ["state", "not_before", sa.text("priority DESC"), "send_id"],
            unique=False,
        )

    op.create_table(
        "trigger_versions",
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("templates", sa.Text(), nullable=False),
        sa.Column("git_commit", sa.String(length=64), nullable=True),
        sa.Column("first_run_id", sa.String(length=64), nullable=False),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("waiting_since", sa.DateTime(), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("trigger", "version"),
        comment="One row per version of a trigger that a run went by.",
    )
    op.create_table(
        "launch_baseline",
        sa.Column("trigger", sa.String(length=100), nullable=False),
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("seen_false_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trigger"],
            ["launches.trigger"],
        ),
        sa.PrimaryKeyConstraint("trigger", "account_id"),
        comment="One row per account that matched a trigger before its launch.",
    )
    op.create_table(
        "messages",
        sa.Column("send_id", sa.String(length=32), nullable=False),
        sa.Column("mime", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["send_id"],
            ["sends.send_id"],
        ),
        sa.PrimaryKeyConstraint("send_id"),
        comment="One row per send: the rendered bytes, so that every attempt is identical.",
    )
    op.create_table(
        "owner_news",
        sa.Column("account_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("send_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["send_id"],
            ["sends.send_id"],
        ),
        sa.PrimaryKeyConstraint("account_id", "kind"),
        comment="One row per account and kind of news that its owner was told of "
        "and that is still so.",
    )
    op.create_table(
        "send_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("send_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["send_id"],
            ["sends.send_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row per change of a send's state.",
    )
    with op.batch_alter_table("send_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_send_log_send_id"), ["send_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("send_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_send_log_send_id"))

    op.drop_table("send_log")
    op.drop_table("owner_news")
    op.drop_table("messages")
    op.drop_table("launch_baseline")
    op.drop_table("trigger_versions")
    with op.batch_alter_table("sends", schema=None) as batch_op:
        batch_op.drop_index("ix_sends_due")
        batch_op.drop_index("ix_sends_expiry")
        batch_op.drop_index("ix_sends_address")
        batch_op.drop_index("ix_sends_account")

    op.drop_table("sends")
    op.drop_table("launches")
    with op.batch_alter_table("enrollments", schema=None) as batch_op:
        batch_op.drop_index("ix_enrollments_open")

    op.drop_table("enrollments")
    op.drop_table("approvals")
    with op.batch_alter_table("withheld", schema=None) as batch_op:
        batch_op.drop_index("ix_withheld_account")

    op.drop_table("withheld")
    op.drop_table("trigger_stops")
    with op.batch_alter_table("suppressions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_suppressions_reason"))

    op.drop_table("suppressions")
    op.drop_table("steps")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_runs_as_of"))

    op.drop_table("runs")
    op.drop_table("recipients")
    op.drop_table("feedback_syncs")
    with op.batch_alter_table("feedback", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_feedback_send_id"))
        batch_op.drop_index(batch_op.f("ix_feedback_address"))

    op.drop_table("feedback")
    op.drop_table("actions")
    op.drop_table("account_holds")
