"""Moves sends from one state to the next, and logs every move."""

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


def move(
    ledger: Connection,
    to: State,
    detail: str | None,
    at: datetime,
    *which: ColumnElement[bool],
    **values: Any,
) -> list[str]:
    """Move the sends that match every condition; returns their ids, oldest moment first.

    A move ends a lease unless `values` gives one.
    """
    found = ledger.execute(
        select(sends.c.send_id, sends.c.state).where(*which).order_by(sends.c.not_before)
    ).all()
    new = {"state": to, "state_at": at, "detail": detail, "lease_owner": None, "lease_until": None}
    for some in batches(found):
        ids = [row.send_id for row in some]
        ledger.execute(update(sends).where(sends.c.send_id.in_(ids)).values({**new, **values}))
    log(ledger, ((row.send_id, row.state, to, detail) for row in found), at)
    return [row.send_id for row in found]


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


_LOG_MOVED = send_log.insert().from_select(
    ["send_id", "at", "from_state", "to_state", "detail"],
    select(
        sends.c.send_id,
        bindparam("at", type_=UtcDateTime),
        bindparam("came_from", type_=String),
        sends.c.state,
        sends.c.detail,
    ).where(sends.c.send_id.in_(bindparam("ids", expanding=True))),
)


def log_moved(ledger: Connection, send_ids: Iterable[str], came_from: State, at: datetime) -> None:
    """Write down, after their move, sends that all came from one state."""
    for some in batches(send_ids):
        ledger.execute(_LOG_MOVED, {"ids": some, "came_from": came_from, "at": at})


def last_change(ledger: Connection) -> int:
    """The number of the newest row of the log."""
    return ledger.scalar(select(func.max(send_log.c.id))) or 0


def insert(ledger: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, a batch at a time."""
    statement = table.insert()
    for some in batches(rows):
        ledger.execute(statement, some)


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of at most BATCH: what one statement may carry."""
    iterator = iter(items)
    while some := list(islice(iterator, BATCH)):
        yield some
