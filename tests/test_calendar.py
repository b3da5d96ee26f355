"""Time zones and weeks of countries."""

from __future__ import annotations

from datetime import date

import pytest

from lifecycle.calendar import country_of_zone, is_business_day, weekend_of, zones_of_country

MON, FRI, SAT, SUN = 0, 4, 5, 6


def test_zones_that_keep_one_time_count_as_one() -> None:
    assert zones_of_country("DE") == ("Europe/Berlin",)
    assert zones_of_country("AR") == ("America/Argentina/Buenos_Aires",)
    assert zones_of_country("ES") == ("Europe/Madrid", "Atlantic/Canary")
    assert zones_of_country("CN") == ("Asia/Shanghai", "Asia/Urumqi")


def test_the_capital_s_zone_comes_first_and_none_without_people() -> None:
    assert zones_of_country("RU")[0] == "Europe/Moscow"
    assert zones_of_country("AU")[0] == "Australia/Sydney"
    assert "Antarctica/Macquarie" not in zones_of_country("AU")
    assert {"America/New_York", "Pacific/Honolulu"} <= set(zones_of_country("US"))
    assert zones_of_country(None) == zones_of_country("BV") == ()


@pytest.mark.parametrize(
    ("code", "rest"),
    [
        *(("SA", {FRI, SAT}), ("EG", {FRI, SAT}), ("IL", {FRI, SAT}), ("BD", {FRI, SAT, SUN})),
        *(("JP", {SAT, SUN}), ("US", {SAT, SUN}), ("AE", {SAT, SUN}), ("HK", {SAT, SUN})),
        *(("IR", {FRI}), (None, {SAT, SUN}), ("AQ", {SAT, SUN})),
    ],
)
def test_the_week_is_the_country_s(code: str | None, rest: set[int]) -> None:
    assert weekend_of(code) == rest


def test_a_sunday_is_a_business_day_in_riyadh_and_a_friday_is_none() -> None:
    friday, sunday = date(2026, 6, 12), date(2026, 6, 14)
    assert [is_business_day(friday, code) for code in ("SA", "JP", None)] == [False, True, True]
    assert [is_business_day(sunday, code) for code in ("SA", "JP", None)] == [True, False, False]


def test_a_zone_tells_its_country() -> None:
    assert country_of_zone("Asia/Riyadh") == "SA"
    assert country_of_zone("UTC") is None
