"""What one delivery did: `lifecycle deliver`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from lifecycle.document import Document, Section, Table, counted, moment, table
from lifecycle.ledger.tables import State
from lifecycle.mail.deliver import DeliveryResult
from lifecycle.report.waiting import left_alone, must_decide, not_sent, waits


@dataclass(frozen=True)
class DeliveryReport:
    """One delivery. Times are UTC."""

    as_of: datetime
    """The clock that decided which mails were due."""
    accepted: int
    by_trigger: dict[str, int]
    not_accepted: dict[str, int]
    """State of the due mails that were not accepted (rejected, uncertain, …): mails."""
    remaining_planned: int
    next_due: datetime | None
    rests_until: datetime | None
    """Until when the provider asked for a pause, where that ended the delivery."""
    no_room: dict[str, int]
    """Domain: due mails that wait, because the domain had its daily number while warming up."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Why due mails left the queue without being sent: mails."""
    held: int = 0
    """Mails that a person has to decide about from now on."""
    why_none: str | None = None
    """What the provider said last, where mails were handed over and it took none of them."""

    @classmethod
    def of(cls, done: DeliveryResult, *, now: datetime, waiting: int) -> DeliveryReport:
        """The report of a delivery after which `waiting` mails are still to go."""
        not_accepted = {str(s): n for s, n in done.states.items() if s != State.ACCEPTED and n}
        by_trigger = dict(done.by_trigger)
        moments = done.next_due, done.rests_until
        no_room = dict(done.no_room)
        outcomes = done.accepted, by_trigger, not_accepted
        return cls(
            now, *outcomes, waiting, *moments, no_room, dict(done.dropped), done.held, done.why_none
        )

    def as_json(self) -> dict[str, Any]:
        """The object of `deliver --json`."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DeliveryReport:
        """The inverse of `as_json`."""
        moments = {
            name: value[name] and datetime.fromisoformat(value[name])
            for name in ("as_of", "next_due", "rests_until")
        }
        return cls(**{**value, **moments})

    def as_document(self, time_zone: str) -> Document:
        """The report for a person."""
        parts: list[str | Table] = [
            f"{counted(self.accepted, 'mail')} accepted by the provider, "
            f"{self.remaining_planned:,} waiting in the queue."
        ]
        if self.next_due:
            parts.append(f"The next one may go {moment(self.next_due, time_zone)}.")
        if self.rests_until:
            parts.append(left_alone(self.rests_until, time_zone))
        if self.by_trigger:
            parts.append(table(("trigger", "accepted"), sorted(self.by_trigger.items())))
        if self.not_accepted:
            counts = ", ".join(f"{n:,} {state}" for state, n in self.not_accepted.items())
            parts.append(f"Due, but not accepted: {counts}.")
        parts += not_sent(self.dropped)
        if self.why_none:
            parts.append(f"NOTHING WAS TAKEN: {self.why_none}.")
        if self.held:
            parts.append(must_decide(self.held))
        parts += waits(self.no_room)
        return [Section(f"Delivery as of {moment(self.as_of, time_zone)}", tuple(parts))]
