"""The guard against a flood: a run that reaches more people than usual waits for a person.

A person is an address. Mails to account owners do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import duckdb
from sqlalchemy import Connection

from lifecycle.ledger import approvals, suppressions
from lifecycle.ledger.decisions import PlannedSend
from lifecycle.settings import Settings
from lifecycle.warehouse import published_marts

DAYS = 28
"""Days with a run that the usual is taken from; before there are so many, nothing is usual."""

SAMPLE = 10
"""Accounts that are shown to whoever approves."""


@dataclass(frozen=True)
class Flood:
    """A run over its budget."""

    people: int
    budget: int
    why: str
    by_trigger: dict[str, int]
    """Trigger: people."""
    sample: tuple[dict[str, str | None], ...]
    """Some of the accounts, spread over all: account_id, name, trigger."""


def people(sends: Sequence[PlannedSend]) -> int:
    """How many people the mails reach."""
    return len({send.address for send in sends})


def judge(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Connection,
    sends: Sequence[PlannedSend],
    *,
    as_of: datetime,
) -> Flood | None:
    """Whether the mails that a run plans are more than its budget."""
    reached = people(sends)
    over = _over_budget(settings, warehouse, ledger, reached, as_of)
    if over is None:
        return None
    budget, why = over
    by_trigger = Counter(trigger for trigger, _ in {(send.trigger, send.address) for send in sends})
    mailed = sorted({(send.trigger, send.account_id) for send in sends})
    sample = mailed[:: max(1, len(mailed) // SAMPLE)][:SAMPLE]
    named = published_marts.accounts(warehouse, [account_id for _, account_id in sample])
    names = {row["account_id"]: row["name"] for row in named}
    return Flood(
        people=reached,
        budget=budget,
        why=why,
        by_trigger=dict(by_trigger.most_common()),
        sample=tuple(
            {"account_id": account_id, "name": names.get(account_id), "trigger": trigger}
            for trigger, account_id in sample
        ),
    )


def _over_budget(
    settings: Settings,
    warehouse: duckdb.DuckDBPyConnection,
    ledger: Connection,
    reached: int,
    as_of: datetime,
) -> tuple[int, str] | None:
    guard = settings.guard
    if reached > guard.people:
        return guard.people, f"it reaches {_people(reached)}; guard.people is {guard.people:,}"
    if reached > guard.share_never_below:
        mailable = mailable_people(settings, warehouse, ledger)
        budget = max(guard.share_never_below, int(guard.share * mailable))
        if reached > budget:
            return budget, (
                f"it reaches {_people(reached)}, {reached / max(mailable, 1):.0%} of the "
                f"{mailable:,} who may be mailed; guard.share is {guard.share:.0%}"
            )
    days = _days_before(ledger, as_of, ZoneInfo(settings.company.time_zone))
    if len(days) < DAYS:
        return None
    busiest = max(days)
    budget = max(guard.never_below, int(guard.times * busiest))
    if reached <= budget:
        return None
    return budget, (
        f"it reaches {_people(reached)}; the busiest of the last {DAYS} days with a run reached "
        f"{busiest:,}, and guard.times is {guard.times:g}"
    )


def mailable_people(
    settings: Settings, warehouse: duckdb.DuckDBPyConnection, ledger: Connection
) -> int:
    """How many addresses a mail may go to: with consent, and neither left nor suppressed."""
    addresses = published_marts.consenting_addresses(warehouse)
    key = settings.privacy.erasure_key.get_secret_value()
    return len(addresses - suppressions.reasons(ledger, addresses, key).keys())


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number:,} people"


def _days_before(ledger: Connection, as_of: datetime, zone: ZoneInfo) -> list[int]:
    """The people of the last local days with a run that was done, today left out."""
    today = as_of.astimezone(zone).date()
    days: Counter[date] = Counter()
    for moment, reached in approvals.people_of_done_runs(ledger):
        days[moment.astimezone(zone).date()] += reached
    return [days[day] for day in sorted(days, reverse=True) if day < today][:DAYS]
