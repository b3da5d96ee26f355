"""A part of the feed that stays thin: its accounts wait, and a person is asked once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from corruptions.living import Living, Row, accounts, contacts
from lifecycle.ledger import approvals, feed_questions
from lifecycle.ledger.store import Ledger

# A deprecated argument, and the only one there is for a schema with SQLAlchemy addresses.
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:`schema_name` is deprecated:DeprecationWarning"),
]

SMALL, MANY = 20, 45
LAST_OF_SMB = date(2026, 6, 4)


def events(until: date) -> list[Row]:
    """Three a weekday and account; those of the smb segment end on the fourth of June."""
    days = (date(2026, 4, 6) + timedelta(days=n) for n in range(70))
    return [
        {
            "event_id": f"E{number}-{day}-{n}",
            "account_id": f"A{number}",
            "occurred_at": f"{day}T0{n}:30:00Z",
            "event_name": "dashboard_viewed",
        }
        for day in days
        if day < until and day.weekday() < 5
        for number in range(1, MANY + 1)
        if number > SMALL or day <= LAST_OF_SMB
        for n in range(3)
    ]


def lived(company: Living, day: str) -> None:
    company.file("usage_events.csv", events(date.fromisoformat(day)))
    company.run(f"{day} 10:00 Asia/Tokyo", delivered=day)
    assert company.error is None
    assert company.report is not None


def test_a_thin_segment_is_asked_about_once_and_the_answer_is_kept(
    living: Callable[..., Living],
) -> None:
    rows = accounts(MANY, segment="mid")
    rows[:SMALL] = accounts(SMALL, segment="smb")
    company = living(toml="[guard]\nshare = 1.0\n", accounts=rows, contacts=contacts(MANY))
    lived(company, "2026-06-09")
    assert company.report.accounts_late == SMALL
    assert company.report.feed_questions == [], "two business days may be a fault that is mended"
    lived(company, "2026-06-10")
    [question] = company.report.feed_questions
    assert "Less has come of the segment smb since 2026-06-05: 0 events on 2026-06-09" in question
    lived(company, "2026-06-11")
    assert company.report.feed_questions == [], "asked once"
    assert company.report.accounts_late == SMALL
    with Ledger.open(company.settings.ledger_url) as ledger:
        feed_questions.answer(ledger, "segment smb", is_normal=True, by="ann", why="sold")
        company.run("2026-06-12 10:00 Asia/Tokyo", delivered="2026-06-12")
        assert "Far more accounts are dormant than the run before" in str(company.error)
        approvals.approve(ledger, company.report.run_id, by="ann", why="sold")
    lived(company, "2026-06-12")
    assert company.report.accounts_late == 0
    assert company.report.feed_questions == []
