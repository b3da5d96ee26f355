"""Leaving is one-way, whatever a later delivery says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from corruptions.living import Living, accounts, changed, contacts, without
from lifecycle.ledger import approvals
from lifecycle.ledger.tables import departures

ONE, TWO, THREE, FOUR, FIVE = (f"person{n}@firm{n}.example.com" for n in range(1, 6))

Make = Callable[..., Living]


def live_on(*days: int) -> list[dict[str, Any]]:
    """An account for each day of June on which it goes live: a run that looks at the past sees
    the CRM as the first delivery had it."""
    rows = accounts(len(days))
    return [
        {**row, "went_live_at": f"2026-06-{day:02}T00:00:00Z"}
        for row, day in zip(rows, days, strict=True)
    ]


@pytest.mark.long
def test_who_left_stays_unmailed_whatever_comes_after(living: Make) -> None:
    company = living(accounts=live_on(10, 11, 11, 12, 12))
    good = contacts(5)

    # A row of an account that nobody knows says that the second person left; a dry run sees it.
    gone = {**good[1], "contact_id": "C9", "account_id": "A99", "unsubscribed_at": "31/05/2026"}
    company.contacts = [*good, gone]
    company.run("2026-06-11 10:00 Asia/Tokyo", dry_run=True)
    assert company.report is not None
    assert company.report.planned == 2
    assert company.withheld() == {"unsubscribed": 1}
    with company.ledger() as ledger, ledger.read() as connection:
        assert connection.execute(select(departures)).all() == []
    assert company.run("2026-06-10 10:00 Asia/Tokyo") == [ONE]

    # The column is lost, and the warehouse too.
    for name in ("work", "published"):
        (company.folder / "state" / f"{name}.duckdb").unlink()
    company.contacts = without(good, "unsubscribed_at")
    assert company.run("2026-06-11 10:00 Asia/Tokyo") == [THREE]
    assert company.withheld() == {"unsubscribed": 1}

    # A delivery that the gate stops says that the fourth left: provisional, until it is decided.
    bad = [{**row, "contact_id": f"X{n}", "email": "nobody"} for n, row in enumerate(good * 2)]
    company.contacts = [*changed(good, 4, unsubscribed_at="yes"), *bad]
    assert company.run("2026-06-12 09:30 Asia/Tokyo") == []
    assert company.error is not None
    assert company.error.exit_status == 3
    stopped = company.report.run_id
    company.contacts = good
    assert company.run("2026-06-12 10:00 Asia/Tokyo") == [FIVE]
    assert company.withheld() == {"left_provisionally": 1, "unsubscribed": 1}
    with company.ledger() as ledger:
        at = company.report.as_of
        approvals.reject(ledger, stopped, now=at, by="ann", why="a broken export")
    assert company.run("2026-06-12 11:00 Asia/Tokyo") == [FOUR]
