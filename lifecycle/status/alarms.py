"""The alarms of `lifecycle status --check`, for machines that nobody watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from lifecycle.document import counted, moment
from lifecycle.ledger.commands import CommandRun
from lifecycle.ledger.due import Due
from lifecycle.settings import Settings
from lifecycle.status.prefect_schedule import PrefectSchedule
from lifecycle.status.timeliness import Timeliness


@dataclass(frozen=True)
class Alarm:
    """One thing that a person has to look at."""

    kind: str
    """overdue, failing, not_scheduled, published, due, held, feedback or delivery."""
    text: str

    def as_json(self) -> dict[str, Any]:
        """The alarm as data."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """The facts that decide which alarms are raised. Times are UTC."""

    now: datetime
    """The wall clock."""
    clock: datetime
    """The clock of deliveries; it stands still in a state folder that replays the past."""
    schedules: Sequence[Timeliness]
    schedules_problem: str | None
    """Why prefect.yaml cannot be read."""
    prefect: PrefectSchedule | None
    published_as_of: datetime | None
    due: Due
    held: int
    """Mails that wait for a person's decision."""
    stale_feedback: Sequence[str]
    fruitless: CommandRun | None
    """The last delivery, where mails were due and the provider took none."""


def alarms(settings: Settings, facts: Facts) -> list[Alarm]:
    """All alarms, the most general first."""
    return [Alarm(kind, text) for kind, text in _raised(settings, facts)]


def _raised(settings: Settings, facts: Facts) -> Iterator[tuple[str, str]]:
    zone, limits = settings.company.time_zone, settings.status
    if facts.schedules_problem:
        yield "not_scheduled", facts.schedules_problem
    for schedule in facts.schedules:
        if schedule.overdue_since:
            yield (
                "overdue",
                f"{schedule.schedule} ({schedule.command}) is overdue: {_last_run(schedule, zone)}",
            )
        elif schedule.failing_since:
            since = moment(schedule.last_well_at, zone)
            why = f": {schedule.last_why}" if schedule.last_why else ""
            yield (
                "failing",
                f"{schedule.schedule} ({schedule.command}) has not ended well since {since}{why}",
            )
    if prefect := facts.prefect:
        if prefect.problem:
            yield "not_scheduled", prefect.problem
        elif prefect.without_run:
            names = ", ".join(prefect.without_run)
            yield "not_scheduled", f"Prefect at {prefect.api} has no run to come for {names}"
    yield from _published(settings, facts)
    if facts.due.since is not None:
        waited = facts.clock - facts.due.since
        if waited > timedelta(minutes=limits.due_max_minutes):
            mails = counted(facts.due.mails, "mail")
            yield "due", f"{mails} could leave since {moment(facts.due.since, zone)} at the latest"
    if facts.held:
        yield "held", f"{counted(facts.held, 'mail')} held for a decision (lifecycle held)"
    if facts.stale_feedback:
        yield "feedback", "; ".join(facts.stale_feedback)
    if run := facts.fruitless:
        why = f": {run.why}" if run.why else ""
        when = moment(run.finished_at, zone)
        yield (
            "delivery",
            f"of {counted(run.due or 0, 'mail')} due, the provider took none in the last delivery"
            f" ({run.command}, {when}){why}",
        )


def _last_run(schedule: Timeliness, zone: str) -> str:
    if schedule.last_began_at is None:
        return "it never ran here"
    if schedule.last_finished_at is None:
        return f"the one of {moment(schedule.last_began_at, zone)} is {schedule.last_outcome}"
    return f"it last finished {moment(schedule.last_finished_at, zone)}, {schedule.last_outcome}"


def _published(settings: Settings, facts: Facts) -> Iterator[tuple[str, str]]:
    """The newest published day. The demo company's clock stands, and its data with it."""
    if facts.published_as_of is None:
        yield "published", "nothing was published yet"
        return
    now = facts.clock if settings.source.is_synthetic else facts.now
    if now - facts.published_as_of > timedelta(hours=settings.status.published_max_age_hours):
        as_of = moment(facts.published_as_of, settings.company.time_zone)
        yield "published", f"the newest published day is {as_of}"
