"""When a mail may go: delays and send windows in an account's own local time. Pure.

Every moment that goes in or comes out is an aware datetime; what comes out is UTC. A local
time that a clock change skips becomes the first moment after the gap, and one that happens
twice is its first occurrence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import pycountry
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from lifecycle.calendar import WEEKEND, holidays_of, weekend_of
from lifecycle.errors import did_you_mean

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Zones = str | Sequence[str]
"""An IANA zone, or all those in one of which people are: nobody knows in which."""

WORKING_DAYS = frozenset(range(5))

HORIZON_DAYS = 366
"""A window that stays closed for this long never opens."""
COMMON_HORIZON_DAYS = 60
"""Zones whose windows are not open at one moment for this long never are."""

LONGEST_DELAY = {"h": 8784, "d": 3660, "bd": 2610}
"""About ten years of days: beyond it is a slip of the pen. (Hours: one year.)"""

NOMINAL_HOURS = {"h": 1.0, "d": 24.0, "bd": 24.0 * 7 / 5}


def first_moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) at which a clock in the zone shows that day and time, or later."""
    wall = datetime.combine(day, clock.replace(fold=0))
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # Skipped by a clock change, which lies between the two readings of the wall clock.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    old_offset = before.astimezone(zone).utcoffset()
    while moment - before > timedelta(seconds=1):
        middle = before + (moment - before) // 2
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            moment = middle
    return moment.replace(microsecond=0)


@dataclass(frozen=True)
class Delay:
    """A length of time as a trigger writes it: `6h`, `3d` or `5bd`."""

    count: int
    unit: Literal["h", "d", "bd"]

    @classmethod
    def parse(cls, text: object) -> Delay:
        """Read `6h`, `3d` or `5bd`. Raises ValueError that says how to write it."""
        match = re.fullmatch(r"(\d{1,6}) ?(h|d|bd)", str(text).strip())
        if match is None:
            raise ValueError(
                f"{text!r} is not a delay; write hours, days or business days as 6h, 3d or 5bd"
            )
        count, unit = int(match[1]), match[2]
        if count > LONGEST_DELAY[unit]:
            raise ValueError(f"{text!r} is too long; at most {LONGEST_DELAY[unit]}{unit}")
        return cls(count, unit)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def nominal(self) -> timedelta:
        """Its usual length, by which delays are put in order: five business days are a week."""
        return timedelta(hours=self.count * NOMINAL_HOURS[self.unit])

    def add_to(
        self, start: datetime, zone: str, country: str | None, window: SendWindow | None = None
    ) -> datetime:
        """The moment (UTC) that is this much after `start`, for an account in an IANA zone.

        `h` counts elapsed hours. `d` is the same local time that many calendar days later.
        `bd` is the same local time on the nth business day after the local day of `start`,
        which itself never counts: from a Friday as from a Sunday, 1bd is the next working
        Monday. `window` says whose holidays are no business days. `0d` and `0bd` are `start`
        itself.
        """
        if self.count == 0 or self.unit == "h":
            return start.astimezone(UTC) + timedelta(hours=self.count)
        local = start.astimezone(ZoneInfo(zone))
        day = self.day(local.date(), country, window or SendWindow())
        return first_moment(day, local.time(), ZoneInfo(zone))

    def day(self, start: date, country: str | None, window: SendWindow) -> date:
        """The day that is so many days, or business days, after another one."""
        if self.unit == "d":
            return start + timedelta(days=self.count)
        day = start
        for _ in range(self.count):
            day += timedelta(days=1)
            while not window.is_business_day(day, country):
                day += timedelta(days=1)
        return day


Days = Annotated[
    frozenset[int],
    BeforeValidator(lambda value: parse_days(value)),
    WithJsonSchema(
        {
            "description": "mon-fri, or a list of days",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"enum": list(WEEKDAYS)}, "minItems": 1},
            ],
        }
    ),
]
Opening = Annotated[
    time,
    BeforeValidator(lambda value: parse_clock(value, end_of_day=False)),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d?:\d\d$"}),
]
Closing = Annotated[
    time,
    BeforeValidator(lambda value: parse_clock(value, end_of_day=True)),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d?:\d\d$"}),
]


class SendWindow(BaseModel):
    """The local hours at which mail may go: from `from` until just before `to`.

    `mon-fri` is the working week of the account's country: Sunday to Thursday in Riyadh. Other
    days are those that are written, less the country's days of rest where none of them is a
    Saturday or Sunday.

    A `to` of 24:00, kept as 00:00, is the end of the day. `holidays` is whose public holidays
    keep the window shut: `account` (those of the account's country), `none`, or those of one
    ISO 3166 country.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Days = Field(frozenset(range(5)), json_schema_extra={"default": "mon-fri"})
    from_: Opening = Field(time(9), alias="from", json_schema_extra={"default": "09:00"})
    to: Closing = Field(time(17), json_schema_extra={"default": "17:00"})
    holidays: Annotated[str, BeforeValidator(lambda value: parse_holidays(value))] = "account"

    _known_hours: dict[tuple[date, str, str | None], tuple[datetime, datetime] | None] = (
        PrivateAttr(default_factory=dict)
    )

    @classmethod
    def always(cls) -> Self:
        """A window that is never shut."""
        return cls(days=frozenset(range(7)), **{"from": time(), "to": time()}, holidays="none")

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if time.min < self.to <= self.from_:
            raise ValueError(
                f"from {self.from_:%H:%M} is not before to {self.to:%H:%M};"
                " a window over midnight is not supported"
            )
        return self

    def __str__(self) -> str:
        days = ", ".join(WEEKDAYS[day] for day in sorted(self.days))
        to = "24:00" if self.to == time.min else f"{self.to:%H:%M}"
        return f"{days} {self.from_:%H:%M}-{to}, holidays: {self.holidays}"

    @property
    def minutes(self) -> int:
        """For how long it is open on a day."""
        opens, closes = (clock.hour * 60 + clock.minute for clock in (self.from_, self.to))
        return (closes or 24 * 60) - opens

    def is_holiday(self, day: date, country: str | None) -> bool:
        """Whether that day is a holiday for this window; `country` is the account's (ISO).

        Of an account without a country no holiday is known.
        """
        if self.holidays == "none":
            return False
        code = country if self.holidays == "account" else self.holidays
        return day in holidays_of(code, day.year)

    def is_business_day(self, day: date, country: str | None) -> bool:
        """Whether people work on that day: neither weekend nor holiday as this window has them."""
        return day.weekday() not in weekend_of(country) and not self.is_holiday(day, country)

    def open_days_later(
        self, moment: datetime, count: int, zone: str, country: str | None
    ) -> datetime | None:
        """The same local time (UTC) on the nth day after a moment's on which the window opens.

        None if it stays shut for a year.
        """
        here = ZoneInfo(zone)
        local = moment.astimezone(here)
        day, shut = local.date(), 0
        while count:
            day += timedelta(days=1)
            if self._hours(day, here, country) is not None:
                count, shut = count - 1, 0
            elif (shut := shut + 1) > HORIZON_DAYS:
                return None
        return first_moment(day, local.time(), here)

    def opens_on(self, day: date, country: str | None) -> bool:
        """Whether that day of the week is one of the window's in an ISO country."""
        weekday = day.weekday()
        if self.days == WORKING_DAYS:
            return weekday not in weekend_of(country)
        return weekday in self.days and (
            bool(self.days & WEEKEND) or weekday not in weekend_of(country)
        )

    def is_open(self, moment: datetime, zone: Zones, country: str | None) -> bool:
        """Whether mail may go at that moment to an account in an ISO country and an IANA zone, or
        in all of several."""
        return self.closes(moment, zone, country) is not None

    def closes(self, moment: datetime, zone: Zones, country: str | None) -> datetime | None:
        """When (UTC) the window shuts that is open at that moment; None if it is shut.

        Of several zones, when it shuts in the first of them.
        """
        if not isinstance(zone, str):
            ends = [self.closes(moment, each, country) for each in zone]
            return min((end for end in ends if end), default=None) if all(ends) else None
        hours = self._hours(moment.astimezone(ZoneInfo(zone)).date(), ZoneInfo(zone), country)
        return hours[1] if hours is not None and hours[0] <= moment < hours[1] else None

    def next_open(self, moment: datetime, zone: Zones, country: str | None) -> datetime | None:
        """The first moment (UTC) from `moment` on at which the window is open, in all zones.

        None if it stays shut for a year, or is not open in all of several zones for two months.
        """
        if not isinstance(zone, str):
            return _next_common(self, moment.astimezone(UTC), tuple(zone), country)
        today = moment.astimezone(ZoneInfo(zone)).date()
        for ahead in range(HORIZON_DAYS + 1):
            hours = self._hours(today + timedelta(days=ahead), ZoneInfo(zone), country)
            if hours is not None and moment < hours[1]:
                return max(moment.astimezone(UTC), hours[0])
        return None

    def _hours(
        self, day: date, zone: ZoneInfo, country: str | None
    ) -> tuple[datetime, datetime] | None:
        """From when (UTC) until just before when the window is open on a local day.

        Thousands of accounts ask for the same days: each is worked out once.
        """
        key = day, zone.key, country
        if key not in self._known_hours:
            self._known_hours[key] = self._work_out_hours(day, zone, country)
        return self._known_hours[key]

    def _work_out_hours(
        self, day: date, zone: ZoneInfo, country: str | None
    ) -> tuple[datetime, datetime] | None:
        if not self.opens_on(day, country) or self.is_holiday(day, country):
            return None
        last = day + timedelta(days=1) if self.to == time.min else day
        opens, closes = first_moment(day, self.from_, zone), first_moment(last, self.to, zone)
        return (opens, closes) if opens < closes else None


@lru_cache(maxsize=10_000)
def _next_common(
    window: SendWindow, moment: datetime, zones: tuple[str, ...], country: str | None
) -> datetime | None:
    """The first moment (UTC) from `moment` on at which the window is open in all zones."""
    until = moment + timedelta(days=COMMON_HORIZON_DAYS)
    while moment <= until:
        opens = [window.next_open(moment, zone, country) for zone in zones]
        known = [each for each in opens if each is not None]
        if not known or len(known) < len(opens):
            return None
        if (latest := max(known)) == moment:
            return moment
        moment = latest
    return None


def parse_days(value: Any) -> frozenset[int]:
    """Read `mon-fri`, `tue` or `[mon, wed, fri]` as `date.weekday()` numbers."""
    if isinstance(value, frozenset):
        return value
    parts = value if isinstance(value, list) else str(value).split(",")
    if not parts:
        raise ValueError("names no day, so the window never opens")
    days: set[int] = set()
    for part in parts:
        first, _, last = str(part).strip().lower().partition("-")
        start, end = _weekday(first), _weekday(last or first)
        days.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(days)


def _weekday(word: str) -> int:
    if word.strip() not in WEEKDAYS:
        raise ValueError(f"{word!r} is not a day; write {', '.join(WEEKDAYS)}, or mon-fri")
    return WEEKDAYS.index(word.strip())


def parse_clock(value: Any, *, end_of_day: bool) -> time:
    """Read `"09:00"`; `"24:00"` where a day may end."""
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", str(value).strip())
    if match is None:
        raise ValueError(f'{value!r} is not a time of day; write it as "09:00"')
    hour, minute = int(match[1]), int(match[2])
    if (hour, minute) == (24, 0) and end_of_day:
        return time.min
    if hour > 23 or minute > 59:
        raise ValueError(f"{value!r} is not a time of day")
    if (hour, minute) == (0, 0) and end_of_day:
        raise ValueError('write the end of the day as "24:00"')
    return time(hour, minute)


def parse_holidays(value: Any) -> str:
    """Read `account`, `none` or an ISO 3166 country code."""
    word = str(value).strip()
    if word in ("account", "none"):
        return word
    if pycountry.countries.get(alpha_2=word) is None:
        hint = did_you_mean(word, ("account", "none"))
        raise ValueError(
            f"{value!r} is neither account nor none nor a country code such as JP"
            + (f"; {hint}" if hint else "")
        )
    return word
