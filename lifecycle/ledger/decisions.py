"""What a run decided, written to the ledger in one transaction: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lifecycle.ledger import controls
from lifecycle.ledger.backup import in_doubt
from lifecycle.ledger.states import batches, insert, log, move
from lifecycle.ledger.tables import (
    NOT_LEFT,
    OF_ITS_ENROLLMENT,
    OPEN,
    State,
    enrollments,
    launch_baseline,
    launches,
    messages,
    recipients,
    sends,
    steps,
    trigger_versions,
    withheld,
)


@dataclass(frozen=True)
class FirstUse:
    """A version of a trigger that no run went by before."""

    trigger: str
    version: str
    content: str
    """The file's text."""
    templates: Mapping[str, Mapping[str, str]]
    """What its mails say now: step, locale, text."""
    git_commit: str | None


@dataclass(frozen=True)
class Launch:
    """The first live run of a trigger, with the accounts that matched before it."""

    trigger: str
    mode: str
    baseline: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """An account enters a trigger."""

    account_id: str
    trigger: str
    cycle: int
    trigger_version: str
    enrolled_at: datetime
    time_zone: str
    time_zone_source: str
    country: str | None
    next_at: datetime | None
    contact_ids: tuple[str, ...]
    """Whom its mails go to; none where it is held out."""
    held_out: bool = False
    goal_until: datetime | None = None
    """The end of the time that the goal has; None: there is no goal."""


@dataclass(frozen=True)
class Ending:
    """An enrolment ends; what it still had planned is cancelled."""

    account_id: str
    trigger: str
    cycle: int
    reason: str


@dataclass(frozen=True)
class Progress:
    """When an enrolment's next step may go; None: no step is left."""

    account_id: str
    trigger: str
    cycle: int
    next_at: datetime | None


@dataclass(frozen=True)
class Migration:
    """An enrolment goes on by another version of its trigger than the one it entered by.

    Steps that both versions have stay as they were decided; what is planned of a step that the
    new one lacks is cancelled.
    """

    account_id: str
    trigger: str
    cycle: int
    from_version: str
    to_version: str
    steps: tuple[str, ...]
    """Those of the new version."""
    next_at: datetime
    """When the new version looks at it first."""
    goal_until: datetime | None


@dataclass(frozen=True)
class GoalMet:
    """An enrolment did what its trigger is for, in time."""

    account_id: str
    trigger: str
    cycle: int


@dataclass(frozen=True)
class StepFate:
    """A step of an enrolment is decided, once."""

    account_id: str
    trigger: str
    cycle: int
    step: str
    fate: str
    """planned or skipped."""
    reason: str | None
    due_at: datetime
    not_before: datetime | None


@dataclass(frozen=True)
class PlannedSend:
    """One mail, rendered."""

    send_id: str
    account_id: str
    contact_id: str
    trigger: str
    step: str
    cycle: int
    trigger_version: str
    address: str
    locale: str
    locale_source: str
    priority: int
    account_cap: str | None
    contact_cap: str | None
    not_again_days: int | None
    """For so long the step reaches the address through no other account; 0: for ever; None: it
    may."""
    due_at: datetime
    not_before: datetime
    closes_at: datetime
    expires_at: datetime | None
    mime: bytes


@dataclass(frozen=True)
class Withheld:
    """A mail or an entry that was decided against, and why."""

    trigger: str
    account_id: str
    contact_id: str
    """Empty: the whole account."""
    step: str
    """Empty: before entry."""
    reason: str
    detail: str


@dataclass(frozen=True)
class PutOff:
    """A mail that may not leave now waits for the next opening."""

    send_id: str
    not_before: datetime
    closes_at: datetime
    why: str = "its window shut before it left"


@dataclass(frozen=True)
class Objection:
    """A mail that is planned or queued and may not be sent any more."""

    send_id: str
    detail: str
    reason: str
    trigger: str
    account_id: str
    contact_id: str


@dataclass
class Decisions:
    """All that one run decided."""

    first_uses: list[FirstUse] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    waiting: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """(trigger, version): why its mails stay where they are, or None where they may go on."""
    seen_false: list[tuple[str, str]] = field(default_factory=list)
    """(trigger, account) seen outside the audience with a fresh feed."""
    entries: list[Entry] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    migrations: list[Migration] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    goals: list[GoalMet] = field(default_factory=list)
    steps: list[StepFate] = field(default_factory=list)
    sends: list[PlannedSend] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    objections: list[Objection] = field(default_factory=list)
    put_off: list[PutOff] = field(default_factory=list)


def record(ledger: Connection, made: Decisions, *, run_id: str, at: datetime) -> None:
    """Write what was decided. `at` is the run's as-of; the caller's transaction holds it all.

    Nobody enters what was stopped, and no account that was put on hold, since it was decided.
    """
    made = _without_stopped(ledger, made, at)
    _use_first(ledger, made.first_uses, run_id, at)
    _wait(ledger, made.waiting, at)
    _launch(ledger, made.launches, run_id, at)
    _mark_seen_false(ledger, made.seen_false, at)
    _enrol(ledger, made.entries, run_id)
    insert(ledger, steps, ({**asdict(fate), "decided_at": at} for fate in made.steps))
    _plan(ledger, made.sends, run_id, at)
    _withhold(ledger, made.withheld, run_id, at)
    for objection in made.objections:
        move(
            ledger,
            State.SUPPRESSED,
            objection.detail,
            at,
            sends.c.send_id == objection.send_id,
            sends.c.state.in_(NOT_LEFT),
        )
    for mail in made.put_off:
        move(
            ledger,
            State.PLANNED,
            mail.why,
            at,
            sends.c.send_id == mail.send_id,
            sends.c.state.in_(NOT_LEFT),
            not_before=mail.not_before,
            closes_at=mail.closes_at,
        )
    _meet_goals(ledger, made.goals, at)
    _end(ledger, made.endings, at)
    _migrate(ledger, made.migrations, at)
    _move_on(ledger, made.progress)
    _complete(ledger, at)


def _without_stopped(ledger: Connection, made: Decisions, at: datetime) -> Decisions:
    stopped, on_hold = controls.stops(ledger), controls.holds(ledger, at)
    kept_out = {
        (one.account_id, one.trigger, one.cycle)
        for one in made.entries
        if one.trigger in stopped or one.account_id in on_hold
    }

    def may_stay(one: Entry | StepFate | PlannedSend) -> bool:
        return (one.account_id, one.trigger, one.cycle) not in kept_out

    if not kept_out:
        return made
    return replace(
        made,
        entries=[one for one in made.entries if may_stay(one)],
        steps=[one for one in made.steps if may_stay(one)],
        sends=[one for one in made.sends if may_stay(one)],
    )


def _use_first(ledger: Connection, versions: list[FirstUse], run_id: str, at: datetime) -> None:
    insert(
        ledger,
        trigger_versions,
        (
            {
                **vars(one),
                "templates": json.dumps(one.templates, ensure_ascii=False),
                "first_run_id": run_id,
                "first_at": at,
            }
            for one in versions
        ),
    )


def _wait(ledger: Connection, waiting: Mapping[tuple[str, str], str | None], at: datetime) -> None:
    since = trigger_versions.c.waiting_since
    for (trigger, version), why in waiting.items():
        one = update(trigger_versions).where(
            trigger_versions.c.trigger == trigger, trigger_versions.c.version == version
        )
        if why is None:
            ledger.execute(one.values(waiting_since=None, waiting_for=None))
        else:
            ledger.execute(one.values(waiting_since=func.coalesce(since, at), waiting_for=why))


def _launch(ledger: Connection, made: list[Launch], run_id: str, at: datetime) -> None:
    for launch in made:
        ledger.execute(
            launches.insert().values(
                trigger=launch.trigger, mode=launch.mode, launched_at=at, run_id=run_id
            )
        )
        rows = ({"trigger": launch.trigger, "account_id": account} for account in launch.baseline)
        insert(ledger, launch_baseline, rows)


def _mark_seen_false(ledger: Connection, seen: list[tuple[str, str]], at: datetime) -> None:
    for table in (launch_baseline, enrollments):
        change = (
            update(table)
            .where(
                table.c.trigger == bindparam("of_trigger"),
                table.c.account_id == bindparam("of_account"),
                table.c.seen_false_at.is_(None),
            )
            .values(seen_false_at=at)
        )
        for batch in batches(seen):
            ledger.execute(
                change, [{"of_trigger": name, "of_account": account} for name, account in batch]
            )


def _enrol(ledger: Connection, entries: list[Entry], run_id: str) -> None:
    def enrolment(entry: Entry) -> dict[str, Any]:
        row = {**asdict(entry), "run_id": run_id, "entered_version": entry.trigger_version}
        del row["contact_ids"]
        return row

    insert(ledger, enrollments, map(enrolment, entries))
    insert(
        ledger,
        recipients,
        (
            {
                "account_id": entry.account_id,
                "trigger": entry.trigger,
                "cycle": entry.cycle,
                "contact_id": contact_id,
            }
            for entry in entries
            for contact_id in entry.contact_ids
        ),
    )


def _plan(ledger: Connection, planned: list[PlannedSend], run_id: str, at: datetime) -> None:
    state, detail = State.PLANNED, None
    if planned and in_doubt(ledger):
        state, detail = State.UNCERTAIN, "may have left before the ledger was restored"

    def send(mail: PlannedSend) -> dict[str, Any]:
        row = {name: value for name, value in vars(mail).items() if name != "mime"}
        row["domain"] = mail.address.rpartition("@")[2]
        return {
            **row,
            "run_id": run_id,
            "state": state,
            "state_at": at,
            "detail": detail,
            "attempts": 0,
        }

    insert(ledger, sends, map(send, planned))
    insert(ledger, messages, ({"send_id": mail.send_id, "mime": mail.mime} for mail in planned))
    log(ledger, ((mail.send_id, None, state, detail) for mail in planned), at)


def _withhold(ledger: Connection, kept: list[Withheld], run_id: str, at: datetime) -> None:
    dialect = postgresql if ledger.dialect.name == "postgresql" else sqlite
    row = dialect.insert(withheld)
    upsert = row.on_conflict_do_update(
        index_elements=list(withheld.primary_key.columns),
        set_={name: row.excluded[name] for name in ("reason", "detail", "last_at", "run_id")},
    )
    for batch in batches(kept):
        ledger.execute(
            upsert,
            [{**vars(one), "first_at": at, "last_at": at, "run_id": run_id} for one in batch],
        )


def _of_cycle(table: Table) -> tuple[ColumnElement[bool], ...]:
    """The rows of one entry of an account into a trigger, the one that `_cycle` names."""
    return (
        table.c.account_id == bindparam("of_account"),
        table.c.trigger == bindparam("of_trigger"),
        table.c.cycle == bindparam("of_cycle"),
    )


def _cycle(one: GoalMet | Progress | Migration) -> dict[str, Any]:
    return {"of_account": one.account_id, "of_trigger": one.trigger, "of_cycle": one.cycle}


def _meet_goals(ledger: Connection, goals: list[GoalMet], at: datetime) -> None:
    change = update(enrollments).where(*_of_cycle(enrollments)).values(goal_met_at=at)
    for batch in batches(goals):
        ledger.execute(change, [_cycle(one) for one in batch])


def _end(ledger: Connection, endings: list[Ending], at: datetime) -> None:
    for ending in endings:
        ledger.execute(
            update(enrollments)
            .where(
                enrollments.c.account_id == ending.account_id,
                enrollments.c.trigger == ending.trigger,
                enrollments.c.cycle == ending.cycle,
                enrollments.c.ended_at.is_(None),
            )
            .values(ended_at=at, end_reason=ending.reason)
        )
        move(
            ledger,
            State.CANCELLED,
            f"left the sequence: {ending.reason}",
            at,
            sends.c.account_id == ending.account_id,
            sends.c.trigger == ending.trigger,
            sends.c.cycle == ending.cycle,
            sends.c.state.in_(NOT_LEFT),
        )


def _move_on(ledger: Connection, progress: list[Progress]) -> None:
    change = update(enrollments).where(*_of_cycle(enrollments)).values(next_at=bindparam("next_at"))
    for batch in batches(progress):
        ledger.execute(change, [{**_cycle(one), "next_at": one.next_at} for one in batch])


def _migrate(ledger: Connection, migrations: list[Migration], at: datetime) -> None:
    change = (
        update(enrollments)
        .where(*_of_cycle(enrollments))
        .values(
            trigger_version=bindparam("to_version"),
            next_at=bindparam("next_at"),
            goal_until=bindparam("goal_until"),
        )
    )
    # What is under way waits for what its sequence waits for.
    follow = (
        update(sends)
        .where(
            *_of_cycle(sends),
            or_(*(sends.c.state == state for state in OPEN)),  # a list cannot go with many rows
        )
        .values(trigger_version=bindparam("to_version"))
    )
    for batch in batches(migrations):
        moved = [{**_cycle(one), "to_version": one.to_version} for one in batch]
        ledger.execute(follow, moved)
        ledger.execute(
            change,
            [
                {**row, "next_at": one.next_at, "goal_until": one.goal_until}
                for row, one in zip(moved, batch, strict=True)
            ],
        )
    for trigger, version, steps_left in {
        (one.trigger, one.to_version, one.steps) for one in migrations
    }:
        move(
            ledger,
            State.CANCELLED,
            "its step is not in the trigger any more",
            at,
            sends.c.trigger == trigger,
            sends.c.trigger_version == version,
            sends.c.step.not_in(steps_left),
            sends.c.state.in_(NOT_LEFT),
        )


def _complete(ledger: Connection, at: datetime) -> None:
    """End the enrolments that have no step left and no mail under way."""
    under_way = select(sends.c.send_id).where(OF_ITS_ENROLLMENT, sends.c.state.in_(OPEN)).exists()
    ledger.execute(
        update(enrollments)
        .where(enrollments.c.ended_at.is_(None), enrollments.c.next_at.is_(None), ~under_way)
        .values(ended_at=at, end_reason="completed")
    )
