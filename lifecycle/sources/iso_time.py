"""Times as people and programs write them: ISO 8601 in all its forms, and what only looks like one.

SQL reads the usual forms; what is left is read here, each distinct value once.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

PLAIN = (
    r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
    r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?)?"
)
"""What DuckDB reads by itself."""

_DATE = (
    r"(?:(?P<y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})"
    r"|(?P<wy>\d{4})-?W(?P<w>\d{2})-?(?P<wd>[1-7])"
    r"|(?P<oy>\d{4})-?(?P<o>\d{3}))"
)
_CLOCK = r"(?P<hour>\d{1,2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?)?(?:[.,](?P<part>\d+))?"
_ZONE = r"(?P<zone>Z|UTC|GMT|[+\u2212-]\d{2}(?::?\d{2})?)?(?:\[(?P<named>[A-Za-z0-9_+/-]+)\])?"
_TIME = re.compile(rf"{_DATE}(?:(?:T|\s+){_CLOCK}\s*{_ZONE})?", re.IGNORECASE | re.ASCII)

_FIRST_YEAR, _LAST_YEAR = 1990, 2100
"""Between them a number is taken for an epoch time, and named."""
_EPOCHS = ((1, "seconds"), (10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds"))


def read_time(text: str) -> tuple[str | None, str | None]:
    """Return the time in a form that SQL reads, or what a value looks like that is none.

    A time keeps its offset; one without stays without, and a bare day stays one.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    if hint := _looks_like(plain):
        return None, hint
    match = _TIME.fullmatch(plain)
    if match is None:
        return None, None
    try:
        return _canonical(match), None
    except (ValueError, OverflowError):
        return None, None


def _canonical(match: re.Match[str]) -> str | None:
    day = _day(match)
    if match["hour"] is None:
        return day.isoformat()
    moment = datetime.combine(day, datetime.min.time()) + _clock(match)
    name = match["named"]
    if name and not match["zone"]:
        if name not in available_timezones():
            return None
        moment = moment.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S.%f}+00:00"
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}{_offset(match['zone'])}"


def _day(match: re.Match[str]) -> date:
    if match["y"]:
        return date(int(match["y"]), int(match["m"]), int(match["d"]))
    if match["wy"]:
        return date.fromisocalendar(int(match["wy"]), int(match["w"]), int(match["wd"]))
    first = date(int(match["oy"]), 1, 1)
    day = first + timedelta(days=int(match["o"]) - 1)
    if day.year != first.year:
        raise ValueError(f"{first.year} has no day {match['o']}")
    return day


def _clock(match: re.Match[str]) -> timedelta:
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    unit = timedelta(hours=1) if match["minute"] is None else timedelta(minutes=1)
    unit = timedelta(seconds=1) if match["second"] is not None else unit
    part = unit * float(f"0.{match['part'] or 0}")
    span = timedelta(hours=hour, minutes=minute, seconds=second) + part
    # 24:00 ends a day, and a leap second ends a minute.
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and span > timedelta(days=1)):
        raise ValueError(f"{match[0]} is no time of a day")
    return span


def _offset(zone: str | None) -> str:
    if zone is None:
        return ""
    if zone.upper() in ("Z", "UTC", "GMT"):
        return "+00:00"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError(f"{zone} is no offset")
    return f"{'+' if zone[0] == '+' else '-'}{hours:02}:{minutes:02}"


def _looks_like(text: str) -> str | None:
    """What a bare number looks like: guessing in silence would be wrong sooner or later."""
    if not re.fullmatch(r"\d{5}(\.\d+)?|\d{9,19}(\.\d+)?", text):
        return None
    number = float(text)
    if number < 10**5:
        day = date(1899, 12, 30) + timedelta(days=int(number))
        if _FIRST_YEAR <= day.year < _LAST_YEAR:
            return f"looks like a spreadsheet's number of a day: {day}; export it as a date"
        return None
    for scale, unit in _EPOCHS:
        seconds = number / scale
        moment = datetime.fromtimestamp(seconds, UTC) if seconds < 10**10 else None
        if moment and _FIRST_YEAR <= moment.year < _LAST_YEAR:
            shown = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
            return f"looks like epoch {unit}: {shown}; export it as an ISO 8601 time"
    return None
