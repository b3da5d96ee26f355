"""Countries, their time zones, and the days on which nobody works there."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import holidays as public_holidays
import pycountry

WEEKEND = frozenset({5, 6})
"""Saturday and Sunday, as `date.weekday()` counts."""

MONTHS = range(1, 13)


def midnight(day: date, time_zone: str) -> datetime:
    """When a day begins in a time zone, as UTC."""
    return datetime.combine(day, time(), ZoneInfo(time_zone)).astimezone(UTC)


@cache
def country_code(name: str | None) -> str | None:
    """The ISO 3166 alpha-2 code of a country written as a code or a name, or None.

    CRM exports hold "JP", "Japan", "United Kingdom" or "USA"; an unknown spelling has no code.
    """
    if not name or not name.strip():
        return None
    try:
        return str(pycountry.countries.lookup(name.strip()).alpha_2)
    except LookupError:
        return {"UK": "GB", "EIRE": "IE", "RSA": "ZA", "SOUTH KOREA": "KR"}.get(
            name.strip().upper()
        )


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    zones: dict[str, list[str]] = {}
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            zones.setdefault(code, []).append(zone)
    return {code: tuple(names) for code, names in zones.items()}


@cache
def zone_of_country(code: str | None) -> str | None:
    """The IANA zone of a country (ISO alpha-2) that has just one, else None.

    Zones that keep the same time all year count as one: Germany has two names, one clock.
    """
    zones = _zones().get(code or "", ())
    clocks = {
        tuple(datetime(2026, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for month in MONTHS)
        for zone in zones
    }
    return zones[0] if len(clocks) == 1 else None


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
    return day.weekday() not in WEEKEND and day not in holidays_of(country, day.year)
