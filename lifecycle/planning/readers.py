"""Who reads the mails of an enrolment: who goes on, who is missing, and who takes a place.

The readers are chosen when the account enters. One who left is gone at once. One who is missing,
or lost the role or the consent, gets nothing meanwhile, and is gone after `[plan] absent_for`.
Whoever meets the trigger's condition then takes the place, and goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row as SqlRow

from lifecycle.caps import local_day
from lifecycle.ledger.decisions import Reader
from lifecycle.ledger.tables import MAILED, NOT_LEFT, State
from lifecycle.planning.audience import Row
from lifecycle.planning.decision import LEFT_FOR_GOOD, Reason
from lifecycle.planning.recipients import People
from lifecycle.settings import AbsentFor
from lifecycle.triggers.model import Trigger

Ineligibility = tuple[Reason, str]

IS_ABSENCE = (Reason.CONTACT_GONE, Reason.NO_RECIPIENT, Reason.NO_CONSENT)
"""What one bad day of the CRM can say of anybody."""


@dataclass(frozen=True)
class Mails:
    """The mails of one enrolment that the ledger knows, as one reader goes on from them."""

    left: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """By step: when its mail left, and from when it could."""
    in_doubt: frozenset[str] = frozenset()
    """Steps whose mail is under way, or may have left."""
    settled: frozenset[str] = frozenset()
    """Steps that the reader does not get."""
    not_left: Mapping[str, SqlRow[Any]] = field(default_factory=dict)
    """By step: its mail, which is decided anew."""


@dataclass(frozen=True)
class Going:
    """A reader who goes on, or waits."""

    contact_id: str
    person: Row | None
    """The contact as the CRM has it now; None: it is missing."""
    against: Ineligibility | None
    """Why it may get nothing now."""
    mails: Mails


@dataclass(frozen=True)
class Readers:
    """The readers of one enrolment after a run looked at them."""

    going: tuple[Going, ...]
    changes: tuple[Reader, ...]
    gone: tuple[tuple[str, Ineligibility], ...]
    """Contacts that this run lets go, and why."""
    withdrawn: tuple[SqlRow[Any], ...]
    """The mails of those who are gone that have not left."""


@dataclass(frozen=True)
class Enrolled:
    """One open enrolment, as the ledger has it."""

    account_id: str
    trigger: str
    cycle: int
    time_zone: str
    readers: Sequence[SqlRow[Any]]
    """Its rows of `recipients`."""
    mails: Sequence[SqlRow[Any]]
    """Its rows of `sends`."""


def review(
    trigger: Trigger,
    enrolled: Enrolled,
    contacts: Mapping[str, Row],
    people: People,
    elsewhere: Mapping[str, str],
    *,
    now: datetime,
    absent_for: AbsentFor,
) -> Readers:
    """Look at an enrolment's readers. `contacts` are those of the account, by id; `elsewhere` has
    the accounts of those readers that are not among them, as far as they have one."""
    going: list[Going] = []
    changes: list[Reader] = []
    gone: dict[str, Ineligibility] = {}
    mine = (enrolled.account_id, enrolled.trigger, enrolled.cycle)
    for row in enrolled.readers:
        if row.gone_at is not None:
            continue
        person = contacts.get(row.contact_id)
        against = people.ineligibility_now(trigger, row.contact_id, person)
        gone_why = None
        since, runs = None, 0
        if against is not None:
            reason, detail = against
            if reason in LEFT_FOR_GOOD:
                gone_why = f"{reason}: {detail}"
            elif person is None and (now_at := _now_at(row, enrolled, contacts, elsewhere)):
                gone_why = now_at
                against = Reason.CONTACT_GONE, now_at
            elif reason in IS_ABSENCE:
                since, runs = row.absent_since or now, row.absent_runs + 1
                days = local_day(now, enrolled.time_zone) - local_day(since, enrolled.time_zone)
                if runs >= absent_for.runs and days >= absent_for.days:
                    gone_why = f"{reason}: {detail}, for {runs} runs and {days} days"
        if gone_why is not None:
            assert against is not None
            gone[row.contact_id] = (against[0], gone_why)
            changes.append(
                Reader(
                    *mine, row.contact_id, absent_since=since, absent_runs=runs, gone_why=gone_why
                )
            )
            continue
        if (since, runs) != (row.absent_since, row.absent_runs):
            changes.append(Reader(*mine, row.contact_id, absent_since=since, absent_runs=runs))
        chain = [row.contact_id, *_before(row, enrolled.readers)]
        joined_at = None if row.follows else row.joined_at
        mails = _mails(chain, enrolled.mails, joined_at, person)
        going.append(Going(row.contact_id, person, against, mails))
    for contact_id, follows in _joining(trigger, enrolled, contacts, people, gone):
        changes.append(Reader(*mine, contact_id, follows=follows, is_new=True))
        chain = [contact_id]
        if follows is not None:
            before = next(row for row in enrolled.readers if row.contact_id == follows)
            chain += [follows, *_before(before, enrolled.readers)]
        mails = _mails(chain, enrolled.mails, None if follows else now, contacts[contact_id])
        going.append(Going(contact_id, contacts[contact_id], None, mails))
    withdrawn = [
        mail for mail in enrolled.mails if mail.contact_id in gone and mail.state in NOT_LEFT
    ]
    going.sort(key=lambda reader: reader.contact_id)
    return Readers(tuple(going), tuple(changes), tuple(gone.items()), tuple(withdrawn))


def _now_at(
    row: SqlRow[Any],
    enrolled: Enrolled,
    contacts: Mapping[str, Row],
    elsewhere: Mapping[str, str],
) -> str | None:
    """Where a missing contact went: to another account, or under another id. None: nobody knows."""
    if other := elsewhere.get(row.contact_id):
        return f"it belongs to account {other} now"
    addresses = {mail.address for mail in enrolled.mails if mail.contact_id == row.contact_id}
    for contact_id, person in contacts.items():
        if person["email_normalized"] in addresses:
            return f"its address is contact {contact_id}'s now"
    return None


def _joining(
    trigger: Trigger,
    enrolled: Enrolled,
    contacts: Mapping[str, Row],
    people: People,
    gone: Mapping[str, Ineligibility],
) -> list[tuple[str, str | None]]:
    """Contacts that read from now on, and whose place each takes."""
    known = {row.contact_id for row in enrolled.readers}
    taken = {row.follows for row in enrolled.readers}
    left = [row.contact_id for row in enrolled.readers if row.gone_at is not None]
    free = [person for person in (*left, *gone) if person not in taken]
    at_each_step = trigger.recipients_chosen == "at_each_step"
    if not free and not at_each_step:
        return []
    candidates = [
        contact_id
        for contact_id, person in contacts.items()
        if contact_id not in known
        and person["is_recipient"]
        and people.ineligibility(person) is None
    ]
    joining: list[tuple[str, str | None]] = []
    for contact_id in candidates:  # first whose address it is
        address = contacts[contact_id]["email_normalized"]
        same = {mail.contact_id for mail in enrolled.mails if mail.address == address}
        if place := next((each for each in free if each in same), None):
            free.remove(place)
            joining.append((contact_id, place))
    for contact_id in candidates:
        if contact_id not in {each for each, _ in joining} and (free or at_each_step):
            joining.append((contact_id, free.pop(0) if free else None))
    return joining


def _before(row: SqlRow[Any], readers: Sequence[SqlRow[Any]]) -> list[str]:
    """Those whose place a reader took, the last one first."""
    by_id = {reader.contact_id: reader for reader in readers}
    chain: list[str] = []
    while row.follows is not None and row.follows not in chain and row.follows in by_id:
        chain.append(row.follows)
        row = by_id[row.follows]
    return chain


_LEFT = (State.ACCEPTED, State.DELIVERED)


def _mails(
    chain: Sequence[str],
    mails: Iterable[SqlRow[Any]],
    joined_at: datetime | None,
    person: Row | None,
) -> Mails:
    """The mails of a reader, and those that whoever held the place before it got, or that another
    contact got at the address that the reader has now.

    Who joined beside the others gets none of the steps that had left by then.
    """
    address = person["email_normalized"] if person else None
    left: dict[str, tuple[datetime, datetime]] = {}
    in_doubt: set[str] = set()
    settled: set[str] = set()
    not_left: dict[str, SqlRow[Any]] = {}
    for mail in mails:
        is_other = mail.contact_id not in chain
        if is_other and not (mail.address == address and mail.state in MAILED):
            had_left = mail.state in MAILED and (mail.accepted_at or mail.state_at)
            if joined_at is not None and had_left and had_left <= joined_at:
                settled.add(mail.step)
            continue
        if mail.state in _LEFT:
            if is_other and mail.step in left:
                continue  # its own counts
            left[mail.step] = (mail.accepted_at or mail.state_at, mail.not_before)
        elif mail.state in MAILED:
            in_doubt.add(mail.step)
        elif mail.contact_id != chain[0]:
            continue
        elif mail.state in NOT_LEFT:
            not_left[mail.step] = mail
        else:
            settled.add(mail.step)
    return Mails(left, frozenset(in_doubt), frozenset(settled), not_left)
