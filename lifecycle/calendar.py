"""The time zones of countries, and the days on which nobody works there."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import holidays as public_holidays
from babel import Locale, UnknownLocaleError

WEEKEND = frozenset({5, 6})
"""Saturday and Sunday, as `date.weekday()` counts: where nobody knows better."""

MONTHS = range(1, 13)


def midnight(day: date, time_zone: str) -> datetime:
    """When a day begins in a time zone, as UTC."""
    return datetime.combine(day, time(), ZoneInfo(time_zone)).astimezone(UTC)


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    zones: dict[str, list[str]] = {}
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            zones.setdefault(code, []).append(zone)
    return {code: tuple(names) for code, names in zones.items()}


_NOBODY_LIVES = "Antarctica/Macquarie"
_CAPITALS = {
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "FM": "Pacific/Pohnpei",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
}
"""The zone by which a country's days are counted, where the list of zones begins with another."""


@cache
def zones_of_country(code: str | None) -> tuple[str, ...]:
    """The IANA zones of a country (ISO alpha-2) in which people live, that of most people first.

    Zones that keep the same time all year count as one: Germany has two names, one clock.
    """
    zones = [zone for zone in _zones().get(code or "", ()) if zone != _NOBODY_LIVES]
    first = _CAPITALS.get(code or "")
    by_clock: dict[tuple[timedelta | None, ...], str] = {}
    for zone in sorted(zones, key=lambda zone: zone != first):
        clock = (datetime(2026, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for month in MONTHS)
        by_clock.setdefault(tuple(clock), zone)
    return tuple(by_clock.values())


@cache
def country_of_zone(zone: str) -> str | None:
    """The country (ISO alpha-2) that an IANA zone belongs to; None where it is no country's."""
    return next((code for code, zones in _zones().items() if zone in zones), None)


@cache
def weekend_of(code: str | None) -> frozenset[int]:
    """The days on which people rest every week in a country, as `date.weekday()` counts.

    Where two lists of the world's weekends differ, all days of both: a working day is sure then.
    """
    if code is None:
        return WEEKEND
    rests: set[int] = set()
    with suppress(NotImplementedError):
        rests |= {int(day) for day in public_holidays.country_holidays(code).weekend}
    with suppress(UnknownLocaleError, ValueError):
        week = Locale.parse(f"und_{code}")
        span = (week.weekend_end - week.weekend_start) % 7
        rests |= {(week.weekend_start + day) % 7 for day in range(span + 1)}
    return frozenset(rests) or WEEKEND


@cache
def holidays_of(code: str | None, year: int) -> frozenset[date]:
    """The public holidays of a country (ISO alpha-2) in a year; empty where none are known."""
    if code is None:
        return frozenset()
    try:
        return frozenset(public_holidays.country_holidays(code, years=year))
    except NotImplementedError:  # nobody has listed them
        return frozenset()


def is_business_day(day: date, country: str | None) -> bool:
    """Whether people work on that day: neither weekend nor public holiday of the country."""
    return day.weekday() not in weekend_of(country) and day not in holidays_of(country, day.year)
