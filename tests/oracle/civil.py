"""Days, hours and windows as docs/triggers.md has them, written without a look at the planner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

ONE_DAY = timedelta(days=1)
WORKING_WEEK = frozenset(range(5))


@dataclass(frozen=True)
class Place:
    """Where an account is, as a run knows it."""

    zone: str
    country: str

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.zone))

    def day(self, moment: datetime) -> date:
        return self.local(moment).date()

    def moment(self, day: date, clock: time) -> datetime:
        """When a clock there shows that; what a clock change skips is the first minute after it."""
        wall = datetime.combine(day, clock.replace(fold=0))
        zone = ZoneInfo(self.zone)
        while not _exists(wall, zone):
            wall = wall.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return wall.replace(tzinfo=zone).astimezone(UTC)


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    there = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there.replace(tzinfo=None, fold=0) == wall


@cache
def holidays_in(country: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, years=year))


@dataclass(frozen=True)
class Window:
    """`send_window`: days as `date.weekday()` counts them, hours, and whose holidays."""

    days: frozenset[int]
    from_: time
    to: time
    holidays: str = "account"

    def is_holiday(self, day: date, place: Place) -> bool:
        if self.holidays == "none":
            return False
        country = place.country if self.holidays == "account" else self.holidays
        return day in holidays_in(country, day.year)

    def opens_on(self, day: date, place: Place) -> bool:
        return day.weekday() in self.days and not self.is_holiday(day, place)

    def is_business_day(self, day: date, place: Place) -> bool:
        return day.weekday() in WORKING_WEEK and not self.is_holiday(day, place)

    def is_open(self, moment: datetime, place: Place) -> bool:
        there = place.local(moment)
        return self.opens_on(there.date(), place) and self.from_ <= there.time() < self.to

    def open_days(self, first: date, place: Place) -> Iterator[date]:
        """The days from `first` on, itself included, on which the window opens."""
        return (
            day
            for day in (first + ahead * ONE_DAY for ahead in range(400))
            if self.opens_on(day, place)
        )

    def opens(self, day: date, place: Place) -> datetime:
        return place.moment(day, self.from_)

    def closes(self, day: date, place: Place) -> datetime:
        return place.moment(day, self.to)

    def next_open(self, moment: datetime, place: Place) -> datetime:
        """The first moment from this one on at which the window is open."""
        for day in self.open_days(place.day(moment), place):
            if moment < self.closes(day, place):
                return max(moment, self.opens(day, place))
        raise AssertionError("the window never opens")


@dataclass(frozen=True)
class Pace:
    """How the mails that waited for a window leave: over how long, with what deliveries."""

    spread: timedelta
    every: timedelta

    def leaves(
        self,
        waits_from: datetime,
        window: Window,
        place: Place,
        share: float,
        until: datetime | None,
    ) -> datetime:
        """At once while the window is open, else at the account's own moment after it opens."""
        opens = window.next_open(waits_from, place)
        if opens <= waits_from:
            return opens
        closes = window.closes(place.day(opens), place)
        last = min(closes, until or closes) - self.every
        room = max(min(self.spread, last - opens), timedelta())
        return opens + timedelta(seconds=int(room.total_seconds() * share))


@dataclass(frozen=True)
class Span:
    """`after` of a step, `late.after`: so many hours, days or business days."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def business_days_later(day: date, count: int, window: Window, place: Place) -> date:
    while count:
        day += ONE_DAY
        count -= window.is_business_day(day, place)
    return day


def later(moment: datetime, span: Span, window: Window, place: Place) -> datetime:
    """`span` after a moment: days on the calendar at that hour, hours by the clock."""
    if not span.count:
        return moment
    if span.unit == "h":
        return moment + timedelta(hours=span.count)
    there = place.local(moment)
    if span.unit == "d":
        day = there.date() + span.count * ONE_DAY
    else:
        day = business_days_later(there.date(), span.count, window, place)
    return place.moment(day, there.time())


def distant(
    entered: datetime,
    left: datetime,
    could_leave: datetime,
    before: Span,
    span: Span,
    window: Window,
    place: Place,
) -> datetime:
    """The difference of two `after`s, counted from the departure of the mail before."""
    dues = [later(entered, each, window, place) for each in (before, span)]
    if "h" in {each.unit for each in (before, span) if each.count}:
        return left + (dues[1] - dues[0])
    left_on = place.day(left)
    if before.unit == span.unit or not before.count:
        count = span.count - before.count
        day = (
            left_on + count * ONE_DAY
            if span.unit == "d"
            else business_days_later(left_on, count, window, place)
        )
    else:
        day = left_on + (place.day(dues[1]) - place.day(dues[0]))
    hour = min(place.local(moment).time() for moment in (entered, left, could_leave))
    return max(left, place.moment(day, hour))


def too_late(first: datetime, span: Span, window: Window, place: Place) -> datetime:
    """From when a mail that could have left at `first` may not leave any more."""
    if span.unit == "h":
        return first + timedelta(hours=span.count)
    there = place.local(first)
    open_days = window.open_days(there.date() + ONE_DAY, place)
    for _ in range(span.count):
        day = next(open_days)
    return place.moment(day, there.time())
