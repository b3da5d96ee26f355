"""Whether each schedule runs on time: its command's last run, the next, and what is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from lifecycle.ledger.commands import CommandRun, Commands
from lifecycle.schedules import Schedule
from lifecycle.settings import Status


@dataclass(frozen=True)
class Timeliness:
    """One schedule and its runs. Times are the wall clock's, in UTC."""

    schedule: str
    """The deployment of prefect.yaml: daily."""
    command: str
    when: str
    """As prefect.yaml says: 0 6 * * * Asia/Tokyo."""
    last_began_at: datetime | None
    """Start of the newest run, whoever started it; None: no run ever started."""
    last_finished_at: datetime | None
    last_outcome: str | None
    """done, stopped, failed, running or killed."""
    last_why: str | None
    last_well_at: datetime
    """When a run last succeeded; where none did, when the ledger began to record commands."""
    next_at: datetime
    overdue_since: datetime | None
    """Since when a run should have finished and none has; None: it is on time."""
    failing_since: datetime | None
    """Since when a run should have succeeded; runs finish, but stopped or failed."""
    max_age_seconds: float
    """How old the last run that ended well may be: one interval and the grace."""

    def as_json(self) -> dict[str, Any]:
        """The schedule as data."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


def timeliness(
    limits: Status, schedules: Sequence[Schedule], commands: Commands, now: datetime
) -> list[Timeliness]:
    """Whether each schedule is on time at a moment of the wall clock."""
    grace = timedelta(minutes=limits.grace_minutes)
    return [_of(schedule, commands, grace, now) for schedule in schedules]


def _of(schedule: Schedule, commands: Commands, grace: timedelta, now: datetime) -> Timeliness:
    started = commands.started.get(schedule.command)
    finished_at = _finished(commands.finished.get(schedule.command), commands.since)
    well_at = _finished(commands.ended_well.get(schedule.command), commands.since)
    late_from = finished_at + schedule.interval(finished_at) + grace
    bad_from = well_at + schedule.interval(well_at) + grace
    is_overdue = now > late_from
    return Timeliness(
        schedule=schedule.name,
        command=schedule.command,
        when=schedule.text,
        last_began_at=started.began_at if started else None,
        last_finished_at=started.finished_at if started else None,
        last_outcome=started.outcome if started else None,
        last_why=started.why if started else None,
        last_well_at=well_at,
        next_at=schedule.after(now),
        overdue_since=late_from if is_overdue else None,
        failing_since=bad_from if now > bad_from and not is_overdue else None,
        max_age_seconds=(bad_from - well_at).total_seconds(),
    )


def _finished(run: CommandRun | None, otherwise: datetime) -> datetime:
    return run.finished_at if run is not None and run.finished_at is not None else otherwise


def delivers_nothing(commands: Commands) -> CommandRun | None:
    """The last delivery, where mails were due and the provider took none of them."""
    last = commands.last_delivery
    return last if last is not None and last.due and not last.accepted else None
