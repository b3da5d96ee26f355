"""Dated exports: each counts as known from its day on, and a replay says what it saw."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from corruptions.living import Living, accounts, changed
from lifecycle.clock import delivered_on
from lifecycle.errors import InputError
from lifecycle.warehouse.backfill import backfill
from lifecycle.warehouse.load import load_dated


@pytest.fixture
def company(living: Callable[..., Living]) -> Living:
    return living()


def asked(company: Living, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(company.settings.work_db)) as db:
        return db.execute(query).fetchall()


VERSIONS = """
    select plan, cast(timezone('Asia/Tokyo', timezone('UTC', dbt_valid_from)) as date)
    from snapshots.accounts_snapshot where account_id = 'A1' order by dbt_valid_from
"""


def test_dated_exports_are_lived_through_in_order(company: Living) -> None:
    company.accounts = accounts(4, plan="pro")
    company.run("2026-06-09 10:00 Asia/Tokyo", delivered="2026-06-09")
    assert company.error is None
    assert company.report is not None
    assert company.report.known_then is None  # it saw all of this delivery

    company.accounts = changed(company.accounts, 1, plan="basic")
    company.run("2026-06-10 10:00 Asia/Tokyo", delivered="2026-06-10")
    assert asked(company, VERSIONS) == [
        ("pro", date(2026, 6, 9)),
        ("basic", date(2026, 6, 10)),
    ]

    company.run("2026-06-11 10:00 Asia/Tokyo", delivered="2026-06-08")
    assert "dated deliveries are read in their order" in str(company.error)


@pytest.mark.long
def test_a_replay_says_what_it_saw(company: Living) -> None:
    company.accounts = accounts(3, plan="pro")
    company.run("2026-06-09 10:00 Asia/Tokyo", delivered="2026-06-09")
    company.accounts = changed(accounts(4, plan="pro"), 1, plan="basic")
    company.run("2026-06-10 10:00 Asia/Tokyo")  # with files that are known from today on
    assert company.report is not None
    known = company.report.known_then
    assert known is not None
    assert known["changed_later"] == {"accounts": 1, "contacts": 0}
    assert known["came_later"] == {"accounts": 1, "contacts": 1}
    text = " ".join(company.report.as_text().split())
    assert "Its changes of 1 account are not seen." in text
    assert "as it first came: 1 account and 1 contact." in text
    assert asked(company, "select plan from marts.account_360 where account_id = 'A1'") == [
        ("pro",)
    ]


@pytest.mark.parametrize(
    ("day", "as_of", "why"),
    [
        ("2026-13-01", None, "is not a day"),
        ("2999-01-01", None, "is a day to come"),
        ("2026-06-10", "2026-06-09 23:00 Asia/Tokyo", "would not see that delivery"),
    ],
)
def test_what_cannot_be_is_refused(company: Living, day: str, as_of: str | None, why: str) -> None:
    with pytest.raises(InputError, match=why):
        delivered_on(company.settings, day, as_of)


def test_a_day_counts_to_its_end(company: Living) -> None:
    clocks = delivered_on(company.settings, "2026-06-10")
    assert f"{clocks.as_of:%F %T}" == f"{clocks.loaded_at:%F %T}" == "2026-06-10 14:59:59"
    later = delivered_on(company.settings, "2026-06-10", "2026-06-12 09:00 Asia/Tokyo")
    assert f"{later.as_of:%F %T} {later.loaded_at:%F %T}" == (
        "2026-06-12 00:00:00 2026-06-10 14:59:59"
    )


def test_a_backfill_lives_through_a_folder_of_dated_exports(
    company: Living, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    for day, renewal in (("2026-06-08", "2027-06-01"), ("2026-06-09", "2026-07-01")):
        company.accounts = accounts(4, renewal_at=renewal)
        company.deliver()
        shutil.copytree(company.folder / "data", exports / day)
    days = [date(2026, 6, 8), date(2026, 6, 9)]
    steps: list[str] = []
    for _ in range(2):  # the second time goes on where the first one ended
        load_dated(
            company.settings,
            exports,
            until=days[-1],
            at=time(12),
            stage=steps.append,
            progress=lambda text: None,
        )
    assert steps == ["pull", "gate_raw"] * 3
    backfill(company.settings, days, at=time(12))
    stages = asked(
        company,
        "select day, stage = 'renewal' from history.account_health_daily"
        " where account_id = 'A1' order by day",
    )
    assert stages == [(days[0], False), (days[1], True)]

    with pytest.raises(InputError, match="no folder of a day up to 2026-06-01"):
        load_dated(
            company.settings,
            exports,
            until=date(2026, 6, 1),
            at=time(12),
            stage=steps.append,
            progress=lambda text: None,
        )
