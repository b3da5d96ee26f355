"""The mails of an entry's steps: due, skipped, capped or planned, by docs/triggers.md."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from functools import cache

from oracle.civil import Place, distant, later, too_late
from oracle.model import Entry, Left, Planned, Slot, Step, Trigger
from oracle.state import State

AHEAD = timedelta(hours=24)


@cache
def share_of(account: str) -> float:
    """How far into the half hour after an opening an account's mails leave: 0 to 1."""
    return int.from_bytes(hashlib.sha256(account.encode()).digest()[:4]) / 2**32


class Steps(State):
    """Plans the next steps of each reader anew."""

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

    def _looks_at(self, entry: Entry, now: datetime) -> bool:
        """Whether a run looks at an entry: a step comes due, a mail waits, or its place changed."""
        if entry.missing is not None:
            return False
        is_due = entry.next_at is not None and entry.next_at <= now + AHEAD
        has_mail = any(slot.planned for slot in entry.slots)
        return is_due or has_mail or entry.place != self.places[entry.account]

    def _plan(self, entry: Entry, now: datetime) -> None:
        """Plan each reader's next steps anew; a step that nobody can get any more is skipped."""
        against: set[str] = set()
        may_get: set[str] = set()
        entry.next_at, entry.place = None, self.places[entry.account]
        for slot in sorted(entry.slots, key=lambda item: item.contact or ""):
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
        waits_until: datetime | None = now
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
                waits_until = at
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
                slot.planned += [item for item in old.values() if item.step == step]
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
        else:
            waits_until = None
        if waits_until is not None:
            entry.next_at = min(entry.next_at or waits_until, waits_until)
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
            days = [item[2] for item in (*left, *self.counted) if item[column] == value]
            span = timedelta(days=cap.days)
            for last in {day, *(each for each in days if day < each < day + span)}:
                if sum(last - span < each <= last for each in days) >= cap.count:
                    return True
        return False
