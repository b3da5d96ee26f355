"""What an account owner is told in the morning: which accounts, why, and where to look first.

Pure: rows of account_360 with their news in, one list an owner out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

LONGEST = 30
"""Accounts on one list; how many more there are is said, and they come with the next."""

Row = Mapping[str, Any]

FALLS = {
    "usage_red": "usage",
    "usage_yellow": "usage",
    "satisfaction_red": "survey",
    "satisfaction_yellow": "survey",
}


@dataclass(frozen=True)
class Entry:
    """One account with what is new about it, the most urgent first."""

    account: Row
    """Its row of account_360, with usage_band_before and satisfaction_band_before."""
    news: tuple[str, ...]
    """Kinds of the mart account_news."""
    urgency: int
    """Of the first of them; 1 is what the owner should see first."""
    sequences: tuple[str, ...] = ()
    """The triggers whose step mails are under way."""

    @property
    def account_id(self) -> str:
        """The CRM's key of the account."""
        return str(self.account["account_id"])

    @property
    def look(self) -> str:
        """The one thing to look at first."""
        account, first = self.account, self.news[0]
        if first == "churned_but_active":
            return "crm"
        if first == "dormant" and account["last_active_at"] is None:
            return "first_login"
        if account["stage"] == "renewal" and is_unwell(account):
            return "renewal_at_risk"
        if first == "dormant":
            return "silence"
        if first in ("onboarding_missed", "onboarding_at_risk"):
            return "outcome"
        if first == "renewal":
            return "contract" if account["usage_band"] == "green" else "health"
        return FALLS.get(first, "seats")

    @property
    def returns_in_ten(self) -> int | None:
        """Of ten accounts as silent as it, how many are active again within 28 days; 9 at most.

        None where it is not known, as of an account that was never active.
        """
        chance = self.account["p_return_28d"]
        return None if chance is None else min(round(10 * chance), 9)

    def as_values(self, place: int, day: date) -> dict[str, Any]:
        """What a template may name of it; dates are the account's own.

        Days to its renewal count from the day that the list itself names, so that both agree:
        where an account's day is still the one before, account_360 counts one more.
        """
        account = self.account
        used = account["seats_used_share"]
        renewal_on = _day(account["renewal_at"], account["time_zone"])
        return {
            **{name: account[name] for name in PRINTED},
            "place": place,
            "news": list(self.news),
            "look": self.look,
            "returns_in_ten": self.returns_in_ten,
            "sequences": list(self.sequences),
            "last_active_on": _day(account["last_active_at"], account["time_zone"]),
            "renewal_on": renewal_on,
            "days_to_renewal": renewal_on and max((renewal_on - day).days, 0),
            "seats_percent": None if used is None else round(100 * used),
        }


PRINTED = (
    *("account_id", "name", "plan", "touch_model", "stage", "seats", "purpose", "background"),
    *("days_silent", "dormancy_limit_days", "days_since_go_live"),
    *("onboarding_status", "onboarding_due_on", "usage_health", "usage_band", "usage_band_before"),
    *("usage_reasons", "satisfaction_health", "satisfaction_band", "satisfaction_band_before"),
    *("active_users_28d", "ladder_step"),
)
"""Columns of account_360 and account_news that a list may print as they are."""

"""What `list` and `owner` are for a template."""


@dataclass(frozen=True)
class OwnerNews:
    """All that is new for one owner, the most urgent account first."""

    address: str
    """Normalised; empty where the accounts have no owner that can be mailed."""
    name: str
    entries: tuple[Entry, ...]

    @property
    def shown(self) -> tuple[Entry, ...]:
        """What one list has room for; the rest is still new tomorrow."""
        return self.entries[:LONGEST]

    def as_values(self, day: date) -> dict[str, Any]:
        """`list` of the template, on a day of the company's calendar."""
        return {
            "day": day,
            "number": len(self.entries),
            "first": self.entries[0].account["name"],
            "accounts": [fact.as_values(place, day) for place, fact in enumerate(self.shown, 1)],
            "more": len(self.entries) - len(self.shown),
        }


def by_owner(
    rows: Iterable[Row], sequences: Mapping[str, Sequence[str]] | None = None
) -> list[OwnerNews]:
    """One list an owner, by address; that of nobody comes first, with an empty address.

    `rows` are one an account and kind of news that its owner was not told of: the account's
    columns with kind, urgency and owner_address (null or empty where there is none).
    `sequences` are the triggers under way, by account.
    """
    ordered = sorted(rows, key=lambda row: (_address(row), row["account_id"], row["urgency"]))
    facts = []
    for address, theirs in groupby(ordered, key=_address):
        entries, names = [], set()
        for account_id, several in groupby(theirs, key=lambda row: row["account_id"]):
            news = list(several)
            names.add(news[0]["owner_name"] or "")
            under_way = tuple((sequences or {}).get(account_id, ()))
            kinds = tuple(row["kind"] for row in news)
            entries.append(Entry(news[0], kinds, news[0]["urgency"], under_way))
        entries.sort(key=_most_urgent_first)
        facts.append(OwnerNews(address, max(names) if address else "", tuple(entries)))
    return facts


def is_unwell(account: Row) -> bool:
    """Whether anything about it says that it may leave, new or not."""
    in_red = "red" in (account["usage_band"], account["satisfaction_band"])
    is_late = account["onboarding_status"] in ("at_risk", "missed")
    has_no_outcome = is_late and account["first_outcome_at"] is None
    return bool(account["is_dormant"]) or has_no_outcome or in_red


def _most_urgent_first(entry: Entry) -> tuple[int, int, float, str]:
    """Of the dormant, those that never came, then those that hardly come back by themselves.

    Where the chances read the same, who pays more.
    """
    returns = entry.returns_in_ten if entry.news[0] == "dormant" else None
    pays = float(entry.account["mrr"] or 0)
    return entry.urgency, -1 if returns is None else returns, -pays, entry.account_id


def _address(row: Row) -> str:
    return row["owner_address"] or ""


def _day(moment: datetime | None, time_zone: str) -> date | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(time_zone)).date()
