"""Past days that somebody asks for, and the moment of each one's run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from lifecycle.errors import InputError

DAY = timedelta(days=1)


def days_between(first: str, last: str) -> list[date]:
    """All days from the first to the last. Raises InputError."""
    begin, end = _day("from", first), _day("to", last)
    if end < begin:
        raise InputError(f"--to {end} is before --from {begin}")
    return [begin + timedelta(days=number) for number in range((end - begin).days + 1)]


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"--{option} {text!r} is not a day; write it like 2026-06-10") from None


def bounds_of(option: str, day: str, time_zone: str) -> tuple[datetime, datetime]:
    """When a day begins in a time zone, and when the next one does (UTC). Raises InputError."""
    zone, first = ZoneInfo(time_zone), _day(option, day)
    begin, end = (datetime.combine(date_, time(), zone) for date_ in (first, first + DAY))
    return begin.astimezone(UTC), end.astimezone(UTC)


def span(option: str, text: str) -> timedelta:
    """A span such as 12h or 3d. Raises InputError."""
    match = re.fullmatch(r"(\d{1,5})([hd])", text.strip())
    if match is None:
        raise InputError(f"--{option} {text!r} is not a span; write it like 12h or 3d")
    number = int(match[1])
    return timedelta(hours=number) if match[2] == "h" else timedelta(days=number)


def time_of_day(text: str) -> time:
    """A time such as 06:00. Raises InputError."""
    try:
        return datetime.strptime(text.strip(), "%H:%M").time()  # noqa: DTZ007 (a time alone)
    except ValueError:
        raise InputError(f"--at {text!r} is not a time of day; write it like 06:00") from None


def moments_of(days: Iterable[date], at: time, time_zone: str) -> list[datetime]:
    """The clock of each day's run (UTC), `at` a time of day in a time zone."""
    zone = ZoneInfo(time_zone)
    return [datetime.combine(day, at, zone).astimezone(UTC) for day in days]


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """The first and last day of each unbroken row of days, in order."""
    ordered = sorted(days)
    breaks = [number for number, (a, b) in enumerate(pairwise(ordered), 1) if b - a > DAY]
    bounds = zip([0, *breaks], [*breaks, len(ordered)], strict=True)
    return [(ordered[begin], ordered[end - 1]) for begin, end in bounds if end > begin]


def named(days: Sequence[date]) -> str:
    """The days as a person names them: `2026-06-01 to 2026-06-09, 2026-06-11`."""
    return ", ".join(
        f"{first}" if first == last else f"{first} to {last}" for first, last in spans(days)
    )
