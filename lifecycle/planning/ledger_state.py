"""What the ledger remembers, as the planner asks for it: read, never written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, select

from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import (
    MAILED,
    NOT_LEFT,
    OF_ITS_ENROLLMENT,
    OWNER_LIST,
    enrollments,
    launches,
    recipients,
    sends,
    steps,
    trigger_versions,
)
from lifecycle.triggers.model import Trigger

Rows = Sequence[Row[Any]]
Cycle = tuple[str, int]
"""An account's id and which of its entries into a trigger this is."""

CAPS_LOOK_BACK = timedelta(days=366)
COUNTED = frozenset((*MAILED, *NOT_LEFT))


def launched_at(ledger: Connection, trigger: str) -> datetime | None:
    """The as-of of the trigger's first live run, or None."""
    found: datetime | None = ledger.execute(
        select(launches.c.launched_at).where(launches.c.trigger == trigger)
    ).scalar()
    return found


def known_versions(ledger: Connection, trigger: str) -> dict[str, Row[Any]]:
    """The versions of a trigger that runs went by, as rows of `trigger_versions`."""
    query = select(trigger_versions).where(trigger_versions.c.trigger == trigger)
    return {row.version: row for row in ledger.execute(query)}


def waiting_versions(ledger: Connection) -> list[tuple[str, str]]:
    """The versions of triggers whose mails wait: trigger, version."""
    query = select(trigger_versions.c.trigger, trigger_versions.c.version).where(
        trigger_versions.c.waiting_since.is_not(None)
    )
    return [(row.trigger, row.version) for row in ledger.execute(query)]


def versions_in_use(ledger: Connection, trigger: str, now: datetime) -> list[str]:
    """The versions by which somebody goes on, or may still meet a goal."""
    may_meet = enrollments.c.goal_met_at.is_(None) & (enrollments.c.goal_until >= now)
    query = select(enrollments.c.trigger_version).where(
        enrollments.c.trigger == trigger, enrollments.c.ended_at.is_(None) | may_meet
    )
    return sorted(ledger.scalars(query.distinct()))


def inside_by_others(ledger: Connection, trigger: Trigger) -> Rows:
    """Open enrolments that go on by any version but this one."""
    return ledger.execute(
        select(enrollments)
        .where(
            enrollments.c.trigger == trigger.name,
            enrollments.c.ended_at.is_(None),
            enrollments.c.trigger_version != trigger.version,
        )
        .order_by(enrollments.c.account_id, enrollments.c.cycle)
    ).all()


def to_decide(ledger: Connection, trigger: Trigger, until: datetime) -> Rows:
    """Open enrolments of this version with a step that may go until then."""
    return ledger.execute(
        select(enrollments).where(
            enrollments.c.trigger == trigger.name,
            enrollments.c.trigger_version == trigger.version,
            enrollments.c.ended_at.is_(None),
            enrollments.c.held_out.is_(False),
            enrollments.c.next_at <= until,
        )
    ).all()


def held_out_through(ledger: Connection, trigger: Trigger, now: datetime) -> Rows:
    """Held-out enrolments of this version whose last mail would have been due: account_id and
    cycle."""
    return ledger.execute(
        select(enrollments.c.account_id, enrollments.c.cycle).where(
            enrollments.c.trigger == trigger.name,
            enrollments.c.trigger_version == trigger.version,
            enrollments.c.ended_at.is_(None),
            enrollments.c.held_out.is_(True),
            enrollments.c.next_at <= now,
        )
    ).all()


def left_behind(ledger: Connection, names: Sequence[str]) -> Rows:
    """Open enrolments of triggers that are not among these: account_id, trigger, cycle."""
    return ledger.execute(
        select(enrollments.c.account_id, enrollments.c.trigger, enrollments.c.cycle).where(
            enrollments.c.ended_at.is_(None), enrollments.c.trigger.not_in(names)
        )
    ).all()


def to_put_off(
    ledger: Connection, trigger: str, versions: Sequence[str], which: ColumnElement[bool]
) -> Rows:
    """Such mails that have not left, of enrolments that go on by one of the versions: send_id,
    account_id, step, cycle, expires_at, and where the account keeps hours."""
    return ledger.execute(
        select(
            *(sends.c[name] for name in ("send_id", "account_id", "step", "cycle", "expires_at")),
            enrollments.c.time_zone,
            enrollments.c.time_zone_source,
            enrollments.c.country,
        )
        .join(enrollments, OF_ITS_ENROLLMENT)
        .where(
            sends.c.trigger == trigger,
            sends.c.state.in_(NOT_LEFT),
            which,
            enrollments.c.trigger_version.in_(versions),
        )
    ).all()


def shut_in(ledger: Connection, trigger: str, versions: Sequence[str], now: datetime) -> Rows:
    """The mails whose window shut before they left, as `to_put_off` returns them."""
    return to_put_off(ledger, trigger, versions, sends.c.closes_at <= now)


def open_mails(
    ledger: Connection, trigger: str, versions: Sequence[str], account_ids: Collection[str]
) -> Rows:
    """The mails of these accounts whose window has not shut, as `to_put_off` returns them."""
    rows: list[Row[Any]] = []
    for some in batches(account_ids):
        rows += to_put_off(ledger, trigger, versions, sends.c.account_id.in_(some))
    return rows


def not_left(ledger: Connection) -> Rows:
    """Mails to customers that can still be stopped: send_id, trigger, account_id, contact_id."""
    return ledger.execute(
        select(sends.c.send_id, sends.c.trigger, sends.c.account_id, sends.c.contact_id).where(
            sends.c.state.in_(NOT_LEFT), sends.c.trigger != OWNER_LIST
        )
    ).all()


def open_count(ledger: Connection) -> int:
    """How many enrolments are open, of all triggers."""
    query = select(func.count()).select_from(enrollments).where(enrollments.c.ended_at.is_(None))
    return int(ledger.scalar(query) or 0)


def decided_steps(
    ledger: Connection, trigger: str, account_ids: Sequence[str]
) -> dict[Cycle, dict[str, datetime | None]]:
    """By enrolment and step id: its `not_before`, or None where it was skipped."""
    found: dict[Cycle, dict[str, datetime | None]] = {}
    for some in batches(account_ids):
        for row in ledger.execute(
            select(steps).where(steps.c.trigger == trigger, steps.c.account_id.in_(some))
        ):
            found.setdefault((row.account_id, row.cycle), {})[row.step] = row.not_before
    return found


def chosen(ledger: Connection, trigger: str, account_ids: Sequence[str]) -> dict[Cycle, list[str]]:
    """The contacts chosen when each enrolment began."""
    found: dict[Cycle, list[str]] = {}
    for some in batches(account_ids):
        for row in ledger.execute(
            select(recipients)
            .where(recipients.c.trigger == trigger, recipients.c.account_id.in_(some))
            .order_by(recipients.c.contact_id)
        ):
            found.setdefault((row.account_id, row.cycle), []).append(row.contact_id)
    return found


def same_steps(
    ledger: Connection, trigger: str, addresses: Collection[str]
) -> Iterator[tuple[tuple[str, str], str, datetime]]:
    """The mails of a trigger to these addresses, sent, under way or planned: (address, step), the
    account and the moment of each."""
    for some in batches(addresses):
        query = select(
            *(sends.c[name] for name in ("address", "step", "account_id", "state")),
            *(sends.c[name] for name in ("accepted_at", "not_before")),
        ).where(sends.c.address.in_(some), sends.c.trigger == trigger)
        for row in ledger.execute(query):
            if row.state in COUNTED:
                yield (row.address, row.step), row.account_id, row.accepted_at or row.not_before


def mails(
    ledger: Connection,
    holder: Literal["address", "account_id"],
    keys: Collection[str],
    now: datetime,
) -> Iterator[tuple[str, datetime]]:
    """The mails that a cap of these addresses or accounts could still count, sent, under way or
    planned: each with its address or account, and its moment."""
    for some in batches(keys):
        # A condition on the state would lead SQLite to all mails that were ever accepted.
        for row in ledger.execute(
            select(
                sends.c[holder].label("key"),
                *(sends.c[name] for name in ("state", "trigger", "accepted_at", "not_before")),
            ).where(sends.c[holder].in_(some))
        ):
            counts = row.state in COUNTED and row.trigger != OWNER_LIST
            if counts and row.not_before >= now - CAPS_LOOK_BACK:
                yield row.key, row.accepted_at or row.not_before
