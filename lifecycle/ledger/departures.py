"""Those who left by the word of the CRM: what the ledger keeps of each, and how it is told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from lifecycle.ledger.states import batches
from lifecycle.ledger.tables import departures
from lifecycle.masking import mask_addresses

LEFT_IN_CRM = "left_in_crm"
"""How `status` counts them among the addresses that are never mailed."""


@dataclass(frozen=True)
class Departure:
    """A row of a delivery that shows an address (normalised) as having left."""

    address: str
    left_at: datetime | None
    """None where no readable time says when."""
    seen_at: datetime
    """The clock of the load that brought it."""
    file: str
    row_number: int
    column_name: str
    value: str


IN_FORCE = departures.c.lifted_at.is_(None)
IS_PROVISIONAL = IN_FORCE & departures.c.confirmed_at.is_(None)

_OF_ADDRESSES = select(departures).where(
    departures.c.address.in_(bindparam("addresses", expanding=True)), IN_FORCE
)


def in_force(ledger: Connection, addresses: Collection[str]) -> dict[str, Row[Any]]:
    """Those of the normalised addresses that left, as rows of `departures`."""
    return {
        row.address: row
        for batch in batches(addresses)
        for row in ledger.execute(_OF_ADDRESSES, {"addresses": batch})
    }


def unconfirmed() -> Select[Any]:
    """The addresses whose mails wait, as a query: their delivery has not passed the gates."""
    return select(departures.c.address).where(IS_PROVISIONAL)


def waiting(ledger: Connection) -> dict[str, int]:
    """By run: how many people left by the word of a delivery that did not pass the gates."""
    query = select(departures.c.run_id, func.count().label("n")).where(IS_PROVISIONAL)
    rows = ledger.execute(query.group_by(departures.c.run_id).order_by(departures.c.run_id))
    return {row.run_id: row.n for row in rows}


def count(ledger: Connection) -> int:
    """How many addresses left by the word of the CRM."""
    query = select(func.count()).select_from(departures).where(IN_FORCE)
    return int(ledger.scalar(query) or 0)


def describe(row: Any) -> str:
    """Where it stands and since when, without an address."""
    if row.left_at is not None:
        since = f"on {row.left_at:%Y-%m-%d}"
    else:
        since = f'without a readable date ("{mask_addresses(row.value)}")'
    place = f"{row.file} row {row.row_number}, {row.column_name}"
    seen = f"seen {row.seen_at:%Y-%m-%d} in {place}"
    if row.confirmed_at is None:
        seen += f"; the delivery of run {row.run_id} has not passed the gates"
    return f"left in the CRM {since}, {seen}"
