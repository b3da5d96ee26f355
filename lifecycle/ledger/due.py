"""Mails that could leave now, and for how long they have been waiting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from lifecycle.ledger.delivery import may_go, waits
from lifecycle.ledger.tables import NOT_LEFT, State, UtcDateTime, send_log, sends


@dataclass(frozen=True)
class Due:
    """The mails that could leave at a moment, and have not."""

    mails: int
    since: datetime | None
    """Since when the one that waits longest could have left (UTC); None where none waits."""


def due(ledger: Connection, now: datetime, *, without: Collection[str] = ()) -> Due:
    """The mails that could leave now, by the clock that mails go by.

    A mail that the provider refused counts from the moment at which it first could leave, not
    from its next attempt. Mails that wait for a person or a late feed do not count, nor do those
    to the domains in `without`, which may get no more today.
    """
    may = sends.c.domain.not_in(without)
    mails, oldest = ledger.execute(
        select(func.count(), func.min(sends.c.not_before, type_=UtcDateTime)).where(
            sends.c.state.in_(NOT_LEFT), *may_go(now), may
        )
    ).one()
    # Each refusal puts `not_before` off. A mail whose window shuts is planned again, so the last
    # time that it came into the queue from elsewhere began this wait.
    released = (
        select(func.max(send_log.c.at, type_=UtcDateTime).label("at"), sends.c.not_before)
        .join(sends, sends.c.send_id == send_log.c.send_id)
        .where(
            sends.c.state == State.QUEUED,
            sends.c.attempts > 0,
            sends.c.closes_at > now,
            ~waits(now),
            may,
            send_log.c.to_state == State.QUEUED,
            send_log.c.from_state != State.ATTEMPTING,
        )
        .group_by(send_log.c.send_id, sends.c.not_before)
        .subquery()
    )
    put_off, first = ledger.execute(
        select(
            func.count().filter(released.c.not_before > now),
            func.min(released.c.at, type_=UtcDateTime),
        )
    ).one()
    since = min((moment for moment in (oldest, first) if moment is not None), default=None)
    return Due(mails + put_off, since)
