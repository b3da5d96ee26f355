"""What the ledger remembers, as the planner asks for it: read, never written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, or_, select, tuple_

from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import (
    MAILED,
    NOT_LEFT,
    enrollments,
    launches,
    recipients,
    sends,
    steps,
    trigger_versions,
)
from lifecycle.template_names import OWNER_LIST
from lifecycle.triggers.model import Trigger

Rows = Sequence[Row[Any]]
Cycle = tuple[str, int]
"""An account's id and which of its entries into a trigger this is."""

CAPS_LOOK_BACK = timedelta(days=366)
COUNTED = frozenset((*MAILED, *NOT_LEFT))


def launched(ledger: Connection) -> dict[str, datetime]:
    """By trigger, the as-of of its first live run."""
    query = select(launches.c.trigger, launches.c.launched_at)
    return {row.trigger: row.launched_at for row in ledger.execute(query)}


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


def to_decide(ledger: Connection, trigger: Trigger, until: datetime, moved: Sequence[str]) -> Rows:
    """Open enrolments of this version with a step that may go until then, or a mail that has
    not left: what decided it is asked again; and those of the accounts that moved."""
    of_version = (
        enrollments.c.trigger == trigger.name,
        enrollments.c.trigger_version == trigger.version,
        enrollments.c.ended_at.is_(None),
        enrollments.c.held_out.is_(False),
    )
    not_left = select(sends.c.account_id, sends.c.cycle).where(
        sends.c.state.in_(NOT_LEFT), sends.c.trigger == trigger.name
    )
    has_mail = tuple_(enrollments.c.account_id, enrollments.c.cycle).in_(not_left)
    due = or_(enrollments.c.next_at <= until, has_mail)
    rows = list(ledger.execute(select(enrollments).where(*of_version, due)))
    others = set(moved) - {row.account_id for row in rows}
    for batch in batches(sorted(others)):
        of_moved = enrollments.c.account_id.in_(batch)
        rows += ledger.execute(select(enrollments).where(*of_version, of_moved))
    return sorted(rows, key=lambda row: (row.account_id, row.cycle))


def missed(ledger: Connection) -> dict[tuple[str, str], dict[Cycle, Row[Any]]]:
    """By trigger and version, the open enrolments whose account was missing at the run before:
    account_id, cycle, absent_since, absent_runs."""
    columns = ("account_id", "trigger", "cycle", "trigger_version", "absent_since", "absent_runs")
    query = select(*(enrollments.c[name] for name in columns)).where(
        enrollments.c.ended_at.is_(None), enrollments.c.absent_since.is_not(None)
    )
    inside: dict[tuple[str, str], dict[Cycle, Row[Any]]] = {}
    for row in ledger.execute(query):
        inside.setdefault((row.trigger, row.trigger_version), {})[row.account_id, row.cycle] = row
    return inside


def held_out_through(ledger: Connection, trigger: Trigger, now: datetime) -> Rows:
    """Held-out enrolments of this version whose last mail would have been due."""
    return ledger.execute(
        select(enrollments).where(
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
) -> dict[Cycle, dict[str, Row[Any]]]:
    """By enrolment and step id, its row of `steps`."""
    fates: dict[Cycle, dict[str, Row[Any]]] = {}
    for batch in batches(account_ids):
        for row in ledger.execute(
            select(steps).where(steps.c.trigger == trigger, steps.c.account_id.in_(batch))
        ):
            fates.setdefault((row.account_id, row.cycle), {})[row.step] = row
    return fates


def readers(
    ledger: Connection, trigger: str, account_ids: Sequence[str]
) -> dict[Cycle, list[Row[Any]]]:
    """By enrolment, its rows of `recipients`, those who are gone included."""
    by_cycle: dict[Cycle, list[Row[Any]]] = {}
    for batch in batches(account_ids):
        for row in ledger.execute(
            select(recipients)
            .where(recipients.c.trigger == trigger, recipients.c.account_id.in_(batch))
            .order_by(recipients.c.contact_id)
        ):
            by_cycle.setdefault((row.account_id, row.cycle), []).append(row)
    return by_cycle


_MAIL = (
    "trigger",
    *("send_id", "account_id", "cycle", "contact_id", "step", "address", "state", "state_at"),
    *("accepted_at", "not_before", "attempts", "trigger_version"),
)


def mails_of(
    ledger: Connection, trigger: str, account_ids: Sequence[str]
) -> dict[Cycle, list[Row[Any]]]:
    """By enrolment, its mails in every state."""
    by_cycle: dict[Cycle, list[Row[Any]]] = {}
    for batch in batches(account_ids):
        query = select(*(sends.c[name] for name in _MAIL)).where(
            sends.c.account_id.in_(batch), sends.c.trigger == trigger
        )
        for row in ledger.execute(query):
            by_cycle.setdefault((row.account_id, row.cycle), []).append(row)
    return by_cycle


def same_steps(
    ledger: Connection, trigger: str, addresses: Collection[str]
) -> Iterator[tuple[tuple[str, str], str, datetime, bool]]:
    """The mails of a trigger to these addresses, sent, under way or planned: (address, step), the
    account and the moment of each, and whether it left, or may have."""
    for batch in batches(addresses):
        query = select(
            *(sends.c[name] for name in ("address", "step", "account_id", "state")),
            *(sends.c[name] for name in ("accepted_at", "not_before")),
        ).where(sends.c.address.in_(batch), sends.c.trigger == trigger)
        for row in ledger.execute(query):
            if row.state in COUNTED:
                at = row.accepted_at or row.not_before
                yield (row.address, row.step), row.account_id, at, row.state in MAILED


def mails(
    ledger: Connection,
    holder: Literal["address", "account_id"],
    keys: Collection[str],
    now: datetime,
) -> Iterator[tuple[str, datetime]]:
    """The mails that these addresses or accounts got, or may have got, and that a cap could still
    count: each with its address or account, and its moment.

    What is planned does not count: each run decides it anew, the higher priority first.
    """
    for batch in batches(keys):
        # A condition on the state would lead SQLite to all mails that were ever accepted.
        for row in ledger.execute(
            select(
                sends.c[holder].label("key"),
                *(sends.c[name] for name in ("state", "trigger", "accepted_at", "not_before")),
            ).where(sends.c[holder].in_(batch))
        ):
            counts = row.state in MAILED and row.trigger != OWNER_LIST
            if counts and row.not_before >= now - CAPS_LOOK_BACK:
                yield row.key, row.accepted_at or row.not_before
