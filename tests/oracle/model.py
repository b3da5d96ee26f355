"""Triggers, the world and what becomes of it, as docs/triggers.md speaks of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from oracle.civil import Place, Span, Window

ABSENT_RUNS, ABSENT_DAYS = 3, 3
THREE_DAYS = Span(3, "d")

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    id: str
    after: Span
    below: int | None = None
    """`when: ladder_step < below`."""


@dataclass(frozen=True)
class Cap:
    count: int
    days: int


@dataclass(frozen=True)
class Trigger:
    """A trigger whose audience is `is_dormant`, or `plan = 'pro'` with no exit."""

    name: str
    steps: tuple[Step, ...]
    window: Window
    asks_usage: bool = True
    enter: str = "once_per_episode"
    every: int = 0
    """enter: every so many days."""
    launch: str = "existing"
    priority: int = 50
    contact_cap: Cap | None = None
    account_cap: Cap | None = None
    late: Span = THREE_DAYS
    sends_late: bool = False

    def audience(self, account: Row) -> bool | None:
        if account["stage"] == "churned":
            return False
        if self.asks_usage:
            return account["is_dormant"]
        return account["plan"] == "pro" if account["plan"] is not None else None

    def exits(self, account: Row) -> bool | None:
        if not self.asks_usage:
            return False
        return None if account["is_dormant"] is None else not account["is_dormant"]

    @property
    def needs_usage(self) -> bool:
        return self.asks_usage or any(step.below is not None for step in self.steps)


@dataclass(eq=False)
class Planned:
    """A mail in the queue."""

    step: Step
    address: str
    at: datetime
    closes: datetime
    until: datetime | None
    run: int
    """The first run that planned it."""
    waits: bool = False
    """For the next run: a cap is full."""


@dataclass
class Slot:
    """A place among an entry's readers."""

    contact: str | None
    settled: dict[str, str] = field(default_factory=dict)
    """Steps that the reader does not get, and why."""
    left: dict[str, Left] = field(default_factory=dict)
    """By step: the mails that whoever held this place got."""
    planned: list[Planned] = field(default_factory=list)
    missing: Missing | None = None
    behind: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    """To which mails of this place were planned."""


@dataclass(frozen=True)
class Left:
    at: datetime
    could_leave: datetime
    """From when it could."""
    address: str


@dataclass
class Missing:
    """Since when somebody is missing, and in how many runs."""

    since: datetime
    runs: int = 1

    def is_over(self, now: datetime, place: Place) -> bool:
        days = (place.day(now) - place.day(self.since)).days
        return self.runs >= ABSENT_RUNS and days >= ABSENT_DAYS


@dataclass(eq=False)
class Entry:
    trigger: Trigger
    account: str
    entered: datetime
    slots: list[Slot]
    ended: str | None = None
    missing: Missing | None = None
    next_at: datetime | None = None
    """When its next step may go that is not planned yet; None: there is none."""
    place: Place | None = None
    """Where the account was when a run last looked at it."""
    were: set[str] = field(default_factory=set)
    """Readers who are gone: they do not come back into this sequence."""
    skipped: set[str] = field(default_factory=set)
    """Steps that no reader can get any more."""


@dataclass(frozen=True, order=True)
class Mail:
    at: datetime
    trigger: str
    account: str
    step: str
    address: str


@dataclass
class World:
    """What the CRM says now, and what people did."""

    accounts: dict[str, Row]
    people: dict[str, Row]
    absent: set[str] = field(default_factory=set)
    feed_is_late: bool = False
    suppressed: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    holds: dict[str, datetime] = field(default_factory=dict)
