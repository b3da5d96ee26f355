"""Leaving is one-way: departures are kept by address, and end by a consent or by a person.

A departure is provisional until its delivery has passed both gates: nobody is mailed on it, and
the mails of those it names wait. Then it is permanent, and their mails are stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, update

from lifecycle.addresses import is_address
from lifecycle.errors import InputError, UnknownName, did_you_mean
from lifecycle.ledger import suppressions
from lifecycle.ledger.departures import IN_FORCE, IS_PROVISIONAL, Departure
from lifecycle.ledger.states import batches, insert, transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import NOT_LEFT, State, actions, departures, sends
from lifecycle.ledger.tables import suppressions as suppressions_table

CRM = "crm"
"""Who said so, where nobody of ours did."""

EARLIER = "keep earlier departures"
"""The action that says that those of before departures were kept here are known."""


def record(ledger: Ledger, shown: Sequence[Departure], *, run_id: str, key: str = "") -> int:
    """Keep those who left by a delivery, provisionally; returns how many are new.

    What is known already stays as it is; what a person took back stays so while the CRM repeats
    the same words. `key` is `[privacy] erasure_key`. Safe to repeat. Raises LedgerError where
    people were erased and the key is missing.
    """
    by_address = {
        form: departure
        for departure in shown
        for form in suppressions.forms(departure.address)
        if form
    }
    with ledger.write() as connection:
        for erased in suppressions.erased_among(connection, by_address, key):
            del by_address[erased]
        known = {
            row.address: row
            for batch in batches(by_address)
            for row in connection.execute(select(departures).where(departures.c.address.in_(batch)))
        }
        fresh: list[dict[str, Any]] = []
        renewed: list[str] = []
        later: list[dict[str, Any]] = []
        again: list[str] = []
        for address, departure in sorted(by_address.items()):
            old = known.get(address)
            row = {**vars(departure), "address": address, "run_id": run_id}
            if old is None:
                fresh.append(row)
            elif old.lifted_at is not None:
                if (old.column_name, old.value) != (departure.column_name, departure.value):
                    renewed.append(address)
                    fresh.append(row)
            else:
                if old.confirmed_at is None and old.run_id != run_id:
                    again.append(address)
                if old.left_at and departure.left_at and departure.left_at > old.left_at:
                    later.append({"of_address": address, "new_left_at": departure.left_at})
        _delete(connection, renewed)
        insert(connection, departures, fresh)
        for batch in batches(again):
            same = departures.c.address.in_(batch)
            connection.execute(update(departures).where(same).values(run_id=run_id))
        if later:
            theirs = departures.c.address == bindparam("of_address")
            change = update(departures).where(theirs).values(left_at=bindparam("new_left_at"))
            connection.execute(change, later)
    return len(fresh)


def earlier_are_kept(ledger: Ledger) -> bool:
    """Whether those who left before departures were kept here have been added."""
    query = select(func.count()).select_from(actions).where(actions.c.action == EARLIER)
    with ledger.read() as connection:
        return bool(connection.scalar(query))


def keep_earlier(
    ledger: Ledger, earlier: Sequence[Departure], *, run_id: str, key: str, now: datetime
) -> int:
    """Keep departures of deliveries that were published before, for good; returns how many are new.

    `run_id` is the last run that was published before. Raises LedgerError where people were erased
    and the key is missing.
    """
    fresh = record(ledger, earlier, run_id=run_id, key=key)
    with ledger.write() as connection:
        confirm(connection, run_id, now)
        why = f"{fresh} addresses had left by the snapshots of the warehouse"
        done = {"at": now, "action": EARLIER, "subject": CRM, "by": CRM, "why": why}
        connection.execute(actions.insert().values(**done))
    return fresh


def known(ledger: Ledger) -> list[tuple[str, datetime, bool]]:
    """All departures: address, since when (naive UTC), whether a person took it back."""
    query = select(
        departures.c.address,
        func.coalesce(
            departures.c.left_at, departures.c.seen_at, type_=departures.c.seen_at.type
        ).label("since"),
        departures.c.lifted_at.is_not(None).label("is_lifted"),
    )
    with ledger.read() as connection:
        return [
            (row.address, row.since.replace(tzinfo=None), bool(row.is_lifted))
            for row in connection.execute(query)
        ]


def settle(
    ledger: Ledger,
    *,
    run_id: str,
    ended: Mapping[str, datetime],
    forgotten: Collection[str],
    now: datetime,
) -> None:
    """Make the departures of a run's delivery permanent, in one transaction.

    `ended` are those that a consent ends, and when it was given; `forgotten` those that a person
    took back and the CRM says no longer.
    """
    with ledger.write() as connection:
        _delete(connection, [*ended, *forgotten])
        insert(
            connection,
            actions,
            (
                {
                    "at": now,
                    "action": "consent",
                    "subject": address,
                    "by": CRM,
                    "why": f"consented on {consented_at:%Y-%m-%d}, after having left",
                }
                for address, consented_at in sorted(ended.items())
            ),
        )
        confirm(connection, run_id, now)


def confirm(ledger: Connection, run_id: str, now: datetime) -> int:
    """Make a delivery's departures permanent, and stop what waits for them; returns how many."""
    which = (departures.c.run_id == run_id) & IS_PROVISIONAL
    addresses: list[str] = list(ledger.scalars(select(departures.c.address).where(which)))
    for batch in batches(addresses):
        among = departures.c.address.in_(batch)
        ledger.execute(update(departures).where(among).values(confirmed_at=now))
        waits = sends.c.address.in_(batch), sends.c.state.in_(NOT_LEFT)
        transition(ledger, State.SUPPRESSED, "address suppressed: left in the CRM", now, *waits)
    return len(addresses)


def withdraw(ledger: Connection, run_id: str) -> int:
    """Remove the departures of a delivery that a person rejected; returns how many."""
    which = (departures.c.run_id == run_id) & IS_PROVISIONAL
    return ledger.execute(delete(departures).where(which)).rowcount


def unsuppress(ledger: Ledger, address: str, *, by: str, why: str, key: str = "") -> list[str]:
    """Let an address be mailed again, by a person's word; returns what stood against it.

    What the CRM's newest delivery says goes on to count: it is mended there. Raises InputError
    for what is no address, one that nothing stands against, or an erased person.
    """
    named = suppressions.normalized(address)
    if not is_address(named):
        raise InputError(f"{address!r} is not an e-mail address")
    forms = sorted(suppressions.forms(named))
    with ledger.write() as connection:
        if suppressions.erased_among(connection, forms, key):
            raise InputError(f"{named} was erased: who was erased stays unmailed")
        of = suppressions_table.c.address.in_(forms)
        reasons = set(connection.scalars(select(suppressions_table.c.reason).where(of)))
        theirs = departures.c.address.in_(forms) & IN_FORCE
        left = _lift(connection, theirs, by, why)
        if not reasons and not left:
            raise InputError(f"nothing in the ledger stands against mail to {named}")
        connection.execute(delete(suppressions_table).where(of))
        now = datetime.now(UTC)
        done = {"at": now, "action": "unsuppress", "subject": named, "by": by, "why": why}
        connection.execute(actions.insert().values(**done))
    return sorted(reasons | ({"left in the CRM"} if left else set()))


def unsuppress_delivery(ledger: Ledger, run_id: str, *, by: str, why: str) -> int:
    """Take back the departures that a run's delivery was the first to show; returns how many.

    Raises UnknownName where there are none.
    """
    with ledger.write() as connection:
        lifted = _lift(connection, (departures.c.run_id == run_id) & IN_FORCE, by, why)
        if not lifted:
            runs = set(connection.scalars(select(departures.c.run_id).where(IN_FORCE).distinct()))
            hint = did_you_mean(run_id, runs) or "`lifecycle status` names the runs"
            raise UnknownName(f"nobody left by the delivery of run {run_id!r}; {hint}")
        now = datetime.now(UTC)
        done = {"at": now, "action": "unsuppress", "subject": run_id, "by": by, "why": why}
        connection.execute(actions.insert().values(**done))
    return lifted


def _lift(ledger: Connection, which: ColumnElement[bool], by: str, why: str) -> int:
    lifted = {"lifted_at": datetime.now(UTC), "lifted_by": by, "lifted_why": why}
    return ledger.execute(update(departures).where(which).values(**lifted)).rowcount


def _delete(ledger: Connection, addresses: Iterable[str]) -> None:
    for batch in batches(addresses):
        ledger.execute(delete(departures).where(departures.c.address.in_(batch)))
