"""Who has a step's mail already: one person is one address, through whatever account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection

from lifecycle.planning import ledger_state

Key = tuple[str, str, str]
"""Trigger, address (normalised), step."""


class SameSteps:
    """The steps that addresses got, or will get, and through which accounts."""

    def __init__(self) -> None:
        self._mails: defaultdict[Key, list[tuple[str, datetime, bool]]] = defaultdict(list)
        self._recalled: set[tuple[str, str]] = set()
        self._withdrawn: set[tuple[Key, str]] = set()

    def recall(self, ledger: Connection, trigger: str, addresses: Collection[str]) -> None:
        """Look up what the ledger knows of these addresses; once each."""
        new = [address for address in addresses if (trigger, address) not in self._recalled]
        self._recalled.update((trigger, address) for address in new)
        for (address, step), account_id, at, has_left in ledger_state.same_steps(
            ledger, trigger, new
        ):
            self._mails[trigger, address, step].append((account_id, at, has_left))

    def add(self, key: Key, account_id: str, at: datetime) -> None:
        """A mail that goes at a moment counts for those after it."""
        self._withdrawn.discard((key, account_id))
        self._mails[key].append((account_id, at, False))

    def withdraw(self, key: Key, account_id: str) -> None:
        """A mail that has not left, and will not, stands in nobody's way."""
        self._withdrawn.add((key, account_id))

    def through_another(
        self, key: Key, account_id: str, at: datetime, days: int
    ) -> tuple[str, bool] | None:
        """The other account through which the address has the step, within `days` (0: ever)
        of a moment, and whether that mail has left; None where there is none."""
        span = timedelta(days=days)
        others = [
            (other, has_left)
            for other, moment, has_left in self._mails.get(key, ())
            if other != account_id
            and (not days or abs(at - moment) < span)
            and (has_left or (key, other) not in self._withdrawn)
        ]
        return max(others, key=lambda other: other[1], default=None)
