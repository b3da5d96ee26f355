"""Dormancy in a whole build: the columns against lifecycle/health, holidays, time zones."""

from __future__ import annotations

import random
from datetime import date, timedelta

import numpy as np
import pytest

from lifecycle.calendar import is_business_day
from lifecycle.health import dormancy
from lifecycle.health.return_chance import Lifetimes, p_return
from warehouse.dbt_in_process import build_untested
from warehouse.raw_company import Company

AS_OF = "2026-05-07 01:00"  # Thursday, ten in the morning in Tokyo: the day after Golden Week
TODAY = date(2026, 5, 7)
SEGMENTS = {"daily": (1, 1), "weekly": (3, 12), "monthly": (15, 50)}
COUNTRIES = {"JP": "Asia/Tokyo", "DE": "Europe/Berlin", "US": "America/New_York"}
LIFETIMES = {"": Lifetimes(0.7, 9.0, 0.4, 1.2), "weekly": Lifetimes(1.4, 11.0, 0.2, 2.5)}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Ninety accounts with gaps of their segment, at noon where they are; a version of 1 May."""
    company = Company(tmp_path_factory.mktemp("dormancy") / "company")
    dice = random.Random(3)
    events, accounts = [], []
    for number in range(90):
        segment, gaps = list(SEGMENTS.items())[number % 3]
        country, zone = list(COUNTRIES.items())[number // 3 % 3]
        account = f"a{number:02}"
        accounts.append(
            {"account_id": account, "name": account, "created_at": "2025-01-01"}
            | {"went_live_at": "2025-01-05", "segment": segment if number < 80 else None}
            | {"country": country, "time_zone": zone}
        )
        day = TODAY - timedelta(days=dice.randrange(200, 500))
        stops = TODAY - timedelta(days=dice.choice([0, 1, 8, 9, 10, 30, 100, 300]))
        while day < stops:
            # Whatever the zone, 14:00 UTC is the same local day or, in Tokyo, 23:00.
            events.append((account, f"{day} 14:00", "login"))
            day += timedelta(days=dice.randint(*gaps))
    # Two who work every day but the days off: in Japan the last five days were off.
    for account, country in (("office jp", "JP"), ("office de", "DE")):
        accounts.append(
            {"account_id": account, "name": account, "created_at": "2025-01-01"}
            | {"went_live_at": "2025-01-05", "segment": "daily", "country": country}
            | {"time_zone": COUNTRIES[country]}
        )
        days = (TODAY - timedelta(days=back) for back in range(9, 120))
        events += [(account, f"{day} 05:00", "login") for day in days if day.weekday() < 5]
    company.deliver("accounts", AS_OF, *accounts)
    company.events(AS_OF, *events)
    company.see(AS_OF)
    company.sql(
        "insert into parameters.score_versions values"
        " ('v', timestamp '2026-05-01', true, false, 1, 0, '')"
    )
    for segment, common in LIFETIMES.items():
        company.sql(
            "insert into parameters.return_parameters values ('v', ?, ?, ?, ?, ?, 900, 0)",
            [segment, *vars(common).values()],
        )
    company.sql("insert into parameters.segment_gaps values ('v', 'weekly', 9.5), ('v', '', 4.25)")
    company.sql("insert into parameters.dormancy_calibration values ('v', 1.7, 0.5, 100)")
    build_untested(company.settings, "account_dormancy", "dim_accounts", "feed_health")
    assert company.sql("select feed_status from marts.feed_health") == [("fresh",)]
    return company


@pytest.mark.long
def test_the_columns_are_those_of_the_reference(company: Company) -> None:
    silences = company.sql(
        "select account_id, days from intermediate.int_silences where has_ended and is_of_last_year"
    )
    names, number, own = dormancy.rhythms(*zip(*silences, strict=True))
    rhythms = {str(name): (n, gap) for name, n, gap in zip(names, number, own, strict=True)}
    company_gap = np.median([gap for n, gap in rhythms.values() if n >= dormancy.ENOUGH_GAPS])
    rows = company.sql(
        "select account_id, coalesce(segment, ''), repeat_active_days, active_span_days, age_days,"
        " days_silent, dormancy_limit_days, p_return_28d from marts.account_dormancy"
        " join marts.dim_accounts using (account_id) where days_silent is not null"
    )
    assert len(rows) > 85
    of_segment = {}
    for segment in SEGMENTS:
        its = [
            rhythms[name][1]
            for name, its_segment, *_ in rows
            if its_segment == segment and rhythms.get(name, (0,))[0] >= dormancy.ENOUGH_GAPS
        ]
        of_segment[segment] = np.median(its) if len(its) >= 10 else company_gap
    of_segment |= {"weekly": 9.5, "": 4.25}
    for name, segment, repeats, span, age, silent, limit, chance in rows:
        usual = dormancy.usual_gap(*rhythms.get(name, (0, 1)), of_segment[segment])
        gap = dormancy.blended_gap(usual, of_segment[segment])
        assert limit == int(dormancy.limits(1.7, gap)), name
        assert span + silent == age
        common = LIFETIMES.get(segment, LIFETIMES[""])
        assert chance == pytest.approx(float(p_return(common, repeats, span, age, 28)), abs=1e-12)


def test_a_week_of_holidays_alarms_where_it_is_none(company: Company) -> None:
    """Both were last active on Tuesday 28 April. Since then Japan had two working days."""
    assert company.sql(
        "select account_id, is_dormant, working_days_silent, dormancy_reason"
        " from marts.account_dormancy where account_id like 'office%' order by 1"
    ) == [
        ("office de", True, 5, "silent for 9 days; its limit is 7"),
        (
            "office jp",
            False,
            2,
            "silent for 9 days, but only 2 working days; its limit is 7, and 5 working days",
        ),
    ]


def test_working_days_are_those_of_the_calendar(company: Company) -> None:
    rows = company.sql(
        "select country_code, as_of_day, last_active_on, working_days_silent"
        " from marts.account_dormancy join marts.dim_accounts using (account_id)"
        " join intermediate.int_account_activity using (account_id)"
    )
    assert {country for country, *_ in rows} == set(COUNTRIES)
    # It still is Wednesday in New York.
    assert {(country, today) for country, today, *_ in rows} == {
        ("JP", TODAY),
        ("DE", TODAY),
        ("US", TODAY - timedelta(days=1)),
    }
    for country, today, last, row in rows:
        between = (last + timedelta(days=n) for n in range(1, (today - last).days))
        assert row == sum(is_business_day(day, country) for day in between)


def test_with_parameters_there_is_no_life_table(company: Company) -> None:
    assert company.sql("select count(*) from intermediate.int_return_chances") == [(0,)]


def test_a_run_of_an_earlier_day_knows_no_later_version(company: Company) -> None:
    company.see("2026-04-28 23:59", loaded_at=AS_OF)
    build_untested(company.settings, "account_dormancy", "dim_accounts", "feed_health")
    assert company.sql("select count(*) from staging.stg_score_version") == [(0,)]
    assert company.sql("select count(*) from staging.stg_segment_gaps") == [(0,)]
    limits = company.sql(
        "select account_id, dormancy_limit_days, gaps, coalesce(own_gap, 1), segment_gap"
        " from marts.account_dormancy join intermediate.int_account_activity using (account_id)"
        " join intermediate.int_segment_gaps using (segment)"
    )
    assert len(limits) > 60
    for account, limit, gaps, own, segment in limits:
        gap = dormancy.blended_gap(dormancy.usual_gap(gaps, own, segment), segment)
        assert limit == int(dormancy.limits(2.0, gap)), account

    # A life table takes the place of the parameters: the share that ended on each day to come.
    silences = company.sql(
        "select coalesce(segment, ''), has_ended, coalesce(days, as_of_day - active_on)"
        " from intermediate.int_silences join marts.dim_accounts using (account_id)"
        " where is_of_last_year"
    )
    rows = company.sql(
        "select segment, days, lasted, p_return_28d from intermediate.int_return_chances"
        " where days in (0, 1, 6, 20)"
    )
    assert {segment for segment, *_ in rows} == {*SEGMENTS, ""}
    for segment, days, lasted, chance in rows:
        its = [(ended, length) for name, ended, length in silences if segment in (name, "")]
        stays = 1.0
        for day in range(days + 1, days + 29):
            ended = sum(has_ended and length == day for has_ended, length in its)
            stays *= max(1 - ended / max(sum(length >= day for _, length in its), 1), 1e-9)
        assert lasted == sum(length >= days for _, length in its)
        assert chance == pytest.approx(1 - stays, abs=1e-9)
    chances = company.sql(
        "select account_dormancy.p_return_28d, int_return_chances.p_return_28d"
        " from marts.account_dormancy join marts.dim_accounts using (account_id)"
        " join intermediate.int_return_chances"
        " on coalesce(dim_accounts.segment, '') = int_return_chances.segment"
        " and days_silent = days"
        " where lasted >= 20"
    )
    assert chances
    assert all(ours == table for ours, table in chances)
