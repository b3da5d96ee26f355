"""A company that has been planned once: published marts, triggers, and a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from company import Company, Marts, utc
from lifecycle.ledger import runs
from lifecycle.ledger.store import Ledger
from lifecycle.planning.plan import plan
from lifecycle.settings import Settings

WIN_BACK = """
audience: is_dormant and touch_model = 'tech'
recipients: role in ('admin', 'owner')
launch: existing
exit_when: not is_dormant
send_window: {days: mon-fri, from: "09:00", to: "17:00", holidays: account}
steps:
  - {id: check_in, after: 0d}
  - {id: case_study, after: 5bd}
"""

MONDAY = utc("2026-06-07 22:00")
"""07:00 in Tokyo: before the window opens."""

ACCOUNTS = [
    {
        "account_id": "A1",
        "name": "若竹設備株式会社",
        "touch_model": "tech",
        "stage": "renewal",
        "days_to_renewal": 10,
        "usage_health": 34.0,
        "usage_band": "red",
        "usage_reasons": "active on 2 of 28 days",
        "dormancy_reason": "silent for 41 days; its limit is 18",
        "p_return_28d": 0.27,
        "country": "Japan",
    },
    {"account_id": "A2", "name": "Oakhaven Travel Pty Ltd", "touch_model": "high"},
    {"account_id": "A3", "name": "Oakhaven Foods Ltd", "touch_model": "tech"},
    {"account_id": "A4", "name": "Gone Ltd", "touch_model": "tech", "stage": "churned"},
]
CONTACTS = [
    {"contact_id": "C1", "account_id": "A1", "name": "佐藤 愛子", "role": "admin"},
    {"contact_id": "C2", "account_id": "A1", "name": "Bo", "role": "user"},
    {"contact_id": "C3", "account_id": "A3", "role": "owner", "consent_basis": None},
]


@dataclass
class Workspace:
    """A company, its settings and its ledger."""

    company: Company
    settings: Settings
    ledger: Ledger
    as_of: datetime

    def publish(self, feed: str = "fresh") -> None:
        """Put the marts where everybody reads."""
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(self.settings.published_db) as db:
            marts = Marts(db)
            shared = {"as_of": self.as_of.replace(tzinfo=None), "feed_status": feed}
            marts.accounts(
                {**shared, "is_churned": account.get("stage") == "churned", **account}
                for account in ACCOUNTS
            )
            marts.contacts(CONTACTS)
            marts.feed(feed)
            db.execute(
                "create or replace table marts.rejected_rows (table_name varchar, file varchar,"
                " row_number bigint, column_name varchar, value varchar, reason varchar,"
                " record varchar, key varchar, loaded_at timestamp)"
            )
            db.execute(
                "insert into marts.rejected_rows values ('contacts', 'contacts.csv', 9, 'email',"
                """ 'x', 'not an address', '{"account_id": "A1"}', 'C9', now()::timestamp)"""
            )
            db.execute(
                "create or replace table marts.published as select 'r1' as run_id,"
                " ?::timestamp as as_of",
                [shared["as_of"]],
            )

    def run(self, run_id: str = "r1") -> None:
        """What a daily run does after it published."""
        runs.begin(self.ledger, run_id=run_id, as_of=self.as_of, source="files")
        plan(self.settings, self.ledger, run_id=run_id, as_of=self.as_of)
        report = {"planned": 1, "accepted": 0, "withheld": {"no_consent": 1}, "stopped": None}
        runs.finish(self.ledger, run_id=run_id, status="done", report=report)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    company = Company(tmp_path / "company")
    company.trigger("win_back", WIN_BACK, "check_in", "case_study")
    with Ledger.open(company.settings.ledger_url) as ledger:
        yield Workspace(company, company.settings, ledger, MONDAY)
