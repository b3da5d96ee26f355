"""What a person stops and lets go on: triggers, and what goes to an account.

Each is one transaction, recorded with who and why, and safe while a run or a delivery goes on:
release, claim and the record of a plan look here in their own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, tuple_, union, update

from lifecycle.errors import InputError
from lifecycle.ledger.states import batches, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    NOT_LEFT,
    OF_ITS_ENROLLMENT,
    OFF,
    PAUSED,
    State,
    account_holds,
    actions,
    enrollments,
    launches,
    sends,
    trigger_stops,
)


def stops(ledger: Connection) -> dict[str, Row[Any]]:
    """The triggers that are paused or off, as rows of `trigger_stops`."""
    return {row.trigger: row for row in ledger.execute(select(trigger_stops))}


def holds(ledger: Connection, now: datetime) -> dict[str, Row[Any]]:
    """The accounts on hold at a moment, as rows of `account_holds`."""
    query = select(account_holds).where(account_holds.c.until > now)
    return {row.account_id: row for row in ledger.execute(query)}


def known_triggers(ledger: Ledger) -> set[str]:
    """The triggers that the ledger knows, also those whose file is gone."""
    with ledger.read() as connection:
        tables = (launches, enrollments, trigger_stops)
        names = (select(table.c.trigger) for table in tables)
        return set(connection.scalars(union(*names)))


def pause(ledger: Ledger, trigger: str, *, by: str, why: str) -> None:
    """Nobody enters; steps and queued mails stay where they are, and may expire there."""
    _stop(ledger, trigger, PAUSED, "pause", by, why)


def turn_off(ledger: Ledger, trigger: str, *, by: str, why: str) -> None:
    """Nobody enters any more; those inside finish."""
    _stop(ledger, trigger, OFF, "off", by, why)


def resume(ledger: Ledger, trigger: str, *, by: str, why: str) -> str:
    """Undo a pause or an off; returns which. Raises InputError where there is neither."""
    which = trigger_stops.c.trigger == trigger
    with ledger.write() as connection:
        mode: str | None = connection.scalar(select(trigger_stops.c.mode).where(which))
        if mode is None:
            raise InputError(f"{trigger} is neither paused nor off")
        connection.execute(delete(trigger_stops).where(which))
        _write_down(connection, "resume", trigger, by, why)
    return mode


@dataclass(frozen=True)
class Cancelled:
    """What a cancelling ended."""

    accounts: int
    mails: int


def cancel(ledger: Ledger, trigger: str, *, now: datetime, by: str, why: str) -> Cancelled:
    """End all who are inside, and cancel what is planned or queued for them.

    `now` is the clock that mails go by. A mail that is being attempted may still arrive.
    """
    with ledger.write() as connection:
        ended = end(connection, "cancelled", f"cancelled by {by}: {why}", now, trigger=trigger)
        _write_down(connection, "cancel", trigger, by, why)
    return ended


def hold(ledger: Ledger, account_id: str, *, until: datetime, by: str, why: str) -> None:
    """Nothing goes to an account until then; a second hold takes the place of the first."""
    with ledger.write() as connection:
        hold_account(connection, account_id, until=until, by=by, why=why)


def hold_account(
    ledger: Connection, account_id: str, *, until: datetime, by: str, why: str
) -> None:
    """The same in the caller's transaction."""
    ledger.execute(delete(account_holds).where(account_holds.c.account_id == account_id))
    ledger.execute(
        account_holds.insert().values(
            account_id=account_id, until=until, since=datetime.now(UTC), by=by, why=why
        )
    )
    _write_down(ledger, "hold", account_id, by, f"until {until:%Y-%m-%d %H:%M} UTC: {why}")


def unhold(ledger: Ledger, account_id: str, *, now: datetime, by: str, why: str) -> None:
    """End an account's hold early. Raises InputError where it is not on hold."""
    with ledger.write() as connection:
        if account_id not in holds(connection, now):
            raise InputError(f"{account_id} is not on hold")
        connection.execute(delete(account_holds).where(account_holds.c.account_id == account_id))
        _write_down(connection, "unhold", account_id, by, why)


def end(ledger: Connection, reason: str, detail: str, now: datetime, **of: str | int) -> Cancelled:
    """End the open enrolments whose columns are so, and cancel their mails that have not left."""
    which = [enrollments.c.ended_at.is_(None), *(enrollments.c[k] == v for k, v in of.items())]
    theirs = select(enrollments.c.cycle).where(OF_ITS_ENROLLMENT, *which)
    mails = transition(
        ledger, State.CANCELLED, detail, now, sends.c.state.in_(NOT_LEFT), theirs.exists()
    )
    ended = ledger.execute(
        update(enrollments).where(*which).values(ended_at=now, end_reason=reason)
    )
    return Cancelled(ended.rowcount, len(mails))


Sequence = tuple[str, str, int]
"""An account, a trigger, and which entry into it."""
OF_SEQUENCE = tuple_(enrollments.c.account_id, enrollments.c.trigger, enrollments.c.cycle)


def end_sequences(
    ledger: Connection, sequences: Iterable[Sequence], reason: str, detail: str, now: datetime
) -> None:
    """End these entries where they are open, and cancel their mails that have not left."""
    of_mail = tuple_(sends.c.account_id, sends.c.trigger, sends.c.cycle)
    for batch in batches(sorted(set(sequences))):
        accounts = sends.c.account_id.in_({account for account, _, _ in batch})
        not_left = sends.c.state.in_(NOT_LEFT)
        transition(ledger, State.CANCELLED, detail, now, not_left, accounts, of_mail.in_(batch))
        still_open = enrollments.c.ended_at.is_(None)
        ended = {"ended_at": now, "end_reason": reason}
        ledger.execute(update(enrollments).where(still_open, OF_SEQUENCE.in_(batch)).values(ended))


def _stop(ledger: Ledger, trigger: str, mode: str, action: str, by: str, why: str) -> None:
    with ledger.write() as connection:
        connection.execute(delete(trigger_stops).where(trigger_stops.c.trigger == trigger))
        connection.execute(
            trigger_stops.insert().values(
                trigger=trigger, mode=mode, since=datetime.now(UTC), by=by, why=why
            )
        )
        _write_down(connection, action, trigger, by, why)


def _write_down(ledger: Connection, action: str, subject: str, by: str, why: str) -> None:
    ledger.execute(
        actions.insert().values(
            at=datetime.now(UTC), action=action, subject=subject, by=by, why=why
        )
    )
