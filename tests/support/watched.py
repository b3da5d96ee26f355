"""A state folder whose commands ran when a test says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, update

from lifecycle.ledger import runs
from lifecycle.ledger.commands import BACK_UP, DELIVER, FIT_SCORES, RUN, SYNC_FEEDBACK
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import command_runs, recording
from planned import Workspace

MINUTE = timedelta(minutes=1)
ALL = (RUN, DELIVER, SYNC_FEEDBACK, FIT_SCORES, BACK_UP)


def ran(ledger: Ledger, command: str, ago: timedelta, outcome: str | None = "done", **more) -> None:
    """A command that began so long ago, and ended at once."""
    at = datetime.now(UTC) - ago
    with ledger.write() as connection:
        connection.execute(
            insert(command_runs).values(
                **{
                    "command": command,
                    "started_by": "prefect",
                    "began_at": at,
                    "finished_at": at if outcome else None,
                    "outcome": outcome,
                    "worker": "elsewhere:1:0.00",
                    **more,
                }
            )
        )


def all_ran(ledger: Ledger, ago: Mapping[str, timedelta] | None = None) -> None:
    """Each command ended well a minute ago, or when `ago` says; recorded for a year."""
    with ledger.write() as connection:
        connection.execute(delete(command_runs))
        since = datetime.now(UTC) - timedelta(days=366)
        connection.execute(update(recording).values(since=since))
    for command in ALL:
        ran(ledger, command, (ago or {}).get(command, MINUTE))


def publish_today(workspace: Workspace) -> None:
    """A company of today, whose clock goes on."""
    workspace.as_of = datetime.now(UTC).replace(microsecond=0)
    workspace.publish()
    runs.begin(workspace.ledger, run_id="r1", as_of=workspace.as_of, source="files")
    report = {"withheld": {"no_consent": 4}, "seconds": {"build": 2.5}, "stopped": None}
    report = {**report, "planned": 0, "accepted": 0}
    runs.finish(workspace.ledger, run_id="r1", status="done", report=report)
