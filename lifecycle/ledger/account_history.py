"""What the ledger remembers, read for a person: status and explain."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select

from lifecycle.ledger import controls, departures
from lifecycle.ledger import suppressions as suppression_rules
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    MAILED,
    NOT_LEFT,
    OPEN,
    State,
    UtcDateTime,
    enrollments,
    feedback,
    feedback_syncs,
    launch_baseline,
    launches,
    messages,
    recipients,
    runs,
    send_log,
    sends,
    steps,
    suppressions,
    trigger_versions,
    withheld,
)
from lifecycle.template_names import MORNING, OWNER_LIST

Rows = Sequence[Row[Any]]


def last_runs(ledger: Ledger, count: int) -> Rows:
    """The newest runs, newest first, by wall clock."""
    return _all(ledger, select(runs).order_by(runs.c.started_at.desc()).limit(count))


def runs_by_id(ledger: Ledger, run_ids: Collection[str]) -> Rows:
    """These runs, newest first."""
    wanted = select(runs).where(runs.c.run_id.in_(run_ids)).order_by(runs.c.started_at.desc())
    return _all(ledger, wanted)


def sends_by_state(ledger: Ledger) -> dict[str, Counter[str]]:
    """For each trigger, its mails by state."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    query = select(sends.c.trigger, sends.c.state, func.count().label("n")).group_by(
        sends.c.trigger, sends.c.state
    )
    for row in _all(ledger, query):
        counts[row.trigger][row.state] = row.n
    return dict(counts)


def enrolled_now(ledger: Ledger) -> dict[str, int]:
    """For each trigger, the accounts that are in its sequence."""
    query = (
        select(enrollments.c.trigger, func.count().label("n"))
        .where(enrollments.c.ended_at.is_(None))
        .group_by(enrollments.c.trigger)
    )
    return {row.trigger: row.n for row in _all(ledger, query)}


def launched(ledger: Ledger) -> Rows:
    """The triggers that have run live."""
    return _all(ledger, select(launches).order_by(launches.c.trigger))


def waiting(ledger: Ledger) -> Rows:
    """The versions of triggers whose mails wait, and why, the newest first."""
    is_waiting = trigger_versions.c.waiting_since.is_not(None)
    order = trigger_versions.c.trigger, trigger_versions.c.first_at.desc()
    return _all(ledger, select(trigger_versions).where(is_waiting).order_by(*order))


def stops(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """The triggers that are paused or off: trigger, mode, since, by, why."""
    with ledger.read() as connection:
        return {name: dict(row._mapping) for name, row in controls.stops(connection).items()}


def holds(ledger: Ledger, now: datetime) -> dict[str, dict[str, Any]]:
    """The accounts on hold at a moment: account_id, until, since, by, why."""
    with ledger.read() as connection:
        return {name: dict(row._mapping) for name, row in controls.holds(connection, now).items()}


def mails_waiting(ledger: Ledger) -> int:
    """Mails whose moment, or whose delivery, is still to come."""
    query = select(func.count().label("n")).where(sends.c.state.in_(NOT_LEFT))
    return int(_all(ledger, query)[0].n)


def owner_lists(ledger: Ledger, cycle: int) -> Rows:
    """The lists of a day (20260610) for account owners, with their rendered bytes."""
    query = (
        select(sends, messages.c.mime)
        .join(messages, messages.c.send_id == sends.c.send_id)
        .where(sends.c.trigger == OWNER_LIST, sends.c.step == MORNING, sends.c.cycle == cycle)
        .order_by(sends.c.address)
    )
    return _all(ledger, query)


def needing_a_person(ledger: Ledger, count: int) -> Rows:
    """Mails that a person can decide about now, as nothing proves them sent or unsent; oldest
    first."""
    query = select(sends).where(sends.c.state == State.HELD).order_by(sends.c.state_at).limit(count)
    return _all(ledger, query)


def refusals(ledger: Ledger) -> Rows:
    """Why mails that were refused wait or are rejected: state, detail, n and the newest `at`."""
    query = (
        select(
            sends.c.state,
            sends.c.detail,
            func.count().label("n"),
            func.max(sends.c.state_at, type_=UtcDateTime).label("at"),
        )
        .where(
            or_(
                sends.c.state == State.REJECTED,
                and_(sends.c.state == State.QUEUED, sends.c.attempts > 0),
            ),
            sends.c.detail.is_not(None),
        )
        .group_by(sends.c.state, sends.c.detail)
        .order_by(func.max(sends.c.state_at).desc())
    )
    return _all(ledger, query)


def suppressed_by_reason(ledger: Ledger) -> dict[str, int]:
    """Addresses that may not be mailed, by reason."""
    query = select(suppressions.c.reason, func.count().label("n")).group_by(suppressions.c.reason)
    by_reason = {row.reason: row.n for row in _all(ledger, query)}
    with ledger.read() as connection:
        left = departures.count(connection)
    return by_reason | ({departures.LEFT_IN_CRM: left} if left else {})


def departures_waiting(ledger: Ledger) -> dict[str, int]:
    """By run: how many left by the word of a delivery that did not pass the gates."""
    with ledger.read() as connection:
        return departures.waiting(connection)


def facts_by_kind(ledger: Ledger) -> dict[str, int]:
    """What came back about mails and addresses, by kind: delivered, bounced, …"""
    query = select(feedback.c.kind, func.count().label("n")).group_by(feedback.c.kind)
    return {row.kind: row.n for row in _all(ledger, query)}


def feedback_read(ledger: Ledger) -> dict[str, datetime]:
    """When each of the provider's lists was last read whole, by wall clock."""
    query = select(feedback_syncs).order_by(feedback_syncs.c.source)
    return {row.source: row.succeeded_at for row in _all(ledger, query)}


def suppressed(ledger: Ledger, addresses: Sequence[str], erasure_key: str) -> dict[str, str]:
    """Those of the addresses that may not be mailed, and why, as the planner sees it.

    `erasure_key` is `[privacy]`'s. Raises LedgerError where people were erased under another.
    """
    with ledger.read() as connection:
        return suppression_rules.reasons(connection, addresses, erasure_key)


class AccountHistory:
    """All that the ledger knows of one account, by trigger."""

    def __init__(self, ledger: Ledger, account_id: str) -> None:
        def of(table: Any, *order: Any) -> Rows:
            return _all(
                ledger, select(table).where(table.c.account_id == account_id).order_by(*order)
            )

        self.enrollments = of(enrollments, enrollments.c.enrolled_at)
        self.steps = of(steps, steps.c.due_at)
        self.sends = of(sends, sends.c.not_before, sends.c.contact_id)
        self.withheld = of(withheld, withheld.c.last_at)
        self.recipients = of(recipients, recipients.c.contact_id)
        self.before_launch = {
            row.trigger
            for row in of(launch_baseline, launch_baseline.c.trigger)
            if row.seen_false_at is None
        }
        log = (
            select(send_log)
            .join(sends, sends.c.send_id == send_log.c.send_id)
            .where(sends.c.account_id == account_id)
            .order_by(send_log.c.id)
        )
        self.log = _by_send(_all(ledger, log))
        facts = (
            select(feedback)
            .join(sends, sends.c.send_id == feedback.c.send_id)
            .where(sends.c.account_id == account_id)
            .order_by(feedback.c.at, feedback.c.key)
        )
        self.facts = _by_send(_all(ledger, facts))
        """What came back about each mail, oldest first."""

    @property
    def triggers(self) -> set[str]:
        """Triggers that ever had to do with the account, also those that no longer exist."""
        rows = (*self.enrollments, *self.sends, *self.withheld)
        return {row.trigger for row in rows}

    def run_ids(self, trigger: str | None = None) -> set[str]:
        """The runs that decided something about the account, or about it and one trigger."""
        rows = (*self.enrollments, *self.sends, *self.withheld)
        return {row.run_id for row in rows if trigger in (None, row.trigger)}

    @property
    def mails_out(self) -> int:
        """Mails that the account has, or may have, got."""
        return sum(row.state in MAILED for row in self.sends)

    @property
    def mails_open(self) -> int:
        """Mails that are still under way."""
        return sum(row.state in OPEN for row in self.sends)


def _all(ledger: Ledger, query: Select[Any]) -> Rows:
    with ledger.read() as connection:
        return connection.execute(query).all()


def _by_send(rows: Rows) -> dict[str, list[Row[Any]]]:
    rows_of: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        rows_of[row.send_id].append(row)
    return rows_of
