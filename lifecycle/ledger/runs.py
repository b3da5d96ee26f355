"""The record of runs, and what it forbids: going back in time, and mixing sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, exists, insert, or_, select, update

from lifecycle.errors import ClockError, InputError
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import enrollments, launches, runs, sends, withheld

ANOTHER_FOLDER = "in another state folder: LIFECYCLE__STATE__DIR=.lifecycle-replay"


def newest_decision(ledger: Ledger) -> datetime | None:
    """As `last_decision`."""
    with ledger.read() as connection:
        return last_decision(connection)


def last_decision(ledger: Connection) -> datetime | None:
    """The as-of of the newest run that decided something, or None.

    A run that was stopped before it planned decided nothing, so a mistyped as-of that
    failed does not bar the way for the right one.
    """
    decided = or_(
        runs.c.status == "done",
        exists().where(sends.c.run_id == runs.c.run_id),
        exists().where(enrollments.c.run_id == runs.c.run_id),
        exists().where(enrollments.c.ended_at == runs.c.as_of),
        exists().where(withheld.c.run_id == runs.c.run_id),
        exists().where(launches.c.run_id == runs.c.run_id),
    )
    newest = select(runs.c.as_of).where(decided).order_by(runs.c.as_of.desc()).limit(1)
    newest_at: datetime | None = ledger.execute(newest).scalar()
    return newest_at


def check(ledger: Ledger, *, as_of: datetime, source: str) -> None:
    """Refuse a run that this ledger cannot take.

    Raises ClockError for an as-of before the newest decision (the same as-of again is
    fine), InputError for a source of another kind than that of the runs before.
    """
    newest = newest_decision(ledger)
    if newest is not None and as_of < newest:
        raise ClockError(
            f"as-of {as_of:%Y-%m-%d %H:%M} UTC is before this ledger's newest decision, "
            f"{newest:%Y-%m-%d %H:%M} UTC: mails were decided with what was known then. "
            f"Replay the past {ANOTHER_FOLDER}"
        )
    query = select(runs.c.source).where(runs.c.source != source).limit(1)
    with ledger.read() as connection:
        other = connection.execute(query).scalar()
    if other is not None:
        refuse_mixing(other, source)


def refuse_mixing(known: str, source: str) -> None:
    """Raise InputError: accounts of two sources would get each other's mails and memory."""
    raise InputError(
        f"this state folder was filled from source {known!r}, and the run asks for {source!r}: "
        f"their accounts must not mix. Run {source!r} {ANOTHER_FOLDER}"
    )


def begin(
    ledger: Ledger, *, run_id: str, as_of: datetime, source: str, started_by: str | None = None
) -> None:
    """Record a run that starts now. `started_by` is who did it by hand; None: a schedule.

    The caller holds the lock of the state folder, so a run that the ledger still takes for
    running was killed.
    """
    now = datetime.now(UTC)
    with ledger.write() as connection:
        connection.execute(
            update(runs).where(runs.c.status == "running").values(status="failed", finished_at=now)
        )
        connection.execute(
            insert(runs).values(
                run_id=run_id,
                as_of=as_of,
                started_at=now,
                status="running",
                source=source,
                started_by=started_by,
            )
        )


def wait(ledger: Ledger, run_id: str) -> None:
    """Record that a run waits for a person: it is not under way, and was not killed."""
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(status="waiting"))


def go_on(ledger: Ledger, run_id: str) -> None:
    """Record that a run which waited is under way again."""
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(status="running"))


def finish(ledger: Ledger, *, run_id: str, status: str, report: Mapping[str, Any]) -> None:
    """Record how a run ended: done, stopped or failed, and its report."""
    with ledger.write() as connection:
        connection.execute(
            update(runs)
            .where(runs.c.run_id == run_id)
            .values(
                status=status,
                finished_at=datetime.now(UTC),
                report=json.dumps(report, ensure_ascii=False),
            )
        )
