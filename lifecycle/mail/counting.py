"""Counts what a delivery did from the ledger's own log, so that one that fails is counted too."""

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
from lifecycle.mail.providers import is_live
from lifecycle.settings import Settings


@contextmanager
def counted(
    settings: Settings, ledger: Ledger, record: Record, clock: Callable[[], datetime]
) -> Iterator[None]:
    """Write into `record` what the delivery inside did, also where it is broken off.

    Due are the mails that were handed over, and those that could still leave at its end;
    accepted are those that the provider took meanwhile, whoever handed them over. `clock` is the
    one that mails go by.
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
    """The mails that could leave now, but for domains that had theirs of today while warming up."""
    full = {}
    if is_live(settings) and settings.warmup.start:
        full = warmup.waiting(ledger, datetime.now(UTC), settings.warmup)
    return due(ledger, now, without=full)


def _moved(ledger: Connection, since: int, to: State) -> int:
    """How many mails came to a state after a row of the log."""
    mails = select(func.count(send_log.c.send_id.distinct()))
    return ledger.scalar(mails.where(send_log.c.id > since, send_log.c.to_state == to)) or 0
