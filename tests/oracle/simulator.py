"""Which mails should leave when, computed from docs/triggers.md alone.

An `Oracle` lives through its moments as a reader of the document would on paper: at a run it
looks at everything anew, at a delivery it lets go what may go.
"""

from __future__ import annotations

from datetime import datetime

from oracle.model import Entry, Left, Mail, Planned, Slot, Trigger
from oracle.steps import Steps


class Oracle(Steps):
    """Lives through runs and deliveries; `mails` are those that left."""

    # A run. ------------------------------------------------------------------------------

    def run(self, now: datetime) -> None:
        self.run_number += 1
        self._look()
        for trigger in self.triggers:
            self._run(trigger, now)
        self.counted = []
        self._ask_for_approval()

    def _run(self, trigger: Trigger, now: datetime) -> None:
        waits = self.world.feed_is_late and trigger.needs_usage
        (self.waiting.add if waits else self.waiting.discard)(trigger.name)
        for entry in self._open(trigger):
            self._leave(entry, now, waits)
        if waits:
            return
        self.through = [entry for entry in self._open(trigger) if self._is_through(entry)]
        looked_at = [entry for entry in self._open(trigger) if self._looks_at(entry, now)]
        for entry in looked_at:
            self._readers(entry, now)
            if not entry.ended:
                self._plan(entry, now)
        self._enter(trigger, now)
        for entry in self._open(trigger):
            if self._is_through(entry):
                entry.ended = "completed"

    def _is_through(self, entry: Entry) -> bool:
        """Whether the last mail of every reader has left or was given up. A step that is too late
        for one reader, and that another one got, is given up for the first."""
        is_decided = entry.next_at is None and not any(slot.planned for slot in entry.slots)
        return is_decided or all(
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
        queue.sort(key=lambda item: (item[2].at, -item[0].trigger.priority))
        left_now: set[int] = set()
        for entry, slot, planned in queue:
            if planned.until is not None and now >= planned.until:
                slot.planned.remove(planned)
                slot.settled[planned.step.id] = "expired"
                self._note(now, entry, slot.contact, planned.step.id, "expired")
        for entry, slot, planned in queue:
            may_go = planned in slot.planned and id(slot) not in left_now
            if may_go and self._deliver(entry, slot, planned, now):
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
        self.mails.append(Mail(now, trigger.name, entry.account, planned.step.id, planned.address))
        slot.left[planned.step.id] = Left(now, planned.at, planned.address)
        slot.behind.add(planned.step.id)
        slot.planned.remove(planned)
        return True
