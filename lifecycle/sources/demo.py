"""The demo company's customers: invented, the same every time, and still going on.

Every fact is drawn from a hash of what it is about (account, day, ordinal), never from a
running generator. So a later clock continues the same story, and an earlier one cuts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.calendar import is_business_day
from lifecycle.duckdb_connection import connect
from lifecycle.sources import demo_words as words
from lifecycle.sources.contract import TABLES, Kind, Table

FIRST_DAY = date(2024, 6, 10)
"""Usage is on record from here."""

_EARLY_ACCOUNTS = 50
"""They sign one a day, when the product is new; later ones come more slowly."""

_DAYS_BETWEEN_SIGNUPS = 2.7

_T = TypeVar("_T")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Course(StrEnum):
    """How an account's story goes."""

    THRIVING = "thriving"
    STEADY = "steady"
    LIGHT = "light"
    PAUSING = "pausing"
    """Silent for five weeks now and then, and back."""
    FALLING_SILENT = "falling_silent"
    STALLED = "stalled"
    """Logs in, but never gets to the first outcome."""
    NEVER_LOGGED_IN = "never_logged_in"
    CHURNING = "churning"


_COURSES = {
    Course.THRIVING: 0.26,
    Course.STEADY: 0.23,
    Course.LIGHT: 0.11,
    Course.PAUSING: 0.05,
    Course.FALLING_SILENT: 0.12,
    Course.STALLED: 0.13,
    Course.NEVER_LOGGED_IN: 0.04,
    Course.CHURNING: 0.06,
}
_INTENSITY = {
    Course.THRIVING: 1.6,
    Course.STEADY: 1.0,
    Course.LIGHT: 0.35,
    Course.PAUSING: 0.9,
    Course.FALLING_SILENT: 0.8,
    Course.STALLED: 0.5,
    Course.NEVER_LOGGED_IN: 0.0,
    Course.CHURNING: 0.7,
}
_SATISFACTION = {
    Course.THRIVING: 8.8,
    Course.STEADY: 7.8,
    Course.LIGHT: 6.8,
    Course.PAUSING: 7.2,
    Course.FALLING_SILENT: 5.6,
    Course.STALLED: 5.0,
    Course.CHURNING: 3.8,
}
_COUNTRIES = {
    "JP": (0.60, ("Asia/Tokyo",)),
    "US": (0.12, ("America/New_York", "America/Chicago", "America/Los_Angeles")),
    "GB": (0.08, ("Europe/London",)),
    "DE": (0.06, ("Europe/Berlin",)),
    "FR": (0.05, ("Europe/Paris",)),
    "SG": (0.05, ("Asia/Singapore",)),
    "AU": (0.04, ("Australia/Sydney", "Australia/Perth")),
}
_SEGMENTS = {"smb": 0.58, "mid_market": 0.30, "enterprise": 0.12}
_TOUCH = {"smb": "tech", "mid_market": "low", "enterprise": "high"}
_PLANS = {"smb": ("starter", 30), "mid_market": ("team", 28), "enterprise": ("business", 24)}
_SEATS = {"smb": (4, 14), "mid_market": (15, 45), "enterprise": (50, 140)}
_EVENTS_A_DAY = {"smb": 1.5, "mid_market": 3.4, "enterprise": 7.0}

_EVENTS = {  # event: its feature, its share of what follows a login
    "project_created": ("projects", 0.08),
    "data_imported": ("import", 0.07),
    "report_created": ("reports", 0.21),
    "dashboard_viewed": ("dashboards", 0.42),
    "comment_added": ("comments", 0.09),
    "report_shared": ("sharing", 0.13),
}
_EVENT_NAMES = ("logged_in", *_EVENTS)
_FEATURES = ("login", *(feature for feature, _ in _EVENTS.values()))


def write(folder: Path, *, until: datetime) -> Path:
    """Write the company's four tables into `folder` as Parquet: all that was known at `until`."""
    folder.mkdir(parents=True, exist_ok=True)
    accounts = _accounts(until)
    contacts = [contact for account in accounts for contact in _contacts(account, until)]
    surveys = [survey for account in accounts for survey in _surveys(account, until)]
    rows = {
        "accounts": [account.row(until) for account in accounts],
        "contacts": contacts,
        "survey_responses": surveys,
    }
    for name, table in TABLES.items():
        if name in rows:
            _write_table(folder / f"{name}.parquet", rows[name], table)
    _write_events(folder / "usage_events.parquet", accounts, until)
    return folder


# Chance. --------------------------------------------------------------------------------


def _mix(*parts: int | Ints) -> Floats:
    """Numbers from 0 to 1 that depend on nothing but `parts` (splitmix64)."""
    state: Any = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for part in parts:
            z = np.asarray(part).astype(np.uint64) + state * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = z ^ (z >> np.uint64(31))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) / 2.0**53)


def _chance(*parts: int) -> float:
    return float(_mix(*parts))


def _pick(shares: Mapping[_T, float], *parts: int) -> _T:
    """One of the options, each as likely as its share."""
    point, options = _chance(*parts), list(shares)
    for option in options:
        point -= shares[option]
        if point < 0:
            return option
    return options[-1]


def _between(low: float, high: float, *parts: int) -> float:
    return low + (high - low) * _chance(*parts)


# Accounts. ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Account:
    number: int
    created_on: date

    @property
    def account_id(self) -> str:
        return f"A{self.number:04d}"

    @cached_property
    def course(self) -> Course:
        return _pick(_COURSES, self.number, 1)

    @cached_property
    def country(self) -> str:
        return _pick({code: share for code, (share, _) in _COUNTRIES.items()}, self.number, 2)

    @cached_property
    def zone(self) -> str:
        zones = _COUNTRIES[self.country][1]
        return zones[int(_between(0, len(zones), self.number, 3))]

    @cached_property
    def segment(self) -> str:
        return _pick(_SEGMENTS, self.number, 4)

    @cached_property
    def seats(self) -> int:
        return round(_between(*_SEATS[self.segment], self.number, 5))

    @cached_property
    def locale(self) -> str:
        return "ja" if self.country == "JP" else "en"

    @cached_property
    def live_on(self) -> date:
        """Purchase to go-live takes one to three weeks."""
        return self.created_on + timedelta(days=round(_between(6, 21, self.number, 6)))

    @cached_property
    def first_outcome_on(self) -> date:
        slow = self.course in (Course.LIGHT, Course.FALLING_SILENT, Course.CHURNING)
        return self.live_on + timedelta(days=round(_between(5, 50 if slow else 28, self.number, 7)))

    @cached_property
    def silent_from(self) -> date | None:
        """From this day on nobody logs in any more."""
        match self.course:
            case Course.FALLING_SILENT:
                days = _between(50, 620, self.number, 8)
            case Course.STALLED:
                days = _between(20, 75, self.number, 8)
            case Course.CHURNING:
                days = 365 - _between(30, 110, self.number, 8)
            case _:
                return None
        return self.live_on + timedelta(days=round(days))

    @cached_property
    def churns_on(self) -> date | None:
        """Who leaves does so when the first year ends."""
        return self.live_on + timedelta(days=365) if self.course is Course.CHURNING else None

    def renews_after(self, day: date) -> date:
        years = max(1, (day - self.live_on).days // 365 + 1)
        return self.live_on + timedelta(days=365 * years)

    def at(self, day: date | None, hour: float, until: datetime) -> datetime | None:
        """A local hour of a day in UTC, or None while it lies ahead."""
        if day is None:
            return None
        local = datetime.combine(day, time(), ZoneInfo(self.zone)) + timedelta(hours=hour)
        moment = local.astimezone(UTC).replace(microsecond=0)
        return moment if moment <= until else None

    def row(self, until: datetime) -> dict[str, Any]:
        plan, price = _PLANS[self.segment]
        owner = words.owner(self.country, self.number)
        purpose, background = words.karte(self.locale, self.number)
        churned_at = self.at(self.churns_on, 0, until)
        renews_on = self.renews_after(until.date())
        return {
            "account_id": self.account_id,
            "name": words.company(self.country, self.number),
            "created_at": self.at(self.created_on, 11, until),
            "went_live_at": self.at(self.live_on, 9, until),
            "segment": self.segment,
            "plan": plan,
            "mrr": float(self.seats * price),
            "seats": self.seats,
            "touch_model": _TOUCH[self.segment],
            "country": self.country,
            "time_zone": None if _chance(self.number, 9) < 0.06 else self.zone,
            "locale": self.locale,
            "owner_name": owner.name,
            "owner_email": owner.email,
            "purpose": purpose,
            "background": background,
            "renewal_at": None
            if churned_at
            else datetime.combine(renews_on, time(), ZoneInfo(self.zone)).astimezone(UTC),
            "churned_at": churned_at,
        }


def _accounts(until: datetime) -> list[_Account]:
    accounts = []
    for number in range(1, 1_000_000):
        days = min(number, _EARLY_ACCOUNTS) - 5  # so that nobody is live before FIRST_DAY
        days += int(_DAYS_BETWEEN_SIGNUPS * max(0, number - _EARLY_ACCOUNTS))
        account = _Account(number, FIRST_DAY + timedelta(days=days))
        if account.at(account.created_on, 11, until) is None:
            if account.created_on > until.date():
                break
            continue
        accounts.append(account)
    return accounts


# Contacts and surveys. ------------------------------------------------------------------


def _contacts(account: _Account, until: datetime) -> list[dict[str, Any]]:
    count = {"smb": 2, "mid_market": 3, "enterprise": 4}[account.segment]
    count -= int(_chance(account.number, 20) < 0.4)
    contacts = []
    for place in range(count):
        facts = (account.number, 21, place)
        foreigner = account.locale == "ja" and place > 0 and _chance(*facts, 1) < 0.06
        person = words.person("en" if foreigner else account.country, account.number, place)
        basis = _pick({"contract": 0.62, "opt_in": 0.34, "": 0.04}, *facts, 2)
        consented = account.at(account.created_on, 12 + place, until) if basis else None
        leaves_on = account.live_on + timedelta(days=round(_between(20, 500, *facts, 3)))
        leaves = place > 0 and _chance(*facts, 4) < 0.08
        contacts.append(
            {
                "contact_id": f"{account.account_id}-C{place + 1}",
                "account_id": account.account_id,
                "email": f"{person.login}.{account.account_id.lower()}@example.com",
                "name": person.name,
                "role": ("admin", "owner", "user", "billing")[place],
                "locale": "en" if foreigner else None,
                "consent_basis": basis or None,
                "consented_at": consented,
                "unsubscribed_at": account.at(leaves_on, 15, until) if leaves else None,
            }
        )
    return contacts


def _surveys(account: _Account, until: datetime) -> list[dict[str, Any]]:
    """A quarterly question to the admin; who never logs in never answers."""
    if account.course not in _SATISFACTION:
        return []
    responses = []
    for quarter in range(1, 40):
        facts = (account.number, 30, quarter)
        day = account.live_on + timedelta(days=round(91 * quarter + _between(-8, 8, *facts, 1)))
        if day > until.date() or (account.churns_on and day >= account.churns_on):
            break
        at = account.at(day, 10 + _between(0, 7, *facts, 2), until)
        if day < FIRST_DAY or at is None or _chance(*facts, 3) > 0.62:
            continue
        mood = _SATISFACTION[account.course] + _between(-2, 2, *facts, 4)
        for part, feature in enumerate((None, "dashboards", "sharing")):
            if feature and _chance(*facts, 5, part) > 0.35:
                continue
            score = float(min(10, max(0, round(mood + _between(-1, 1, *facts, 6, part)))))
            responses.append(
                {
                    "response_id": f"{account.account_id}-S{quarter:02d}-{part}",
                    "account_id": account.account_id,
                    "responded_at": at,
                    "score": score,
                    "contact_id": f"{account.account_id}-C1",
                    "feature": feature,
                    "comment": words.comment(account.locale, score, account.number + quarter)
                    if feature is None
                    else None,
                }
            )
    return responses


# Usage. ---------------------------------------------------------------------------------


def _write_events(path: Path, accounts: Sequence[_Account], until: datetime) -> None:
    days = [
        FIRST_DAY + timedelta(days=n)
        for n in range(max(0, (until.date() - FIRST_DAY).days) + 2)  # the east is a day ahead
    ]
    rhythm = {code: _rhythm(code, days) for code in _COUNTRIES}
    offsets = {
        zone: np.array([_utc_midnight(day, zone) for day in days], dtype=np.int64)
        for _, zones in _COUNTRIES.values()
        for zone in zones
    }
    parts = [
        _usage(account, days, rhythm[account.country], offsets[account.zone])
        for account in accounts
    ]
    events = {
        name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0, np.int64)
        for name in ("account", "day", "nth", "occurred", "kind", "user")
    }
    table = pa.table(events)
    names = pa.table(
        {"kind": list(range(len(_EVENT_NAMES))), "event_name": _EVENT_NAMES, "feature": _FEATURES}
    )
    with connect() as db:
        db.register("events", table)
        db.register("names", names)
        db.execute("SET TimeZone = 'UTC'")
        db.execute(
            f"""COPY (
                SELECT printf('E%04d-%d-%d', account, day, nth) AS event_id,
                       printf('A%04d', account) AS account_id,
                       make_timestamp(occurred * 1000000) AS occurred_at,
                       event_name,
                       printf('A%04d-U%d', account, "user") AS user_id,
                       feature
                FROM events JOIN names USING (kind)
                WHERE occurred <= {int(until.timestamp())}
                ORDER BY occurred, account, day, nth
            ) TO '{str(path).replace("'", "''")}' (FORMAT parquet)"""
        )


def _rhythm(country: str, days: Sequence[date]) -> Floats:
    """How busy each day is: weekends and holidays are quiet, Fridays a little."""
    weekday = (1.02, 1.06, 1.05, 1.02, 0.88)
    return np.array(
        [weekday[day.weekday()] if is_business_day(day, country) else 0.03 for day in days]
    )


def _utc_midnight(day: date, zone: str) -> int:
    """Seconds since the epoch at the start of a day there."""
    return int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp())


def _usage(
    account: _Account, days: Sequence[date], rhythm: Floats, midnights: Ints
) -> dict[str, Ints]:
    """One element per event: account, day, ordinal on that day, second, kind, user."""
    index = np.arange(len(days))
    since_live = index - (account.live_on - FIRST_DAY).days
    wanted = _EVENTS_A_DAY[account.segment] * _INTENSITY[account.course] * rhythm
    wanted = wanted * (since_live >= 0) * np.clip(0.4 + since_live / 40, 0.4, 1)
    wanted *= 1 + 0.12 * np.sin(2 * np.pi * (index / 365.25 + _chance(account.number, 40)))
    if account.course is Course.THRIVING:
        wanted *= np.clip(0.9 + since_live / 1500, 0.9, 1.4)
    if account.course is Course.PAUSING:
        wanted *= (since_live + round(_between(0, 160, account.number, 41))) % 200 >= 36
    if account.silent_from:
        left = (account.silent_from - FIRST_DAY).days - index
        wanted *= np.clip(left / 21, 0, 1)  # it fades before it stops
    level = 0.5 + _chance(account.number, 42)
    noise = 0.6 + 0.8 * _mix(account.number, 43, index)
    counts = np.floor(wanted * level * noise + _mix(account.number, 44, index) * (wanted > 0))
    counts = counts.astype(np.int64)

    day = np.repeat(index, counts)
    nth = np.arange(len(day)) - np.repeat(np.cumsum(counts) - counts, counts)
    occurred = (
        midnights[day]
        + np.int64(8.7 * 3600)
        + np.floor(9.6 * 3600 * _mix(account.number, 45, day, nth)).astype(np.int64)
    )
    kind = 1 + np.searchsorted(
        np.cumsum([share for _, share in _EVENTS.values()]),
        _mix(account.number, 46, day, nth),
        side="right",
    ).clip(max=len(_EVENTS) - 1)
    shared = 1 + list(_EVENTS).index("report_shared")
    too_early = _days_before(account.first_outcome_on, day)
    kind = np.where((kind == shared) & too_early, 1 + list(_EVENTS).index("report_created"), kind)
    if account.course is Course.STALLED:
        kind = np.where(kind >= 3, 2, kind)  # imports and projects, nothing beyond
    kind = np.where(nth == 0, 0, kind)  # a day begins with a login
    reach = {Course.THRIVING: 0.95, Course.STEADY: 0.7}.get(account.course, 0.4)
    users = max(1, round(account.seats * reach))
    user = 1 + np.floor(users * _mix(account.number, 47, day, nth) ** 1.5).astype(np.int64)
    return {
        "account": np.full(len(day), account.number),
        "day": day,
        "nth": nth,
        "occurred": occurred,
        "kind": kind.astype(np.int64),
        "user": user,
    }


def _days_before(day: date, index: Ints) -> npt.NDArray[np.bool_]:
    """Which of the day numbers lie before `day`."""
    return np.asarray(index < (day - FIRST_DAY).days)


# Files. ---------------------------------------------------------------------------------

_ARROW = {
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.LEFT_AT: pa.timestamp("us", tz="UTC"),
    Kind.HAS_LEFT: pa.bool_(),
    Kind.NUMBER: pa.float64(),
    Kind.SCORE: pa.float64(),
    Kind.COUNT: pa.int64(),
}


def _write_table(path: Path, rows: list[dict[str, Any]], table: Table) -> None:
    schema = pa.schema(
        [(column.name, _ARROW.get(column.kind, pa.string())) for column in table.columns]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
