"""How many mails a person and an account may get in a span of days. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

Key = TypeVar("Key")


@dataclass(frozen=True)
class Cap:
    """At most so many mails in any span of so many local calendar days."""

    count: int
    days: int

    @classmethod
    def read(cls, value: Any) -> Cap:
        """From `3/7d`."""
        if isinstance(value, Cap):
            return value
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})d", str(value).strip())
        if match is None or not int(match[1]) or not int(match[2]):
            raise ValueError(f"{value!r} is not a cap; write 3/7d for at most three in seven days")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.count}/{self.days}d"


def local_day(moment: datetime, time_zone: str | None) -> int:
    """The number of the calendar day that a moment falls on in an IANA zone; None: in UTC."""
    return moment.astimezone(ZoneInfo(time_zone or "UTC")).toordinal()


class MailCount(Generic[Key]):
    """The days on which each key (an address, an account) got, or may have got, mails."""

    def __init__(self) -> None:
        self._days: dict[Key, list[int]] = defaultdict(list)

    def add(self, key: Key, day: int) -> None:
        """Count one mail of a `local_day`."""
        insort(self._days[key], day)

    def allows(self, key: Key, day: int, cap: Cap | None) -> bool:
        """Whether one more mail on a day leaves every span of the cap's days within it."""
        if cap is None:
            return True
        days = self._days.get(key, [])
        # A span can only be overfilled if it ends on the new mail's day or on one soon after it.
        soon = slice(bisect_right(days, day), bisect_left(days, day + cap.days))
        return all(
            bisect_right(days, end) - bisect_right(days, end - cap.days) + 1 <= cap.count
            for end in {day, *days[soon]}
        )
