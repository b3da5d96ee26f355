"""The ledger's tables: SQLite by default, PostgreSQL by URL. All times are UTC."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    literal_column,
    text,
)

from lifecycle.ledger import operator
from lifecycle.masking import hide_secrets


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in Python, a plain UTC timestamp in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class OutsideText(TypeDecorator[str]):
    """Words of people, of the other side or of an exception: kept without secrets."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else hide_secrets(value)


class State(StrEnum):
    """The states of a send. A 202 is `accepted`, never "sent" or "delivered"."""

    PLANNED = "planned"
    """Decided and rendered; waits for its moment (`not_before`)."""
    QUEUED = "queued"
    """Its moment has come; any worker may claim it."""
    ATTEMPTING = "attempting"
    """A worker holds it; the first byte may have left."""
    ACCEPTED = "accepted"
    """The provider took it."""
    DELIVERED = "delivered"
    REJECTED = "rejected"
    """The provider's definite no."""
    UNCERTAIN = "uncertain"
    """It may or may not have left; evidence decides."""
    HELD = "held"
    """No evidence either way; a person decides."""
    SUPPRESSED = "suppressed"
    """The contact may not be mailed any more."""
    EXPIRED = "expired"
    """Too late to be useful."""
    CANCELLED = "cancelled"
    """The account left the sequence first."""


OPEN = (State.PLANNED, State.QUEUED, State.ATTEMPTING, State.UNCERTAIN, State.HELD)
"""States that are not final: the next step of a sequence waits for them."""

NOT_LEFT = (State.PLANNED, State.QUEUED)
"""States in which a mail can still be stopped."""

MAILED = (State.ATTEMPTING, State.ACCEPTED, State.DELIVERED, State.UNCERTAIN, State.HELD)
"""States in which the customer has, or may have, the mail: what a cap counts."""

PAUSED, OFF = "paused", "off"
"""What stops a trigger: nothing of it moves; or nobody enters, and those inside finish."""

APPROVED, REJECTED = "approved", "rejected"
"""What a person decides about a run over its budget."""

NOT_TOLD = (State.REJECTED, State.SUPPRESSED, State.EXPIRED, State.CANCELLED)
"""States in which nobody has read what stands in a mail, nor will."""


def send_identity(account_id: str, contact_id: str, trigger: str, step: str, cycle: int) -> str:
    """The one key of a send: the same five facts always give the same 32 hex digits."""
    facts = json.dumps([account_id, contact_id, trigger, step, cycle], ensure_ascii=False)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


metadata = MetaData()


def _entered_by() -> Column[str]:
    """Who entered a decision, beside the name that was given: the surface knows it."""
    return Column(
        "entered_by",
        String(100),
        default=operator.current,
        doc="the operating system's user, or Prefect's form; null: before this was kept",
    )


runs = Table(
    "runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("as_of", UtcDateTime, nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("finished_at", UtcDateTime, doc="wall clock"),
    Column("status", String(16), nullable=False, doc="running, waiting, done, stopped, failed"),
    Column("source", String(16), nullable=False),
    Column("report", OutsideText, doc="the JSON object of `run --json`"),
    Column("people", Integer, doc="distinct addresses of the mails that it planned"),
    Column("over_budget", OutsideText, doc="why its mails wait for an approval; null: they do not"),
    Column("started_by", String(100), doc="the system's user, by hand; null: a schedule"),
    comment="One row per run that was not a dry run.",
)

launches = Table(
    "launches",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("launched_at", UtcDateTime, nullable=False, doc="as-of of the first live run"),
    Column("mode", String(40), nullable=False),
    Column("run_id", String(64), ForeignKey("runs.run_id"), nullable=False),
    comment="One row per trigger that has run live.",
)

trigger_versions = Table(
    "trigger_versions",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("version", String(64), primary_key=True, doc="SHA-256 of what the file says"),
    Column("content", Text, nullable=False, doc="the file's text"),
    Column("templates", Text, nullable=False, doc="JSON: step, locale, text; when first used"),
    Column("git_commit", String(64), doc="that holds the file as it was; null: none does"),
    Column("first_run_id", String(64), ForeignKey("runs.run_id"), nullable=False),
    Column("first_at", UtcDateTime, nullable=False, doc="as-of of that run"),
    Column("waiting_since", UtcDateTime, doc="its mails stay where they are since then"),
    Column("waiting_for", OutsideText, doc="why: the feed is late, or it cannot be read any more"),
    comment="One row per version of a trigger that a run went by.",
)

trigger_stops = Table(
    "trigger_stops",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("mode", String(16), nullable=False, doc="paused: all waits; off: nobody enters"),
    Column("since", UtcDateTime, nullable=False, doc="wall clock"),
    Column("by", String(100), nullable=False, doc="who"),
    Column("why", OutsideText, nullable=False),
    comment="One row per trigger that is paused or off; resuming takes it away.",
)

account_holds = Table(
    "account_holds",
    metadata,
    Column("account_id", String(255), primary_key=True),
    Column("until", UtcDateTime, nullable=False, doc="nothing goes to it before"),
    Column("since", UtcDateTime, nullable=False, doc="wall clock"),
    Column("by", String(100), nullable=False, doc="who"),
    Column("why", OutsideText, nullable=False),
    comment="One row per account that somebody put on hold; it is over by itself.",
)

approvals = Table(
    "approvals",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.run_id"), primary_key=True),
    Column("decision", String(16), nullable=False, doc="approved or rejected"),
    Column("at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("by", String(100), nullable=False, doc="who"),
    Column("why", OutsideText, nullable=False),
    _entered_by(),
    comment="One row per run over its budget that a person decided about.",
)

held_deliveries = Table(
    "held_deliveries",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.run_id"), primary_key=True),
    Column("table_name", String(64), primary_key=True, doc="as in the contract: contacts"),
    Column("digest", String(64), nullable=False, index=True, doc="SHA-256 of its rows"),
    Column("why", OutsideText, nullable=False, doc="what moved, a line each, addresses masked"),
    comment="One row per run and table whose delivery was too far from the last published one.",
)

held_losses = Table(
    "held_losses",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.run_id"), primary_key=True),
    Column("reason", String(40), primary_key=True, doc="churned, no_consent, …"),
    Column("trigger", String(100), primary_key=True),
    Column("account_id", String(255), primary_key=True, index=True),
    Column("contact_id", String(255), primary_key=True, doc="empty: the whole sequence"),
    Column("why", OutsideText, nullable=False, doc="what would end, a line each reason"),
    comment="One row per sequence, or person in one, that a run would have ended for good.",
)

feed_questions = Table(
    "feed_questions",
    metadata,
    Column("part", String(300), primary_key=True, doc="all, or a kind and a part: segment smb"),
    Column("since", Date, primary_key=True, doc="the company's day from which on less came"),
    Column("run_id", String(64), ForeignKey("runs.run_id"), nullable=False, doc="which asked"),
    Column("why", OutsideText, nullable=False, doc="how much came, and what is usual"),
    Column("is_normal", Boolean, doc="a person's answer; null: there is none yet"),
    comment="One row per part of the usage feed that stayed thin, and whether that is normal.",
)

launch_baseline = Table(
    "launch_baseline",
    metadata,
    Column("trigger", String(100), ForeignKey("launches.trigger"), primary_key=True),
    Column("account_id", String(255), primary_key=True),
    Column("seen_false_at", UtcDateTime, doc="since then it may enter"),
    comment="One row per account that matched a trigger before its launch.",
)

enrollments = Table(
    "enrollments",
    metadata,
    Column("account_id", String(255), primary_key=True),
    Column("trigger", String(100), primary_key=True),
    Column("cycle", Integer, primary_key=True, doc="1 for the first entry"),
    Column("entered_version", String(64), nullable=False, doc="of the trigger: it counts for it"),
    Column("trigger_version", String(64), nullable=False, doc="by which it goes on"),
    Column("enrolled_at", UtcDateTime, nullable=False),
    Column("run_id", String(64), ForeignKey("runs.run_id"), nullable=False),
    Column("time_zone", String(64), nullable=False, doc="IANA"),
    Column(
        "time_zone_source",
        String(16),
        nullable=False,
        doc="account, country, zones, company or unknown",
    ),
    Column("country", String(2), doc="whose holidays count"),
    Column("next_at", UtcDateTime, doc="when its next step may go; null: no step is left"),
    Column("ended_at", UtcDateTime),
    Column(
        "end_reason",
        String(32),
        doc="exit, completed, replied, churned, high_touch, deleted, no_reader, trigger_removed, "
        "cancelled, rejected",
    ),
    Column("seen_false_at", UtcDateTime, doc="audience seen false with a fresh feed since entry"),
    Column("held_out", Boolean, nullable=False, doc="entered without mails, to compare with"),
    Column("goal_until", UtcDateTime, doc="the end of the time its goal has; null: no goal"),
    Column("goal_met_at", UtcDateTime, doc="when a run first saw the goal, within its time"),
    Column("absent_since", UtcDateTime, doc="first run of those that miss its account; null: none"),
    Column("absent_runs", Integer, nullable=False, server_default="0", doc="runs since then"),
    Index("ix_enrollments_open", "trigger", "ended_at", "next_at"),
    comment="One row per entry of an account into a trigger.",
)

recipients = Table(
    "recipients",
    metadata,
    Column("account_id", String(255), primary_key=True),
    Column("trigger", String(100), primary_key=True),
    Column("cycle", Integer, primary_key=True),
    Column("contact_id", String(255), primary_key=True),
    Column("joined_at", UtcDateTime, doc="null: it was chosen when the account entered"),
    Column("follows", String(255), doc="the contact whose place it took; null: none's"),
    Column("absent_since", UtcDateTime, doc="first run of those that miss it as a reader"),
    Column("absent_runs", Integer, nullable=False, server_default="0", doc="runs since then"),
    Column("gone_at", UtcDateTime, doc="from then on it gets nothing more of the sequence"),
    Column("gone_why", OutsideText),
    comment="One row per contact that reads, or read, the mails of an entry.",
)

steps = Table(
    "steps",
    metadata,
    Column("account_id", String(255), primary_key=True),
    Column("trigger", String(100), primary_key=True),
    Column("cycle", Integer, primary_key=True),
    Column("step", String(100), primary_key=True),
    Column("fate", String(16), nullable=False, doc="planned or skipped"),
    Column("reason", String(40), doc="why it was skipped"),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False, doc="enrolment plus the step's delay"),
    Column("not_before", UtcDateTime, doc="first moment its window was open; null if skipped"),
    comment="One row per step that was decided for an enrolment; a step is decided once.",
)

sends = Table(
    "sends",
    metadata,
    Column("send_id", String(32), primary_key=True),
    Column("account_id", String(255), nullable=False),
    Column("contact_id", String(255), nullable=False),
    Column("trigger", String(100), nullable=False),
    Column("step", String(100), nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("trigger_version", String(64), nullable=False),
    Column("run_id", String(64), ForeignKey("runs.run_id"), nullable=False),
    Column("address", String(320), nullable=False, doc="normalised"),
    Column("domain", String(255), nullable=False, doc="of the address"),
    Column("locale", String(16), nullable=False),
    Column(
        "locale_source",
        String(16),
        nullable=False,
        doc="trigger, contact, account or company; owner, default",
    ),
    Column("priority", Integer, nullable=False, default=0),
    Column("account_cap", String(16), doc="as in the trigger file, 3/7d"),
    Column("contact_cap", String(16)),
    Column(
        "not_again_days",
        Integer,
        doc="the step goes to the address through no other account for so long; 0: for ever; "
        "null: it may",
    ),
    Column("due_at", UtcDateTime, nullable=False, doc="enrolment plus the step's delay"),
    Column("not_before", UtcDateTime, nullable=False, doc="first moment its window is open"),
    Column("closes_at", UtcDateTime, nullable=False, doc="that opening of its window ends"),
    Column("expires_at", UtcDateTime, doc="null: never too late"),
    Column("time_zone", String(64), doc="IANA, of the account: by its days caps are counted"),
    Column("after_send", String(32), doc="the mail that leaves before it; null: it has left"),
    Column("after_distance", String(16), doc="between both: 2d (local days) or 21600s"),
    Column(
        "waiting_for", OutsideText, doc="why it may not leave before the next run; null: it may"
    ),
    Column("state", String(16), nullable=False),
    Column("state_at", UtcDateTime, nullable=False),
    Column("detail", OutsideText, doc="why it is in this state"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("accepted_at", UtcDateTime),
    Column("lease_owner", String(128)),
    Column("lease_until", UtcDateTime, doc="wall clock"),
    Index("ix_sends_due", "state", "not_before", text("priority DESC"), "send_id"),
    Index("ix_sends_account", "account_id", "trigger"),
    Index("ix_sends_address", "address", "trigger", "step"),
    Index("ix_sends_accepted", "accepted_at"),
    comment="One row per mail: account, contact, trigger, step and cycle. An owner's list has "
    "neither account nor contact; its cycle is the day, 20260610.",
)

HAS_NOT_LEFT = sends.c.state.in_([literal_column(f"'{state}'") for state in NOT_LEFT])
"""In the words of the index: values that are bound would not lead to it."""
# What has left is not in it: each index that knows a state costs a write at each move.
Index(
    "ix_sends_expiry",
    sends.c.state,
    sends.c.expires_at,
    sqlite_where=HAS_NOT_LEFT,
    postgresql_where=HAS_NOT_LEFT,
)

OF_ITS_ENROLLMENT = and_(
    sends.c.account_id == enrollments.c.account_id,
    sends.c.trigger == enrollments.c.trigger,
    sends.c.cycle == enrollments.c.cycle,
)
"""How a send meets the enrolment that it belongs to; an owner's list belongs to none."""

messages = Table(
    "messages",
    metadata,
    Column("send_id", String(32), ForeignKey("sends.send_id"), primary_key=True),
    Column("mime", LargeBinary, nullable=False),
    comment="One row per send: the rendered bytes, so that every attempt is identical.",
)

send_log = Table(
    "send_log",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("send_id", String(32), ForeignKey("sends.send_id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("detail", OutsideText),
    comment="One row per change of a send's state.",
)

withheld = Table(
    "withheld",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("account_id", String(255), primary_key=True),
    Column("contact_id", String(255), primary_key=True, doc="empty: the whole account"),
    Column("step", String(100), primary_key=True, doc="empty: before entry"),
    Column("reason", String(40), nullable=False),
    Column("detail", OutsideText),
    Column("first_at", UtcDateTime, nullable=False, doc="as-of of the first run to say so"),
    Column("last_at", UtcDateTime, nullable=False, doc="as-of of the last run to say so"),
    Column("run_id", String(64), nullable=False),
    Index("ix_withheld_account", "account_id"),
    comment="One row per mail, or entry, that was decided against, and why.",
)

owner_news = Table(
    "owner_news",
    metadata,
    Column("account_id", String(255), primary_key=True),
    Column("kind", String(40), primary_key=True, doc="as in the mart account_news"),
    Column("send_id", String(32), ForeignKey("sends.send_id"), nullable=False),
    comment="One row per account and kind of news that its owner was told of and that is still so.",
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("address", String(320), primary_key=True, doc="normalised; hmac:… of an erased person"),
    Column(
        "reason",
        String(40),
        nullable=False,
        index=True,  # each claim asks whether anybody was erased
        doc="as in lifecycle/ledger/suppressions.py",
    ),
    Column("at", UtcDateTime, nullable=False),
    Column("source", String(100), nullable=False, doc="who or what said so"),
    comment="One row per address that may not be mailed any more, whatever the account.",
)

erasure_keys = Table(
    "erasure_keys",
    metadata,
    Column("verifier", String(80), primary_key=True, doc="an HMAC of a constant"),
    Column("since", UtcDateTime, nullable=False, doc="wall clock"),
    comment="One row per key under which people were erased: enough to recognise the key by.",
)

departures = Table(
    "departures",
    metadata,
    Column("address", String(320), primary_key=True, doc="normalised"),
    Column("left_at", UtcDateTime, doc="as the CRM says; null: no readable time says when"),
    Column("seen_at", UtcDateTime, nullable=False, doc="clock of the load that showed it first"),
    Column("file", OutsideText, nullable=False),
    Column("row_number", BigInteger, nullable=False, doc="counts records, from 1"),
    Column("column_name", String(100), nullable=False),
    Column("value", OutsideText, nullable=False, doc="what stood there"),
    Column("run_id", String(64), nullable=False, doc="whose delivery showed it"),
    Column("confirmed_at", UtcDateTime, doc="wall clock; null: it has not passed the gates"),
    Column("lifted_at", UtcDateTime, doc="wall clock; a person took it back"),
    Column("lifted_by", String(100), doc="who"),
    Column("lifted_why", OutsideText),
    Index("ix_departures_run", "run_id"),
    comment="One row per address that a delivery of the CRM showed as having left.",
)

_IS_PROVISIONAL = text("confirmed_at IS NULL AND lifted_at IS NULL")
Index(
    "ix_departures_provisional",
    departures.c.address,
    sqlite_where=_IS_PROVISIONAL,
    postgresql_where=_IS_PROVISIONAL,
)

actions = Table(
    "actions",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("action", String(40), nullable=False, doc="resend, pause, hold, approve, erase, …"),
    Column("subject", String(320), nullable=False, doc="a send, trigger, account, run, hash"),
    Column("by", String(100), nullable=False, doc="who"),
    Column("why", OutsideText, nullable=False),
    _entered_by(),
    comment="One row per thing that a person decided.",
)

feedback = Table(
    "feedback",
    metadata,
    Column("key", String(255), primary_key=True, doc="the same fact always has the same key"),
    Column("send_id", String(32), index=True, doc="null: about an address alone"),
    Column("address", String(320), index=True, doc="normalised"),
    Column("kind", String(20), nullable=False, doc="delivered, bounced, complained, …"),
    Column("at", UtcDateTime, nullable=False, doc="when it happened, by the provider's clock"),
    Column("received_at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("source", String(40), nullable=False, doc="webhook, or the list it was pulled from"),
    Column("event_id", String(128), unique=True, doc="by the provider, where it gives one"),
    Column("detail", OutsideText, doc="the other side's words, without addresses"),
    comment="One row per fact that came back about a mail or an address.",
)

IS_A_FAULT = feedback.c.kind.in_([literal_column("'bounced'"), literal_column("'complained'")])
"""In the words of the index, as `HAS_NOT_LEFT`."""
# Few of the facts are faults: a delivered mail costs nothing here.
Index(
    "ix_feedback_faults",
    feedback.c.at,
    sqlite_where=IS_A_FAULT,
    postgresql_where=IS_A_FAULT,
)

feedback_syncs = Table(
    "feedback_syncs",
    metadata,
    Column("source", String(40), primary_key=True, doc="a list that is pulled"),
    Column("read_until", UtcDateTime, nullable=False, doc="by the provider's clock"),
    Column("succeeded_at", UtcDateTime, nullable=False, doc="wall clock"),
    comment="One row per list of the provider that was pulled whole.",
)

mailbox_positions = Table(
    "mailbox_positions",
    metadata,
    Column("folder", String(255), primary_key=True, doc="host, user and folder"),
    Column("uid_validity", BigInteger, nullable=False, doc="another one: all is read again"),
    Column("last_uid", BigInteger, nullable=False, doc="all up to it is in the ledger"),
    Column("read_at", UtcDateTime, nullable=False, doc="wall clock"),
    comment="One row per folder that is read: how far.",
)

replies = Table(
    "replies",
    metadata,
    Column("key", String(64), primary_key=True, doc="the same message always has the same key"),
    Column("kind", String(16), nullable=False, doc="as in lifecycle/ledger/replies.py"),
    Column("came_at", UtcDateTime, nullable=False, doc="when the mailbox got it"),
    Column("read_at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("matched_by", String(16), nullable=False, doc="reference, token, sender, report; none"),
    Column("send_id", String(32), index=True, doc="the mail that it answers; null: unmatched"),
    Column("account_id", String(255), index=True),
    Column("contact_id", String(255)),
    Column("trigger", String(100)),
    Column("step", String(100), doc="null: several of the sequence fit"),
    Column("cycle", Integer),
    Column("address", String(320), index=True, doc="the sender's, normalised"),
    Column("subject", OutsideText),
    Column("text", OutsideText, doc="what the person wrote, without the mail that it quotes"),
    Column("label", String(64), doc="the answer that the step asked for"),
    Column("return_on", Date, doc="an automatic answer says so"),
    Column("forward_id", String(32), doc="the send that passes it on to the owner"),
    Column("settled_at", UtcDateTime, doc="somebody has answered, or has looked at it"),
    Column("settled_by", String(100)),
    Column("settled_why", OutsideText),
    Column("folder", String(255), doc="where it lies, until it is flagged or moved"),
    Column("uid_validity", BigInteger),
    Column("uid", BigInteger),
    Index("ix_replies_open", "settled_at", "kind"),
    comment="One row per message that came back to the mailbox and concerns a mail of ours.",
)

command_runs = Table(
    "command_runs",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("command", String(100), nullable=False, doc="as in lifecycle/ledger/commands.py"),
    Column("started_by", String(16), nullable=False, doc="prefect or hand"),
    Column("began_at", UtcDateTime, nullable=False, doc="wall clock"),
    Column("finished_at", UtcDateTime, doc="wall clock; null: it goes on, or was killed"),
    Column("outcome", String(16), doc="done, stopped or failed; null while not finished"),
    Column("why", OutsideText, doc="of stopped and failed: one line, without addresses"),
    Column("due", Integer, doc="mails that it handed over, or left due; null: no delivery"),
    Column("accepted", Integer, doc="mails that the provider took meanwhile"),
    Column("worker", String(128), nullable=False, doc="host:process:start, to see if it lives"),
    Index("ix_command_runs_command", "command", "began_at"),
    comment="One row per start of a command that has a schedule, by Prefect or by hand; kept for "
    "90 days.",
)

recording = Table(
    "recording",
    metadata,
    Column("since", UtcDateTime, primary_key=True, doc="wall clock"),
    comment="One row: since when the ledger records commands, which is when it was created or "
    "upgraded.",
)
