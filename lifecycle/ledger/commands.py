"""The record of the commands that have a schedule: when each began, and how it ended.

Whoever starts a command, Prefect or a person, it is recorded here, so that a machine that is
left alone can say whether it keeps time. A command that is killed never finishes its row.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lifecycle.errors import GateStopped, Stopped
from lifecycle.ledger.delivery import is_gone, worker_name
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import command_runs, recording
from lifecycle.masking import mask_addresses

RUN, DELIVER = "lifecycle-run", "deliver-due"
SYNC_FEEDBACK, FIT_SCORES, BACK_UP = "sync-feedback", "fit-scores", "back-up"
"""Commands go by the name of their flow, as prefect.yaml does."""

DONE, STOPPED, FAILED = "done", "stopped", "failed"
RUNNING, KILLED = "running", "killed"
"""What a command is whose row was never finished."""

PREFECT, HAND = "prefect", "hand"
"""Who starts a command: Prefect's worker, or a person, cron or systemd."""
FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""In the environment of what Prefect's worker starts."""

KEPT = timedelta(days=90)
UNHEARD = timedelta(days=1)
"""After this a command of another machine counts as killed: nobody can look for its process."""
LONGEST_WHY = 500

log = logging.getLogger(__name__)


@dataclass
class Record:
    """What a command says of itself while it goes on."""

    due: int | None = None
    """Mails that it handed over, or that were still due at its end; None: it delivers nothing."""
    accepted: int | None = None
    """Mails that the provider took meanwhile."""


@contextmanager
def recorded(ledger: Ledger, command: str, record: Record | None = None) -> Iterator[Record]:
    """Record a command: that it began, and, however it ends, how.

    What is raised inside goes on. Where the end cannot be written, the command's own error, if
    there is one, goes on all the same.
    """
    record = record or Record()
    with ledger.write() as connection:
        row_id = connection.execute(
            insert(command_runs)
            .values(
                command=command,
                started_by=PREFECT if os.environ.get(FLOW_RUN) else HAND,
                began_at=datetime.now(UTC),
                worker=worker_name(),
            )
            .returning(command_runs.c.id)
        ).scalar_one()
    try:
        yield record
    except BaseException as error:
        outcome = STOPPED if isinstance(error, Stopped) else FAILED
        try:
            _finish(ledger, row_id, record, outcome, why=_why(error))
        except Exception as second:
            log.warning("%s: its end could not be recorded: %s", command, second)
        raise
    _finish(ledger, row_id, record, DONE)


def _finish(
    ledger: Ledger, row_id: int, record: Record, outcome: str, why: str | None = None
) -> None:
    now = datetime.now(UTC)
    with ledger.write() as connection:
        connection.execute(
            update(command_runs)
            .where(command_runs.c.id == row_id)
            .values(
                finished_at=now,
                outcome=outcome,
                why=why,
                due=record.due,
                accepted=record.accepted,
            )
        )
        _forget_old(connection, now)


def _forget_old(ledger: Connection, now: datetime) -> None:
    """Delete rows of over 90 days, but never the last one of a command that finished or ended
    well."""
    newest = func.max(command_runs.c.id)
    by_command = select(newest).group_by(command_runs.c.command)
    ledger.execute(
        delete(command_runs).where(
            command_runs.c.began_at < now - KEPT,
            command_runs.c.id.not_in(by_command.where(command_runs.c.finished_at.is_not(None))),
            command_runs.c.id.not_in(by_command.where(command_runs.c.outcome == DONE)),
        )
    )


def _why(error: BaseException) -> str:
    """An error as one line; of a gate, with the first thing that failed."""
    lines = (str(error) or type(error).__name__).strip().splitlines()
    text = lines[0]
    if isinstance(error, GateStopped) and error.failures:
        text = f"{text} {error.failures[0]}"
    if not isinstance(error, Exception):
        text = "it was ended from outside"
    return mask_addresses(" ".join(text.split()))[:LONGEST_WHY]


@dataclass(frozen=True)
class CommandRun:
    """One start of a command. Times are the wall clock's, in UTC."""

    command: str
    began_at: datetime
    finished_at: datetime | None
    outcome: str
    """done, stopped, failed; running or killed, where it did not finish."""
    why: str | None
    due: int | None
    accepted: int | None


@dataclass(frozen=True)
class Commands:
    """What the ledger knows of its commands, by their name."""

    since: datetime
    """When it began to record them (UTC)."""
    started: dict[str, CommandRun]
    """The one that was started last."""
    finished: dict[str, CommandRun]
    """The one that finished last."""
    ended_well: dict[str, CommandRun]
    """The one that finished last and was done."""
    last_delivery: CommandRun | None
    """The command that finished last of those that deliver."""
    by_prefect: bool
    """Whether Prefect's worker started any of them."""


def read(ledger: Connection) -> Commands:
    """What the ledger knows of its commands, at one moment."""
    finished = command_runs.c.finished_at.is_not(None)
    deliveries = _newest(ledger, finished, command_runs.c.due.is_not(None)).values()
    return Commands(
        since=ledger.execute(select(func.min(recording.c.since, type_=recording.c.since.type)))
        .scalars()
        .one(),
        started=_newest(ledger),
        finished=_newest(ledger, finished),
        ended_well=_newest(ledger, command_runs.c.outcome == DONE),
        last_delivery=max(
            deliveries, key=lambda run: run.finished_at or run.began_at, default=None
        ),
        by_prefect=ledger.execute(
            select(command_runs.c.id).where(command_runs.c.started_by == PREFECT).limit(1)
        ).first()
        is not None,
    )


def _newest(ledger: Connection, *which: Any) -> dict[str, CommandRun]:
    """Of each command the newest row that matches every condition."""
    moment = command_runs.c.finished_at if which else command_runs.c.began_at
    place = func.row_number().over(
        partition_by=command_runs.c.command, order_by=(moment.desc(), command_runs.c.id.desc())
    )
    placed = select(command_runs, place.label("place")).where(*which).subquery()
    rows = ledger.execute(select(placed).where(placed.c.place == 1))
    return {row.command: _command_run(row) for row in rows}


def _command_run(row: Row[Any]) -> CommandRun:
    outcome = row.outcome
    if row.finished_at is None:
        outcome = KILLED if is_gone(row.worker, row.began_at + UNHEARD) else RUNNING
    facts = {name: getattr(row, name) for name in ("why", "due", "accepted")}
    return CommandRun(row.command, row.began_at, row.finished_at, outcome, **facts)
