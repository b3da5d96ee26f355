"""Transitions of sends from one state to the next; the ledger logs each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, String, Table, bindparam, func, select, update

from lifecycle.ledger.tables import State, UtcDateTime, send_log, sends

Item = TypeVar("Item")
Change = tuple[str, str | None, str, str | None]
"""send_id, from, to, detail."""

BATCH = 1_000


def transition(
    ledger: Connection,
    to: State,
    detail: str | None,
    at: datetime,
    *which: ColumnElement[bool],
    **values: Any,
) -> list[str]:
    """Bring the sends that match every condition into a state; returns their ids, oldest moment
    first.

    A transition ends a lease unless `values` gives one.
    """
    matching = ledger.execute(
        select(sends.c.send_id, sends.c.state).where(*which).order_by(sends.c.not_before)
    ).all()
    new = {"state": to, "state_at": at, "detail": detail, "lease_owner": None, "lease_until": None}
    for batch in batches(matching):
        ids = [row.send_id for row in batch]
        ledger.execute(update(sends).where(sends.c.send_id.in_(ids)).values({**new, **values}))
    log(ledger, ((row.send_id, row.state, to, detail) for row in matching), at)
    return [row.send_id for row in matching]


def log(ledger: Connection, changes: Iterable[Change], at: datetime) -> None:
    """Write down sends that changed their state."""
    insert(
        ledger,
        send_log,
        (
            {"send_id": send_id, "at": at, "from_state": old, "to_state": new, "detail": detail}
            for send_id, old, new, detail in changes
        ),
    )


_LOG_TRANSITIONS = send_log.insert().from_select(
    ["send_id", "at", "from_state", "to_state", "detail"],
    select(
        sends.c.send_id,
        bindparam("at", type_=UtcDateTime),
        bindparam("came_from", type_=String),
        sends.c.state,
        sends.c.detail,
    ).where(sends.c.send_id.in_(bindparam("ids", expanding=True))),
)


def log_transitions(
    ledger: Connection, send_ids: Iterable[str], came_from: State, at: datetime
) -> None:
    """Log sends that all came from one state, after their transition."""
    for batch in batches(send_ids):
        ledger.execute(_LOG_TRANSITIONS, {"ids": batch, "came_from": came_from, "at": at})


def last_change(ledger: Connection) -> int:
    """The number of the newest row of the log."""
    return ledger.scalar(select(func.max(send_log.c.id))) or 0


def insert(ledger: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, a batch at a time."""
    statement = table.insert()
    for batch in batches(rows):
        ledger.execute(statement, batch)


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of at most BATCH: what one statement may carry."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
