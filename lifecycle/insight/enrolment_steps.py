"""The steps of one enrolment: when each is due, and its outcome so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from lifecycle.ledger.tables import MAILED, NOT_LEFT
from lifecycle.planning.decision import Departure, Enrolment, Pace, Place, timing
from lifecycle.report.reasons import WHY
from lifecycle.triggers.model import Step, Trigger


@dataclass(frozen=True)
class StepStory:
    """One step of one enrolment. Moments are UTC."""

    cycle: int
    step: str
    due_at: datetime
    not_before: datetime | None
    """The earliest moment for its mail; None where no mail will go."""
    fate: str
    """The ledger's states of its mails, or: skipped, to come, held out, never came (the sequence
    had ended)."""
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as data."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


def schedule(
    trigger: Trigger,
    row: Any,
    decided: Sequence[Any],
    mails: Sequence[Any],
    now: datetime,
    pace: Pace,
) -> list[StepStory]:
    """The steps of an enrolment as of `now`, in the order of the trigger version that it follows.

    `row` is one of the ledger's enrollments, `decided` and `mails` are its rows of steps and of
    sends. Each future step keeps its distance from the mail before it, as that is expected to
    leave.
    """
    fates = {fate.step: fate for fate in decided}
    enrolment = Enrolment(
        account_id=row.account_id,
        trigger=row.trigger,
        cycle=row.cycle,
        enrolled_at=row.enrolled_at,
        place=Place(row.time_zone, row.time_zone_source, row.country),
    )
    stories = []
    previous: Departure | None = None
    for step in trigger.steps:
        if settled := fates.get(step.id):
            why = WHY.get(settled.reason, settled.reason) if settled.reason else ""
            times = (settled.due_at, settled.not_before)
            states = sorted({str(mail.state) for mail in mails if mail.step == step.id})
            fate = ", ".join(states) or settled.fate
            previous = _departure(step, mails) or previous
            stories.append(StepStory(row.cycle, step.id, *times, fate, why))
            continue
        due = timing(trigger, step, enrolment, previous, now, pace)
        if due.not_before is not None:
            previous = Departure(step, due.not_before, due.not_before)
        fate, why, not_before = "to come", "", due.not_before
        if row.held_out:
            fate, why, not_before = "held out", WHY["held_out"], None
        elif row.ended_at is not None:
            fate, why = "never came", f"the sequence ended: {row.end_reason}"
            not_before = None
        elif step.when is not None:
            why = f"if {step.when.text} then"
        stories.append(StepStory(row.cycle, step.id, due.due_at, not_before, fate, why))
    return stories


def _departure(step: Step, mails: Sequence[Any]) -> Departure | None:
    """When the last mail of a step left, or is expected to."""
    moments = [
        (mail.accepted_at or mail.not_before, mail.not_before)
        for mail in mails
        if mail.step == step.id and mail.state in {*MAILED, *NOT_LEFT}
    ]
    return Departure(step, *max(moments)) if moments else None
