"""What the mails of the last 24 hours came to, for whoever watches the sender's reputation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from lifecycle.ledger.tables import IS_A_FAULT, feedback, runs, sends


@dataclass(frozen=True)
class Day:
    """Mails by state, and what happened in 24 hours."""

    by_state: dict[str, int]
    """Of all mails that the ledger knows."""
    accepted: int
    bounced: int
    complained: int
    """Addresses; each counts once."""
    newest_report: str | None
    """The JSON object of the newest run that has one."""


def day(ledger: Connection, now: datetime) -> Day:
    """The day up to a moment, by the clock that mails go by."""
    since = now - timedelta(days=1)
    states = select(sends.c.state, func.count()).group_by(sends.c.state)
    address = func.coalesce(sends.c.address, feedback.c.address, feedback.c.key)
    faults = (
        select(feedback.c.kind, func.count(address.distinct()))
        .outerjoin(sends, sends.c.send_id == feedback.c.send_id)
        .where(IS_A_FAULT, feedback.c.at > since)
        .group_by(feedback.c.kind)
    )
    by_kind = {row[0]: int(row[1]) for row in ledger.execute(faults)}
    return Day(
        by_state={row[0]: int(row[1]) for row in ledger.execute(states)},
        accepted=ledger.scalar(select(func.count()).where(sends.c.accepted_at > since)) or 0,
        bounced=by_kind.get("bounced", 0),
        complained=by_kind.get("complained", 0),
        newest_report=ledger.scalar(
            select(runs.c.report)
            .where(runs.c.report.is_not(None))
            .order_by(runs.c.started_at.desc())
            .limit(1)
        ),
    )
