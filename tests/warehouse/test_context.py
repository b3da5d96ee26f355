"""What the models are told besides customers' data."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from warehouse.raw_company import Company

ZONES = ["Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "Africa/Casablanca"]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path / "company")
    zones = [*ZONES, "Asia/Tokio", None]
    countries = ["Japan", "United Kingdom", "USA", "Atlantis", None, "DE"]
    company.add(
        "accounts",
        *(
            {"account_id": f"a{number}", "name": "A", "created_at": "2024-05-01"}
            | {"time_zone": zone, "country": country}
            for number, (zone, country) in enumerate(zip(zones, countries, strict=True))
        ),
    )
    company.see("2026-06-10 01:00", loaded_at="2026-06-10 02:00")
    return company


def test_the_clock_and_thresholds_are_one_row(company: Company) -> None:
    assert company.sql(
        "select cast(as_of as varchar), cast(loaded_at as varchar), company_country,"
        " onboarding_months, dormancy_factor, dormancy_min_working_days from context.run"
    ) == [("2026-06-10 01:00:00", "2026-06-10 02:00:00", "JP", 2, 2.0, 5)]


def test_a_second_run_replaces_what_the_first_said(company: Company) -> None:
    before = company.sql("select count(*) from context.zone_offsets")
    company.see("2026-06-11 01:00")
    assert company.sql("select count(*) from context.run") == [(1,)]
    assert company.sql("select count(*) from context.zone_offsets") == before


def test_every_hour_of_every_zone_has_the_offset_it_has(company: Company) -> None:
    assert company.sql("select distinct time_zone from context.zone_offsets order by 1") == [
        (zone,)
        for zone in sorted(
            {*ZONES, "Asia/Tokyo", "Europe/London", "Europe/Berlin", "America/New_York"}
        )
    ]
    for zone in ZONES:
        spans = company.sql(
            "select from_utc, until_utc, offset_minutes from context.zone_offsets"
            " where time_zone = ? order by 1",
            [zone],
        )
        assert spans[0][0] == datetime.fromisoformat("2024-01-01")
        assert all(early[1] == late[0] for early, late in itertools.pairwise(spans))
        moment = datetime.fromisoformat("2024-01-01")
        while moment < datetime.fromisoformat("2027-01-01"):
            offset = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
            (minutes,) = [m for begin, end, m in spans if begin <= moment < end]
            assert timedelta(minutes=minutes) == offset, (zone, moment)
            moment += timedelta(minutes=30)


def test_countries_are_known_by_their_spellings(company: Company) -> None:
    assert company.sql("select * from context.countries order by 1") == [
        ("DE", "DE", "Europe/Berlin", 1),
        ("Japan", "JP", "Asia/Tokyo", 1),
        ("USA", "US", "America/New_York", 8),
        ("United Kingdom", "GB", "Europe/London", 1),
    ]


def test_weekends_are_those_of_all_countries_seen(company: Company) -> None:
    rows = company.sql("select country_code, iso_weekday from context.weekends order by all")
    assert rows == [(code, day) for code in ("DE", "GB", "JP", "US") for day in (6, 7)]


def test_holidays_are_those_of_all_countries_seen(company: Company) -> None:
    rows = company.sql(
        "select country_code from context.holidays where day = ?", [date(2026, 1, 1)]
    )
    assert sorted(code for (code,) in rows) == ["DE", "GB", "JP", "US"]


def test_roles_are_those_of_the_settings(company: Company) -> None:
    assert company.sql("select role, pattern from context.event_roles order by 1") == [
        ("activity", "*"),
        ("core", "report_*"),
        ("outcome", "report_shared"),
    ]


def test_what_a_person_said_is_normal_is_kept_and_the_settings_win(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.sql(
        "create schema if not exists context;"
        " create or replace table context.ledger_feed_questions as select * from (values"
        " ('segment smb', date '2026-05-04', true), ('segment smb', date '2026-06-01', true),"
        " ('country JP', date '2026-06-01', false), ('country US', date '2026-06-01', null),"
        " ('all', date '2026-06-01', true)) as asked (part, since, is_normal)"
    )
    monkeypatch.setenv("LIFECYCLE__FEED__NORMAL_SINCE", '{"all": "2026-06-02"}')
    company.see("2026-06-10 01:00")
    assert company.sql("select * from context.feed_changes order by part") == [
        ("all", date(2026, 6, 2)),
        ("segment smb", date(2026, 6, 1)),
    ]
