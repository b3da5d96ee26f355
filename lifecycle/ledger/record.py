"""What a run decided, written to the ledger in one transaction: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)

from lifecycle.ledger import controls, dialect
from lifecycle.ledger.backup import in_doubt
from lifecycle.ledger.decisions import (
    Absence,
    Decisions,
    Ending,
    Entry,
    FirstUse,
    GoalMet,
    KeptBack,
    Launch,
    Migration,
    Move,
    PlannedSend,
    Progress,
    Reader,
    StepFate,
    Withheld,
)
from lifecycle.ledger.states import batches, insert, log, transition
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


def record(ledger: Connection, decisions: Decisions, *, run_id: str, at: datetime) -> None:
    """Write what was decided. `at` is the run's as-of; the caller's transaction holds it all.

    Nobody enters what was stopped, and no account that was put on hold, since it was decided.
    """
    decisions = _without_stopped(ledger, decisions, at)
    _complete(ledger, at)  # who is through may enter again in this run
    _use_first(ledger, decisions.first_uses, run_id, at)
    _wait(ledger, decisions.waiting, at)
    _launch(ledger, decisions.launches, run_id, at)
    _set_aside(ledger, decisions.moved_by_version)
    _mark_seen_false(ledger, decisions.seen_false, at)
    _enrol(ledger, decisions.entries, run_id)
    _upsert(ledger, steps, ({**asdict(fate), "decided_at": at} for fate in decisions.steps))
    plan_sends(ledger, decisions.sends, run_id, at)
    _move_mails(ledger, decisions.moves, at)
    _keep_back(ledger, decisions.kept_back)
    _withhold(ledger, decisions.withheld, run_id, at)
    for mail in decisions.withdrawals:
        which = sends.c.send_id == mail.send_id
        transition(ledger, mail.state, mail.detail, at, which, sends.c.state.in_(NOT_LEFT))
    _meet_goals(ledger, decisions.goals, at)
    _read(ledger, decisions.readers, at)
    _miss(ledger, decisions.absences)
    _end(ledger, decisions.endings, at)
    _migrate(ledger, decisions.migrations, at)
    _move_on(ledger, decisions.progress)
    _complete(ledger, at)


def _without_stopped(ledger: Connection, decisions: Decisions, at: datetime) -> Decisions:
    stopped, on_hold = controls.stops(ledger), controls.holds(ledger, at)
    kept_out = {
        (entry.account_id, entry.trigger, entry.cycle)
        for entry in decisions.entries
        if entry.trigger in stopped or (entry.account_id in on_hold and not entry.despite_hold)
    }

    def may_stay(decision: Entry | StepFate | PlannedSend) -> bool:
        return (decision.account_id, decision.trigger, decision.cycle) not in kept_out

    if not kept_out:
        return decisions
    return replace(
        decisions,
        entries=[entry for entry in decisions.entries if may_stay(entry)],
        steps=[step for step in decisions.steps if may_stay(step)],
        sends=[send for send in decisions.sends if may_stay(send)],
    )


def _use_first(ledger: Connection, versions: list[FirstUse], run_id: str, at: datetime) -> None:
    insert(
        ledger,
        trigger_versions,
        (
            {
                **vars(version),
                "templates": json.dumps(version.templates, ensure_ascii=False),
                "first_run_id": run_id,
                "first_at": at,
            }
            for version in versions
        ),
    )


def _wait(ledger: Connection, waiting: Mapping[tuple[str, str], str | None], at: datetime) -> None:
    since = trigger_versions.c.waiting_since
    for (trigger, version), why in waiting.items():
        change = update(trigger_versions).where(
            trigger_versions.c.trigger == trigger, trigger_versions.c.version == version
        )
        if why is None:
            ledger.execute(change.values(waiting_since=None, waiting_for=None))
        else:
            ledger.execute(change.values(waiting_since=func.coalesce(since, at), waiting_for=why))


def _launch(ledger: Connection, new_launches: list[Launch], run_id: str, at: datetime) -> None:
    for launch in new_launches:
        ledger.execute(
            launches.insert().values(
                trigger=launch.trigger, mode=launch.mode, launched_at=at, run_id=run_id
            )
        )
        rows = ({"trigger": launch.trigger, "account_id": account} for account in launch.baseline)
        insert(ledger, launch_baseline, rows)


def _set_aside(ledger: Connection, moved_by_version: list[tuple[str, str]]) -> None:
    """Have accounts wait until they are seen outside the audience, also those seen so before."""
    forget = delete(launch_baseline).where(
        launch_baseline.c.trigger == bindparam("of_trigger"),
        launch_baseline.c.account_id == bindparam("of_account"),
    )
    for batch in batches(moved_by_version):
        ledger.execute(
            forget, [{"of_trigger": name, "of_account": account} for name, account in batch]
        )
    rows = ({"trigger": name, "account_id": account} for name, account in moved_by_version)
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
        del row["contact_ids"], row["despite_hold"]
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


def plan_sends(
    ledger: Connection, planned: Sequence[PlannedSend], run_id: str, at: datetime
) -> None:
    """Write down mails that are planned, with their bytes."""
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


_MOVED = (
    *("address", "domain", "locale", "locale_source", "priority", "account_cap", "contact_cap"),
    *("not_again_days", "due_at", "not_before", "closes_at", "expires_at", "time_zone"),
    *("after_send", "after_distance"),
)
_REPLAN = (
    update(sends)
    .where(sends.c.send_id == bindparam("of_send"))
    .values(waiting_for=None, **{name: bindparam(f"new_{name}") for name in _MOVED})
)
_REWRITE = (
    update(messages)
    .where(messages.c.send_id == bindparam("of_send"))
    .values(mime=bindparam("new_mime"))
)


def _move_mails(ledger: Connection, moves: list[Move], at: datetime) -> None:
    """Write mails anew that have not left since they were decided about."""
    for batch in batches(moves):
        ids = [replan.mail.send_id for replan in batch]
        states = {
            row.send_id: row.state
            for row in ledger.execute(
                select(sends.c.send_id, sends.c.state).where(
                    sends.c.send_id.in_(ids), sends.c.state.in_(NOT_LEFT)
                )
            )
        }
        still = [replan for replan in batch if replan.mail.send_id in states]
        if not still:
            continue
        rows = [
            {**vars(replan.mail), "domain": replan.mail.address.rpartition("@")[2]}
            for replan in still
        ]
        ledger.execute(
            _REPLAN,
            [
                {"of_send": row["send_id"], **{f"new_{name}": row[name] for name in _MOVED}}
                for row in rows
            ],
        )
        written = [
            {"of_send": replan.mail.send_id, "new_mime": replan.mail.mime}
            for replan in still
            if replan.rewritten
        ]
        if written:
            ledger.execute(_REWRITE, written)
        reasons = [(replan.mail.send_id, replan.why) for replan in still if replan.why]
        log(
            ledger,
            ((send_id, states[send_id], states[send_id], why) for send_id, why in reasons),
            at,
        )


def _keep_back(ledger: Connection, kept: list[KeptBack]) -> None:
    change = (
        update(sends)
        .where(sends.c.send_id == bindparam("of_send"), sends.c.state.in_(NOT_LEFT))
        .values(waiting_for=bindparam("why"), detail=bindparam("why"))
    )
    for row in kept:
        ledger.execute(change, {"of_send": row.send_id, "why": row.why})


def _withhold(ledger: Connection, kept: list[Withheld], run_id: str, at: datetime) -> None:
    rows = ({**vars(row), "first_at": at, "last_at": at, "run_id": run_id} for row in kept)
    _upsert(ledger, withheld, rows, keep=("first_at",))


def _upsert(
    ledger: Connection,
    table: Table,
    rows: Iterable[dict[str, Any]],
    keep: Collection[str] = (),
) -> None:
    """Insert rows; one whose key is there takes its place, but for the columns in `keep`."""
    row = dialect.insert(ledger, table)
    fixed = {*(column.name for column in table.primary_key), *keep}
    changes = [column.name for column in table.columns if column.name not in fixed]
    upsert = row.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: row.excluded[name] for name in changes},
    )
    for batch in batches(rows):
        ledger.execute(upsert, batch)


def _of_cycle(table: Table) -> tuple[ColumnElement[bool], ...]:
    """The rows of one entry of an account into a trigger, the one that `_cycle` names."""
    return (
        table.c.account_id == bindparam("of_account"),
        table.c.trigger == bindparam("of_trigger"),
        table.c.cycle == bindparam("of_cycle"),
    )


def _cycle(record: GoalMet | Progress | Migration | Absence | Reader) -> dict[str, Any]:
    return {"of_account": record.account_id, "of_trigger": record.trigger, "of_cycle": record.cycle}


def _meet_goals(ledger: Connection, goals: list[GoalMet], at: datetime) -> None:
    change = update(enrollments).where(*_of_cycle(enrollments)).values(goal_met_at=at)
    for batch in batches(goals):
        ledger.execute(change, [_cycle(record) for record in batch])


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
        transition(
            ledger,
            State.CANCELLED,
            f"left the sequence: {ending.reason}",
            at,
            sends.c.account_id == ending.account_id,
            sends.c.trigger == ending.trigger,
            sends.c.cycle == ending.cycle,
            sends.c.state.in_(NOT_LEFT),
        )


_AS_NOW = ("next_at", "time_zone", "time_zone_source", "country")


def _move_on(ledger: Connection, progress: list[Progress]) -> None:
    change = (
        update(enrollments)
        .where(*_of_cycle(enrollments))
        .values({name: bindparam(f"new_{name}") for name in _AS_NOW})
    )
    for batch in batches(progress):
        ledger.execute(
            change,
            [{**_cycle(row), **{f"new_{n}": getattr(row, n) for n in _AS_NOW}} for row in batch],
        )


def _miss(ledger: Connection, absences: list[Absence]) -> None:
    change = (
        update(enrollments)
        .where(*_of_cycle(enrollments))
        .values(absent_since=bindparam("since"), absent_runs=bindparam("runs"))
    )
    for batch in batches(absences):
        ledger.execute(
            change, [{**_cycle(row), "since": row.since, "runs": row.runs} for row in batch]
        )


def _read(ledger: Connection, readers: list[Reader], at: datetime) -> None:
    """Write down who joins, who is missing and who is gone."""
    change = (
        update(recipients)
        .where(*_of_cycle(recipients), recipients.c.contact_id == bindparam("of_contact"))
        .values(
            absent_since=bindparam("since"),
            absent_runs=bindparam("runs"),
            gone_at=bindparam("gone"),
            gone_why=bindparam("why"),
        )
    )
    new = [reader for reader in readers if reader.is_new]
    insert(
        ledger,
        recipients,
        (
            {
                **{name: getattr(entry, name) for name in ("account_id", "trigger", "cycle")},
                **{name: getattr(entry, name) for name in ("contact_id", "follows")},
                "joined_at": at,
            }
            for entry in new
        ),
    )
    for batch in batches(reader for reader in readers if not reader.is_new):
        ledger.execute(
            change,
            [
                {
                    **_cycle(row),
                    "of_contact": row.contact_id,
                    "since": row.absent_since,
                    "runs": row.absent_runs,
                    "gone": at if row.gone_why else None,
                    "why": row.gone_why,
                }
                for row in batch
            ],
        )


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
        moved = [{**_cycle(row), "to_version": row.to_version} for row in batch]
        ledger.execute(follow, moved)
        ledger.execute(
            change,
            [
                {**row, "next_at": migration.next_at, "goal_until": migration.goal_until}
                for row, migration in zip(moved, batch, strict=True)
            ],
        )
    for trigger, version, steps_left in {
        (migration.trigger, migration.to_version, migration.steps) for migration in migrations
    }:
        transition(
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
