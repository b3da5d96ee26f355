"""The order and the distance of a sequence's mails, asked once more when one of them leaves.

The planner puts a mail behind one that has not left yet. Where that one leaves later than it was
expected to, this one leaves later, too.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, exists, or_

from lifecycle.ledger.tables import OPEN, sends

first = sends.alias("first")
"""The mail before another one, its `after_send`."""


def distance(days: int | None, span: timedelta) -> str:
    """As `sends.after_distance` has it: local days where there are any, else seconds."""
    return f"{days}d" if days is not None else f"{int(span.total_seconds())}s"


def comes_first() -> ColumnElement[bool]:
    """Mails before which another one has to leave, or to be settled for good."""
    # One comparison a state: a list would be a table that is looked up for each mail.
    is_open = or_(*(first.c.state == state for state in OPEN))
    return sends.c.after_send.is_not(None) & exists().where(
        first.c.send_id == sends.c.after_send, is_open
    ).correlate(sends)


def may_follow(mail: Row[Any]) -> datetime:
    """From when a mail keeps its distance from the one before it; its `not_before`, or later.

    `mail` has not_before, after_distance, time_zone, and the departure of the one before it
    (`first_left_at`), which is null where that one did not leave.
    """
    planned: datetime = mail.not_before
    if mail.first_left_at is None or mail.after_distance is None:
        return planned
    return max(planned, _after(mail.first_left_at, mail.after_distance, mail.time_zone))


def _after(left_at: datetime, spaced: str, time_zone: str | None) -> datetime:
    count, unit = int(spaced[:-1]), spaced[-1]
    if unit == "s":
        return left_at + timedelta(seconds=count)
    zone = ZoneInfo(time_zone or "UTC")
    day: date = left_at.astimezone(zone).date() + timedelta(days=count)
    return max(left_at, datetime.combine(day, time(), zone))
