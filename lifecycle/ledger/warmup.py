"""How many mails a day the servers of a domain get from a sender they are still to know.

A receiving domain trusts a sender who starts small and grows steadily. The allowance of a day
is the larger of `start` and the best earlier day times `growth`; it grows only while, over the
last seven days, bounces stay under 2 % and complaints under 0.1 % of what the domain took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from lifecycle.ledger.tables import MAILED, State, feedback, sends
from lifecycle.settings import Warmup

MAX_BOUNCED = 0.02
MAX_COMPLAINED = 0.001
MEMORY = timedelta(days=30)
RECENT = timedelta(days=7)


def remaining(ledger: Connection, now: datetime, warmup: Warmup) -> dict[str, int]:
    """How many more mails each domain that was mailed before may get today (UTC).

    A domain that is not in the answer is new: it may get `start`.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    moment = func.coalesce(sends.c.accepted_at, sends.c.state_at)
    day = func.date(moment)
    query = (
        select(sends.c.domain, day, func.count())
        .where(sends.c.state.in_(MAILED), moment >= now - MEMORY)
        .group_by(sends.c.domain, day)
    )
    by_day: dict[str, Counter[str]] = {}
    rows: Sequence[Any] = ledger.execute(query).all()
    for domain, when, count in rows:
        by_day.setdefault(domain, Counter())[str(when)] = count
    faults = _faults(ledger, now - RECENT)
    return {
        domain: allowance(days, today, warmup.start, warmup.growth, faults.get(domain, Counter()))
        - days[f"{today:%Y-%m-%d}"]
        for domain, days in by_day.items()
    }


def waiting(ledger: Connection, now: datetime, warmup: Warmup) -> dict[str, int]:
    """How many due mails of each domain wait, because it had its mails of today (UTC)."""
    query = (
        select(sends.c.domain, func.count())
        .where(sends.c.state == State.QUEUED, sends.c.not_before <= now)
        .group_by(sends.c.domain)
    )
    queued = {row[0]: int(row[1]) for row in ledger.execute(query)}
    if not queued:
        return {}
    left = remaining(ledger, now, warmup)
    return {
        domain: count for domain, count in queued.items() if left.get(domain, warmup.start) <= 0
    }


def allowance(
    days: Counter[str], today: datetime, start: int, growth: float, faults: Counter[str]
) -> int:
    """The mails that a domain may get on a day, from its mails on the days before it."""
    earlier = {day: count for day, count in days.items() if day < f"{today:%Y-%m-%d}"}
    best = max(earlier.values(), default=0)
    since = f"{today - RECENT:%Y-%m-%d}"
    recent = sum(count for day, count in earlier.items() if day >= since)
    healthy = _under(faults["bounced"], MAX_BOUNCED, recent) and _under(
        faults["complained"], MAX_COMPLAINED, recent
    )
    return max(start, int(best * growth) if healthy else best)


def _under(count: int, share: float, of: int) -> bool:
    return not count or count < share * of


def _faults(ledger: Connection, since: datetime) -> dict[str, Counter[str]]:
    """Bounces and complaints since then, by domain, each mail and address once."""
    query = (
        select(feedback.c.address, sends.c.address, feedback.c.kind)
        .outerjoin(sends, sends.c.send_id == feedback.c.send_id)
        .where(feedback.c.kind.in_(["bounced", "complained"]), feedback.c.at >= since)
    )
    rows: Sequence[Any] = ledger.execute(query).all()
    seen = {
        (kind, mailed or reported)
        for reported, mailed, kind in rows
        if (mailed or reported) is not None
    }
    faults: dict[str, Counter[str]] = {}
    for kind, address in seen:
        faults.setdefault(address.rpartition("@")[2], Counter())[kind] += 1
    return faults
