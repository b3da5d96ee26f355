"""Which mails should leave when, computed from docs/triggers.md alone.

A `World` is what the CRM says and what people did; an `Oracle` lives through its moments, as a
reader of the document would on paper: at a run it looks at everything anew, at a delivery it
lets go what may go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from oracle.civil import Pace, Place, Span, Window, distant, later, too_late

AHEAD = timedelta(hours=24)
ABSENT_RUNS, ABSENT_DAYS = 3, 3

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
    late: Span = Span(3, "d")
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


@cache
def share_of(account: str) -> float:
    """How far into the half hour after an opening an account's mails leave: 0 to 1."""
    return int.from_bytes(hashlib.sha256(account.encode()).digest()[:4]) / 2**32


class Oracle:
    """Lives through runs and deliveries; `mails` are those that left."""

    def __init__(
        self,
        world: World,
        triggers: list[Trigger],
        pace: Pace,
        company: Place,
        people_limit: int | None = None,
    ) -> None:
        self.world, self.pace, self.company = world, pace, company
        self.triggers = sorted(triggers, key=lambda it: (-it.priority, it.name))
        self.people_limit = people_limit
        self.entries: list[Entry] = []
        self.mails: list[Mail] = []
        self.accounts: dict[str, Row] = {}
        self.people: dict[str, Row] = {}
        self.places: dict[str, Place] = {}
        self.waiting: set[str] = set()
        self.launched: dict[str, set[str]] = {}
        """By trigger: who matched at its launch, and was not seen outside since."""
        self.outside: set[tuple[str, str]] = set()
        """Trigger and account, seen outside since the last entry."""
        self.run_number = 0
        self.held_runs: set[int] = set()
        self.counted: list[tuple[str, str, date]] = []
        """Address, account and day of the mails that this run planned so far."""
        self.through: list[Entry] = []
        """Who was through with the trigger in question when the run began."""
        self.why: list[str] = []

    def _note(self, now: datetime, entry: Entry, *words: object) -> None:
        told = " ".join(str(word) for word in words)
        self.why.append(f"{now:%m-%d %H:%M} {entry.trigger.name} {entry.account} {told}")

    # A run. ------------------------------------------------------------------------------

    def run(self, now: datetime) -> None:
        self.run_number += 1
        self._look()
        for trigger in self.triggers:
            self._run(trigger, now)
        self.counted = []
        self._ask_for_approval()

    def _look(self) -> None:
        """What the newest run knows."""
        world = self.world
        self.accounts = {
            name: dict(row) for name, row in world.accounts.items() if name not in world.absent
        }
        self.people = {
            name: dict(row)
            for name, row in world.people.items()
            if name not in world.absent and row["account_id"] in self.accounts
        }
        for name, row in self.accounts.items():
            self.places[name] = Place(row["time_zone"], row["country_code"])

    def _run(self, trigger: Trigger, now: datetime) -> None:
        waits = self.world.feed_is_late and trigger.needs_usage
        (self.waiting.add if waits else self.waiting.discard)(trigger.name)
        for entry in self._open(trigger):
            self._leave(entry, now, waits)
        if waits:
            return
        self.through = [entry for entry in self._open(trigger) if self._is_through(entry)]
        for entry in self._open(trigger):
            if entry.missing is None:
                self._readers(entry, now)
        for entry in self._open(trigger):
            if entry.missing is None:
                self._plan(entry, now)
        self._enter(trigger, now)
        for entry in self._open(trigger):
            if self._is_through(entry):
                entry.ended = "completed"

    def _open(self, trigger: Trigger | None = None) -> list[Entry]:
        """Who is inside, by account."""
        found = [one for one in self.entries if not one.ended and trigger in (None, one.trigger)]
        return sorted(found, key=lambda entry: entry.account)

    def _end(self, entry: Entry, reason: str, now: datetime) -> None:
        entry.ended = reason
        self._note(now, entry, "ends:", reason)
        for slot in entry.slots:
            slot.planned = []

    def _is_through(self, entry: Entry) -> bool:
        return all(
            self._next_steps(entry, slot) == []
            for slot in entry.slots
            if slot.contact and not self._is_double(entry, slot)
        )

    def _leave(self, entry: Entry, now: datetime, waits: bool) -> None:
        account = self.accounts.get(entry.account)
        if account is None:
            entry.missing = self._count(entry.missing, now)
            if entry.missing.is_over(now, self.company):
                self._end(entry, "deleted", now)
            return
        entry.missing = None
        if account["stage"] == "churned":
            self._end(entry, "churned", now)
        elif not waits and entry.trigger.exits(account) is True:
            self._end(entry, "exited", now)

    @staticmethod
    def _count(missing: Missing | None, now: datetime) -> Missing:
        if missing is None:
            return Missing(now)
        missing.runs += 1
        return missing

    # Readers. ----------------------------------------------------------------------------

    def _address(self, contact: str) -> str:
        return self.people[contact]["email_normalized"]

    def _left_for_good(self, contact: str) -> bool:
        """Whether somebody of the CRM unsubscribed or complained."""
        address = self._address(contact)
        return address in self.world.suppressed or any(
            row["unsubscribed_at"] is not None
            for row in self.people.values()
            if row["email_normalized"] == address
        )

    def _qualifies(self, contact: str, account: str) -> bool:
        row = self.people.get(contact)
        return (
            row is not None
            and row["account_id"] == account
            and row["role"] == "admin"
            and row["consent_basis"] is not None
        )

    def _candidates(self, account: str) -> list[str]:
        """Who may read now."""
        return [
            contact
            for contact in sorted(self.people)
            if self._qualifies(contact, account) and not self._left_for_good(contact)
        ]

    def _is_gone(self, slot: Slot, entry: Entry) -> bool:
        """Gone at once: unsubscribed, suppressed, at another account, under another id."""
        assert slot.contact
        row = self.people.get(slot.contact)
        if row is not None:
            return row["account_id"] != entry.account or self._left_for_good(slot.contact)
        return any(
            other["email_normalized"] in slot.addresses
            for other in self.people.values()
            if other["account_id"] == entry.account
        )

    def _readers(self, entry: Entry, now: datetime) -> None:
        place = self.places[entry.account]
        for slot in entry.slots:
            if slot.contact is None:
                continue
            if self._is_gone(slot, entry):
                self._vacate(slot, entry, now)
            elif not self._qualifies(slot.contact, entry.account):
                slot.missing = self._count(slot.missing, now)
                if slot.missing.is_over(now, place):
                    self._vacate(slot, entry, now)
            else:
                slot.missing = None
        self._succeed(entry)
        if all(slot.contact is None for slot in entry.slots):
            self._end(entry, "no_reader", now)

    def _vacate(self, slot: Slot, entry: Entry, now: datetime) -> None:
        self._note(now, entry, slot.contact, "is gone")
        entry.were.add(slot.contact or "")
        slot.contact, slot.planned, slot.missing, slot.settled = None, [], None, {}

    def _succeed(self, entry: Entry) -> None:
        """Who meets `recipients` now takes a free place: first whose address it is, then by id."""

        def places(contact: str) -> list[Slot]:
            free = [slot for slot in entry.slots if slot.contact is None]
            if only_own:
                address = self._address(contact)
                return [slot for slot in free if address in slot.addresses]
            return free

        for only_own in (True, False):
            for contact in self._candidates(entry.account):
                readers = {slot.contact for slot in entry.slots}
                if contact not in readers | entry.were and (free := places(contact)):
                    free[0].contact = contact

    def _is_double(self, entry: Entry, slot: Slot) -> bool:
        """Whether an earlier reader of the entry has the same address."""
        if slot.contact not in self.people:
            return False
        addresses = {
            self._address(other.contact)
            for other in entry.slots
            if other.contact in self.people and other.contact < slot.contact  # type: ignore[operator]
        }
        return self._address(slot.contact) in addresses  # type: ignore[arg-type]

    # Steps. ------------------------------------------------------------------------------

    def _left_to(self, entry: Entry, slot: Slot) -> dict[str, Left]:
        """The mails that a reader got, or somebody else of the entry at the same address."""
        if slot.contact not in self.people:
            return slot.left
        address = self._address(slot.contact)  # type: ignore[arg-type]
        others = {
            step: mail
            for other in entry.slots
            for step, mail in other.left.items()
            if mail.address == address
        }
        return {**others, **slot.left}

    def _next_steps(self, entry: Entry, slot: Slot) -> list[Step]:
        done = {*self._left_to(entry, slot), *slot.settled, *entry.skipped}
        return [step for step in entry.trigger.steps if step.id not in done]

    def _plan(self, entry: Entry, now: datetime) -> None:
        """Plan each reader's next steps anew; a step that nobody can get any more is skipped."""
        against: set[str] = set()
        may_get: set[str] = set()
        for slot in sorted(entry.slots, key=lambda it: it.contact or ""):
            if slot.contact is None:
                continue
            old = {planned.step.id: planned for planned in slot.planned}
            slot.planned = []
            if self._is_double(entry, slot):
                continue
            refused = self._go_through(entry, slot, old, now)
            against |= refused
            may_get |= {step.id for step in self._next_steps(entry, slot)} - refused
        has_left = {step for slot in entry.slots for step in slot.left}
        entry.skipped |= against - may_get - has_left

    def _go_through(
        self, entry: Entry, slot: Slot, old: dict[str, Planned], now: datetime
    ) -> set[str]:
        """Plan a reader's next steps until one has to wait; returns those decided against."""
        against: set[str] = set()
        trigger, account = entry.trigger, self.accounts[entry.account]
        place, window = self.places[entry.account], trigger.window
        left = self._left_to(entry, slot)
        before: tuple[Step, Left] | None = None
        for step in trigger.steps:
            if step.id in left:
                before = step, left[step.id]
                continue
            if step.id in slot.settled or step.id in entry.skipped:
                continue
            is_stopped = trigger.name in self.world.paused or now < self.world.holds.get(
                entry.account, now
            )
            if is_stopped and step.id not in old:
                break
            due = self._due(entry, step, before)
            first = window.next_open(due, place)
            until = None if trigger.sends_late else too_late(first, trigger.late, window, place)
            share = share_of(entry.account)
            at = self.pace.leaves(due, window, place, share, until)
            if now > at:
                at = self.pace.leaves(now, window, place, share, until)
            if until is not None and at >= until:
                self._note(now, entry, slot.contact, step.id, "late")
                against.add(step.id)
                if step.id in old:
                    slot.settled[step.id] = "late"
                continue
            if at > now + AHEAD and step.id not in old:
                break
            if step.below is not None:
                ladder = account["ladder_step"]
                if ladder is None or not ladder < step.below:
                    self._note(now, entry, slot.contact, step.id, "when")
                    against.add(step.id)
                    if step.id in old:
                        slot.settled[step.id] = "when"
                    continue
            if slot.missing is not None:
                slot.planned += [it for it in old.values() if it.step == step]
                if step.id in old:
                    old[step.id].waits = True
                break
            assert slot.contact
            address = self._address(slot.contact)
            if self._got_elsewhere(entry, step, address):
                self._note(now, entry, slot.contact, step.id, "got it through another account")
                against.add(step.id)
                if step.id in old:
                    slot.settled[step.id] = "same step"
                continue
            if self._gets_elsewhere(entry, step, address):
                if step.id in old:
                    old[step.id].waits = True
                    slot.planned.append(old[step.id])
                break
            if self._is_full(trigger, entry.account, address, place, at):
                self._note(now, entry, slot.contact, step.id, "capped")
                if step.id in old:
                    old[step.id].waits = True
                    slot.planned.append(old[step.id])
                break
            run = old[step.id].run if step.id in old else self.run_number
            closes = window.closes(place.day(at), place)
            slot.planned.append(Planned(step, address, at, closes, until, run))
            slot.addresses.add(address)
            self.counted.append((address, entry.account, place.day(at)))
            before = step, Left(at, at, address)
        kept = {planned.step.id for planned in slot.planned}
        # What was planned behind a mail that has to wait, waits behind it.
        slot.planned += [
            planned
            for step, planned in old.items()
            if step not in kept | against and step not in slot.settled
        ]
        return against

    def _due(self, entry: Entry, step: Step, before: tuple[Step, Left] | None) -> datetime:
        window, place = entry.trigger.window, self.places[entry.account]
        due = later(entry.entered, step.after, window, place)
        if before is None:
            return due
        earlier, mail = before
        spaced = distant(
            entry.entered, mail.at, mail.could_leave, earlier.after, step.after, window, place
        )
        return max(due, spaced)

    def _got_elsewhere(self, entry: Entry, step: Step, address: str) -> bool:
        mine = entry.trigger.name, step.id, address
        return any(
            (mail.trigger, mail.step, mail.address) == mine and mail.account != entry.account
            for mail in self.mails
        )

    def _gets_elsewhere(self, entry: Entry, step: Step, address: str) -> bool:
        """Whether another account has a mail of the step in the queue for this address."""
        return any(
            planned.step.id == step.id and planned.address == address
            for other in self._open(entry.trigger)
            if other.account != entry.account
            for slot in other.slots
            for planned in slot.planned
        )

    def _is_full(
        self, trigger: Trigger, account: str, address: str, place: Place, at: datetime
    ) -> bool:
        """Whether one more mail then is more than a cap of its trigger allows, on any days."""
        day = place.day(at)
        for cap, column, value in (
            (trigger.contact_cap, 0, address),
            (trigger.account_cap, 1, account),
        ):
            if cap is None:
                continue
            left = [(mail.address, mail.account, place.day(mail.at)) for mail in self.mails]
            days = [it[2] for it in (*left, *self.counted) if it[column] == value]
            span = timedelta(days=cap.days)
            for last in {day, *(each for each in days if day < each < day + span)}:
                if sum(last - span < each <= last for each in days) >= cap.count:
                    return True
        return False

    # Entering. ---------------------------------------------------------------------------

    def _enter(self, trigger: Trigger, now: datetime) -> None:
        matching = {name: trigger.audience(row) for name, row in sorted(self.accounts.items())}
        for name, matches in matching.items():
            if matches is False:
                self.outside.add((trigger.name, name))
                self.launched.get(trigger.name, set()).discard(name)
        if trigger.name in self.world.paused:
            return
        inside = {name for name, matches in matching.items() if matches is True}
        if trigger.name not in self.launched:
            self.launched[trigger.name] = inside if trigger.launch == "new_only" else set()
        for name in sorted(inside - self.launched[trigger.name]):
            if self._may_enter(trigger, name, now):
                readers = [Slot(contact) for contact in self._candidates(name)]
                if readers:
                    self.outside.discard((trigger.name, name))
                    entry = Entry(trigger, name, now, readers)
                    self.entries.append(entry)
                    self._plan(entry, now)

    def _may_enter(self, trigger: Trigger, name: str, now: datetime) -> bool:
        if trigger.exits(self.accounts[name]) is True or now < self.world.holds.get(name, now):
            return False
        before = [
            entry for entry in self.entries if (entry.trigger, entry.account) == (trigger, name)
        ]
        if not before:
            return True
        if not before[-1].ended and before[-1] not in self.through:
            return False
        match trigger.enter:
            case "once":
                return False
            case "once_per_episode":
                return (trigger.name, name) in self.outside
        place = self.places[name]
        days = (place.day(now) - place.day(before[-1].entered)).days
        return days >= trigger.every

    # Approval. ---------------------------------------------------------------------------

    def _ask_for_approval(self) -> None:
        new = {
            planned.address
            for entry in self._open()
            for slot in entry.slots
            for planned in slot.planned
            if planned.run == self.run_number
        }
        if self.people_limit is not None and len(new) > self.people_limit:
            self.held_runs.add(self.run_number)

    def approve(self) -> None:
        """Every run that waits."""
        self.held_runs.clear()

    # A delivery. -------------------------------------------------------------------------

    def planned_moments(self) -> list[datetime]:
        """From when the planned mails may leave."""
        return [
            planned.at for entry in self._open() for slot in entry.slots for planned in slot.planned
        ]

    def delivery(self, now: datetime) -> None:
        """Let go what may go: of the mails that could go first, the higher priority first."""
        queue = [
            (entry, slot, planned)
            for entry in self._open()
            for slot in entry.slots
            for planned in slot.planned
        ]
        queue.sort(key=lambda it: (it[2].at, -it[0].trigger.priority))
        left_now: set[int] = set()
        for entry, slot, planned in queue:
            if planned.until is not None and now >= planned.until:
                slot.planned.remove(planned)
                slot.settled[planned.step.id] = "expired"
                self._note(now, entry, slot.contact, planned.step.id, "expired")
        for entry, slot, planned in queue:
            if planned in slot.planned and id(slot) not in left_now:
                if self._deliver(entry, slot, planned, now):
                    left_now.add(id(slot))

    def _deliver(self, entry: Entry, slot: Slot, planned: Planned, now: datetime) -> bool:
        trigger, place, world = entry.trigger, self.places[entry.account], self.world
        if trigger.name in world.paused | self.waiting or planned.run in self.held_runs:
            return False
        if now < world.holds.get(entry.account, now) or entry.missing or planned.waits:
            return False
        if planned is not slot.planned[0] or not planned.at <= now < planned.closes:
            return False
        if planned.address in world.suppressed:
            slot.planned.remove(planned)
            slot.settled[planned.step.id] = "suppressed"
            return False
        if self._is_full(trigger, entry.account, planned.address, place, now):
            planned.waits = True
            return False
        left = self._left_to(entry, slot)
        behind = [step for step in trigger.steps if step.id in left]
        if behind and behind[-1].id in slot.behind:
            due = self._due(entry, planned.step, (behind[-1], left[behind[-1].id]))
            if due > now:
                planned.at = due
                return False
        self.mails.append(
            Mail(now, trigger.name, entry.account, planned.step.id, planned.address)
        )
        slot.left[planned.step.id] = Left(now, planned.at, planned.address)
        slot.behind.add(planned.step.id)
        slot.planned.remove(planned)
        return True
