"""The steps of one enrolment: when each is due, and what became of it or still may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from lifecycle.insight.report import WHY
from lifecycle.planning.decision import Place, timing
from lifecycle.triggers.model import Trigger


@dataclass(frozen=True)
class StepStory:
    """One step of one enrolment. Moments are UTC."""

    cycle: int
    step: str
    due_at: datetime
    not_before: datetime | None
    """When its mail could go at the earliest; None where there is none to go."""
    fate: str
    """planned, skipped, to come, held out, or never came (the sequence had ended)."""
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as data."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


def schedule(
    trigger: Trigger, enrolment: Any, decided: Sequence[Any], now: datetime
) -> list[StepStory]:
    """The steps of an enrolment, in the order of the file, seen from `now`.

    `enrolment` is a row of the ledger's enrollments, `decided` are its rows of steps. Steps that
    are to come are timed as the file has them now; a mail before them may still put them off.
    """
    fates = {row.step: row for row in decided}
    place = Place(enrolment.time_zone, enrolment.time_zone_source, enrolment.country)
    told = []
    for step in trigger.steps:
        if known := fates.get(step.id):
            why = WHY.get(known.reason, known.reason) if known.reason else ""
            times = (known.due_at, known.not_before)
            told.append(StepStory(enrolment.cycle, step.id, *times, known.fate, why))
            continue
        due = timing(trigger, step, enrolment.enrolled_at, place, now)
        fate, why, not_before = "to come", "", due.not_before
        if enrolment.held_out:
            fate, why, not_before = "held out", WHY["held_out"], None
        elif enrolment.ended_at is not None:
            fate, why = "never came", f"the sequence ended: {enrolment.end_reason}"
            not_before = None
        elif step.when is not None:
            why = f"if {step.when.text} then"
        told.append(StepStory(enrolment.cycle, step.id, due.due_at, not_before, fate, why))
    return told
