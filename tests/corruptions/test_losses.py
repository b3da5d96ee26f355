"""A delivery that would end much at once for one reason: nothing ends before a person approves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from corruptions.living import Living, Row, accounts, contacts
from lifecycle.errors import LossesHeld
from lifecycle.ledger import approvals, held_losses
from lifecycle.ledger.store import Ledger

# A deprecated argument, and the only one there is for a schema with SQLAlchemy addresses.
pytestmark = pytest.mark.filterwarnings("ignore:`schema_name` is deprecated:DeprecationWarning")

TWO_STEPS = """
audience: days_since_go_live >= 0
recipients: role = 'admin'
launch: existing
enter: once
steps:
  - {id: hello, after: 0d}
  - {id: again, after: 1d}
"""
MANY = 24
ALL = sorted(f"person{n}@firm{n}.example.com" for n in range(1, MANY + 1))
SUITE = """
key: account_id
expectations:
  - expect: expect_column_values_to_not_be_null
    column: account_id
    severity: critical
    because: A company that holds its deliveries against nothing.
"""


@pytest.fixture
def company(living: Callable[..., Living]) -> Living:
    """A company without drift limits, of which all are inside a sequence of two steps."""
    result = living(
        toml="[guard]\nshare = 1.0\n",
        accounts=accounts(MANY),
        contacts=contacts(MANY),
        triggers={"welcome": TWO_STEPS},
    )
    suite = result.folder / "expectations" / "raw" / "accounts.yml"
    suite.parent.mkdir(parents=True)
    suite.write_text(SUITE, encoding="utf-8")
    (result.folder / "expectations" / "marts").mkdir()
    assert result.run("2026-06-10 10:00 Asia/Tokyo", delivered="2026-06-10") == ALL
    return result


def given(rows: list[Row], **columns: object) -> list[Row]:
    return [{**row, **columns} for row in rows]


def decide(company: Living, how: Callable[..., object]) -> None:
    assert company.report is not None
    with Ledger.open(company.settings.ledger_url) as ledger:
        [waits] = held_losses.waiting(ledger)
        assert waits.run_id == company.report.run_id
        how(ledger, waits.run_id, by="ann", why="asked the CRM's team")


@pytest.mark.long
def test_no_consent_anywhere_ends_nothing_and_the_repaired_delivery_goes_on(
    company: Living,
) -> None:
    good = company.contacts
    company.contacts = given(good, consent_basis="none")
    assert company.run("2026-06-11 10:00 Asia/Tokyo", delivered="2026-06-11") == []
    assert isinstance(company.error, LossesHeld)
    assert company.error.exit_status == 3
    assert "24 of 24 people who are due lose their mail, 100%: they have no consent any more" in (
        str(company.error)
    )
    company.contacts = good
    assert company.run("2026-06-12 10:00 Asia/Tokyo", delivered="2026-06-12") == ALL
    assert company.error is None


@pytest.mark.long
def test_all_churned_is_ended_once_a_person_approves(company: Living) -> None:
    company.accounts = given(company.accounts, churned_at="2026-06-10T00:00:00Z")
    assert company.run("2026-06-11 10:00 Asia/Tokyo", delivered="2026-06-11") == []
    assert "24 of 24 open sequences end, 100%: their accounts churned" in str(company.error)
    decide(company, approvals.approve)
    assert company.run("2026-06-12 10:00 Asia/Tokyo", delivered="2026-06-12") == []
    assert company.error is None
    assert company.report is not None
    assert company.report.exited == {"welcome": MANY}


@pytest.mark.long
def test_a_departure_counts_from_the_planning_on(company: Living) -> None:
    good = company.contacts
    company.contacts = given(good, unsubscribed_at="2026-06-10T00:00:00Z")
    assert company.run("2026-06-11 10:00 Asia/Tokyo", delivered="2026-06-11") == []
    assert "they left" in str(company.error)
    decide(
        company,
        lambda ledger, run_id, by, why: approvals.reject(
            ledger,
            run_id,
            now=company.report.as_of,
            by=by,
            why=why,  # type: ignore[union-attr]
        ),
    )
    company.contacts = good
    assert company.run("2026-06-12 10:00 Asia/Tokyo", delivered="2026-06-12") == ALL


@pytest.mark.long
def test_a_few_end_at_once(company: Living) -> None:
    company.contacts = [
        {**row, "consent_basis": "none"} if number < 5 else row
        for number, row in enumerate(company.contacts)
    ]
    assert len(company.run("2026-06-11 10:00 Asia/Tokyo", delivered="2026-06-11")) == MANY - 5
    assert company.error is None
