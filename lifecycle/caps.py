"""How many mails a person and an account may get in a span of days. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Cap:
    """At most so many mails in any span of so many days."""

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


class MailCount:
    """The moments of the mails that each key (an address, an account) has, or may have, got."""

    def __init__(self) -> None:
        self._moments: dict[str, list[datetime]] = defaultdict(list)

    def add(self, key: str, moment: datetime) -> None:
        """Count one mail."""
        insort(self._moments[key], moment)

    def allows(self, key: str, moment: datetime, cap: Cap | None) -> bool:
        """Whether one more mail at `moment` leaves every span of the cap's days within it."""
        if cap is None:
            return True
        moments, span = self._moments.get(key, []), timedelta(days=cap.days)
        # A span can only be overfilled if it ends at the new mail or at one soon after it.
        soon = slice(bisect_right(moments, moment), bisect_left(moments, moment + span))
        ends = [moment, *moments[soon]]
        return all(
            bisect_right(moments, end) - bisect_right(moments, end - span) + 1 <= cap.count
            for end in ends
        )
