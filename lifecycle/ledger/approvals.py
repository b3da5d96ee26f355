"""Runs that wait for a person, over their budget or with a delivery that moved too far: what a run
reached, and what a person decided about it.

While a run waits, its mails stay where they are (lifecycle/ledger/delivery.py) and may expire
there. An approval is good until they do; later runs are not held up by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from lifecycle.errors import InputError, UnknownName, did_you_mean
from lifecycle.ledger import controls, departures, held_deliveries, held_losses, leaving
from lifecycle.ledger.states import transition
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import (
    APPROVED,
    NOT_LEFT,
    REJECTED,
    State,
    actions,
    approvals,
    runs,
    sends,
)
from lifecycle.template_names import OWNER_LIST


def mark(ledger: Connection, run_id: str, *, people: int, over_budget: str | None) -> None:
    """Write down whom a run reaches, in the transaction that plans its mails.

    `over_budget` says why the mails wait for an approval; None: they do not.
    """
    which = runs.c.run_id == run_id
    ledger.execute(update(runs).where(which).values(people=people, over_budget=over_budget))


def people_of_done_runs(ledger: Connection) -> Iterable[tuple[datetime, int]]:
    """The as-of of each run that was done, and how many people it reached."""
    query = select(runs.c.as_of, runs.c.people)
    for row in ledger.execute(query.where(runs.c.status == "done", runs.c.people.is_not(None))):
        yield row.as_of, row.people


def not_approved() -> Select[Any]:
    """The ids of the runs whose mails may not go, as a query."""
    decided = approvals.c.run_id == runs.c.run_id, approvals.c.decision == APPROVED
    return select(runs.c.run_id).where(
        runs.c.over_budget.is_not(None), ~select(approvals.c.run_id).where(*decided).exists()
    )


def waiting(ledger: Ledger) -> list[Row[Any]]:
    """The runs that wait for a decision and still have mails to send, oldest first: run_id,
    as_of, people, over_budget, mails."""
    undecided = ~select(approvals.c.run_id).where(approvals.c.run_id == runs.c.run_id).exists()
    query = (
        select(runs.c.run_id, runs.c.as_of, runs.c.people, runs.c.over_budget)
        .add_columns(func.count().label("mails"))
        .join(sends, sends.c.run_id == runs.c.run_id)
        .where(runs.c.over_budget.is_not(None), undecided, *_theirs())
        .group_by(runs.c.run_id)
        .order_by(runs.c.started_at)
    )
    with ledger.read() as connection:
        return list(connection.execute(query))


def unapproved(ledger: Ledger) -> set[str]:
    """The ids of the runs whose mails may not go: nobody approved them, or they were rejected."""
    with ledger.read() as connection:
        return set(connection.scalars(not_approved()))


def decision(ledger: Ledger, run_id: str) -> Row[Any] | None:
    """What was decided about a run, as a row of `approvals`."""
    with ledger.read() as connection:
        query = select(approvals).where(approvals.c.run_id == run_id)
        return connection.execute(query).first()


def decisions(ledger: Connection) -> dict[str, Row[Any]]:
    """What was decided, by the run's id: the rows of `approvals`."""
    return {row.run_id: row for row in ledger.execute(select(approvals))}


def approve(ledger: Ledger, run_id: str, *, by: str, why: str) -> int:
    """Let a run's mails go with the next delivery; returns how many are left to go.

    Who left by its delivery has left for good, and what expired stays so. Raises UnknownName for
    a run that does not wait, InputError where it was decided before.
    """
    with ledger.write() as connection:
        _decide(connection, run_id, APPROVED, "approve", by, why)
        leaving.confirm(connection, run_id, datetime.now(UTC))
        query = select(func.count()).where(sends.c.run_id == run_id, *_theirs())
        return int(connection.scalar(query) or 0)


def reject(ledger: Ledger, run_id: str, *, now: datetime, by: str, why: str) -> controls.Cancelled:
    """Cancel a run's mails, and end the enrolments that it opened; who left by its delivery, where
    the gate stopped it, did not leave. Raises as `approve` does.

    `now` is the clock that mails go by.
    """
    detail = f"its run was rejected by {by}: {why}"
    with ledger.write() as connection:
        _decide(connection, run_id, REJECTED, "reject", by, why)
        leaving.withdraw(connection, run_id)
        which = sends.c.run_id == run_id, *_theirs()
        mails = transition(connection, State.CANCELLED, detail, now, *which)
        ended = controls.end(connection, "rejected", detail, now, run_id=run_id)
    return controls.Cancelled(ended.accounts, ended.mails + len(mails))


def _theirs() -> tuple[Any, Any]:
    return sends.c.state.in_(NOT_LEFT), sends.c.trigger != OWNER_LIST


def _decide(ledger: Connection, run_id: str, verdict: str, action: str, by: str, why: str) -> None:
    query = select(runs.c.run_id).where(runs.c.over_budget.is_not(None))
    over = {*ledger.scalars(query), *departures.waiting(ledger)}
    for held in (held_deliveries.run_ids(), held_losses.run_ids()):
        over.update(ledger.scalars(held))
    if run_id not in over:
        hint = did_you_mean(run_id, over) or "`lifecycle status` names those that wait"
        raise UnknownName(f"no run {run_id!r} waits for a decision; {hint}")
    before = ledger.execute(select(approvals).where(approvals.c.run_id == run_id)).first()
    if before is not None:
        raise InputError(f"run {run_id} was {before.decision} by {before.by}: {before.why}")
    now = datetime.now(UTC)
    ledger.execute(
        approvals.insert().values(run_id=run_id, decision=verdict, at=now, by=by, why=why)
    )
    ledger.execute(actions.insert().values(at=now, action=action, subject=run_id, by=by, why=why))
