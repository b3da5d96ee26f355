"""Counts what a delivery did from the ledger's log, so that failed deliveries count too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from lifecycle.ledger import warmup
from lifecycle.ledger.commands import Record
from lifecycle.ledger.due import Due, due
from lifecycle.ledger.states import last_change
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State, send_log
from lifecycle.mail.live import is_live
from lifecycle.settings import Settings


@contextmanager
def counted(
    settings: Settings, ledger: Ledger, record: Record, clock: Callable[[], datetime]
) -> Iterator[None]:
    """Write into `record` what the delivery in the `with` block did, also where it is interrupted.

    Due are the mails that were handed over, and those that could still leave at its end; accepted
    are those that the provider accepted meanwhile, whoever handed them over. `clock` is the
    delivery clock.
    """
    with ledger.read() as connection:
        last_seen = last_change(connection)
    record.accepted = 0
    try:
        yield
    finally:
        with ledger.read() as connection:
            record.due = _moved(connection, last_seen, State.ATTEMPTING)
            record.accepted = _moved(connection, last_seen, State.ACCEPTED)
            record.due += due_now(settings, connection, clock()).mails


def due_now(settings: Settings, ledger: Connection, now: datetime) -> Due:
    """The mails that are due now, except those whose domain had its daily number of [warmup]."""
    full = {}
    if is_live(settings.delivery) and settings.warmup.start:
        full = warmup.waiting(ledger, datetime.now(UTC), settings.warmup)
    return due(ledger, now, without=full)


def _moved(ledger: Connection, since: int, to: State) -> int:
    """How many mails entered a state after that row of the ledger's log."""
    mails = select(func.count(send_log.c.send_id.distinct()))
    return ledger.scalar(mails.where(send_log.c.id > since, send_log.c.to_state == to)) or 0
