"""Clocks: the as-of of a run, the clock of deliveries, and the parsing of both. All in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from lifecycle.errors import ClockError, InputError
from lifecycle.ledger import account_history, runs
from lifecycle.ledger.store import Ledger
from lifecycle.settings import Settings, Source
from lifecycle.sources.demo_clock import DEMO_CLOCK

REPLAY_AFTER = timedelta(hours=24)
"""A run whose as-of is older than this is a replay of the past."""


def source_now(source: Source) -> datetime:
    """Return the present of a source. The clock of a synthetic source stands still."""
    return DEMO_CLOCK if source.is_synthetic else datetime.now(UTC)


def parse_as_of(text: str) -> datetime:
    """Parse a moment: a day, or a day and a time, with or without a zone.

    `2011-12-09 13:00 UTC`, `2011-06-01 10:00`, `2026-06-10T10:00+09:00`, `2026-06-10 10:00
    Asia/Tokyo`, `2026-06-10`. Without a zone it is UTC. Raises ClockError.
    """
    moment, _, zone = text.strip().rpartition(" ")
    try:
        if moment and zone.upper() in ("UTC", "Z", "GMT"):
            return _at(moment, ZoneInfo("UTC"))
        if moment and zone in available_timezones():
            return _at(moment, ZoneInfo(zone))
        return _at(text.strip(), ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        raise ClockError(
            f"as-of {text!r} is not a moment; write it like '2011-12-09 13:00 UTC', "
            "'2026-06-10T10:00+09:00' or '2026-06-10'"
        ) from None


def _at(text: str, zone: ZoneInfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def day_begins(settings: Settings, day: str, *, after: datetime) -> datetime:
    """When a day (2026-12-01) begins in the company's time zone, as UTC.

    Raises InputError for what is no day, or one that began before `after`.
    """
    zone = ZoneInfo(settings.company.time_zone)
    try:
        begins = datetime.combine(date.fromisoformat(day), datetime.min.time(), zone)
    except ValueError:
        raise InputError(f"{day!r} is not a day; write it as 2026-12-01") from None
    if begins <= after:
        raise InputError(f"{day} has begun already; it is {after.astimezone(zone):%Y-%m-%d %H:%M}")
    return begins.astimezone(UTC)


@dataclass(frozen=True)
class Delivered:
    """The clocks of a run that reads a dated delivery (UTC)."""

    as_of: datetime
    loaded_at: datetime
    """From when on the delivery is known."""


def delivered_on(settings: Settings, day: str, as_of: str | None = None) -> Delivered:
    """The clocks of a run for a delivery of a day: it is known from its as-of on, or from the end
    of that day where the as-of is later.

    Without an as-of it is the last second of that day, or now. Raises InputError for what is no
    day, a day to come, an as-of before the day, and for the demo company, which has no deliveries.
    """
    if settings.source.is_synthetic:
        raise InputError("--delivered is for dated exports; the demo company takes --as-of alone")
    zone, now = ZoneInfo(settings.company.time_zone), datetime.now(UTC)
    try:
        date_of = date.fromisoformat(day.strip())
    except ValueError:
        raise InputError(f"--delivered {day!r} is not a day; write it as 2026-06-10") from None
    begins = datetime.combine(date_of, datetime.min.time(), zone).astimezone(UTC)
    ends = datetime.combine(date_of + timedelta(days=1), datetime.min.time(), zone)
    last = ends.astimezone(UTC) - timedelta(seconds=1)
    if begins > now:
        raise InputError(f"--delivered {date_of} is a day to come")
    moment = moment_of(settings, as_of) if as_of is not None else min(last, now)
    if moment < begins:
        raise InputError(
            f"--as-of {moment.astimezone(zone):%Y-%m-%d %H:%M} is before --delivered {date_of}: "
            "it would not see that delivery"
        )
    return Delivered(moment, min(moment, last))


def delivery_clock(settings: Settings, ledger: Ledger, as_of: str | None = None) -> datetime:
    """The clock of deliveries: `as_of` where given, else as follows.

    In a state folder that replays the past (the demo company, a replay) the clock stands at the
    last run's as-of: by the wall clock all its mails would be too late. Otherwise it is now.
    """
    if as_of is not None:
        return parse_as_of(as_of)
    now = datetime.now(UTC)
    last = account_history.last_runs(ledger, 1)
    if not last:
        return now
    replays = last[0].started_at - last[0].as_of > REPLAY_AFTER
    stands = replays or settings.source.is_synthetic
    return (runs.newest_decision(ledger) or now) if stands else now


def moment_of(settings: Settings, as_of: str | None = None) -> datetime:
    """Return the as-of of a run in UTC: the given one, or the source's present.

    Raises ClockError for a text that is no moment, or lies in the future of a real source.
    """
    if as_of is None:
        return source_now(settings.source)
    moment = parse_as_of(as_of)
    if moment > datetime.now(UTC) and not settings.source.is_synthetic:
        # The ledger could never go back from there: a typing error would block all later runs.
        raise ClockError(f"as-of {moment:%Y-%m-%d %H:%M} UTC is in the future")
    return moment
