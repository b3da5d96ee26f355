"""Keeps the published days of the history: `history.account_health_daily` of `work.duckdb`.

The model int_accounts_scored is the day of the run that builds it. Later runs go on from it: bands
continue, and owners' news compares with it. So the day enters the history when its run has
published. A day that a gate refused, or whose run failed or was killed, never does.

The schema `unpublished` names the run that works. It exists until the run has published.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from lifecycle.errors import NothingPublished
from lifecycle.settings import Settings
from lifecycle.triggers.columns import read_columns
from lifecycle.warehouse import earlier_history
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.published_delivery import exists, has_delivery, keep_delivery
from lifecycle.warehouse.score_definition import PROJECT

DAYS = "history.account_health_daily"
"""One row an account and published day."""

SCORED = "intermediate.int_accounts_scored"
"""One row an account: the day of the run that built it, with the columns of `DAYS`."""

DAY_MODEL = SCORED.partition(".")[2]


def begin_day(settings: Settings, *, run_id: str) -> None:
    """Mark that a run works, after those before it were settled.

    Safe to repeat. Raises WarehouseError.
    """
    with connect_work(settings) as work:
        work.execute("begin")
        settle(work, settings)
        work.execute("create schema unpublished")
        work.execute("create table unpublished.run as select ? as run_id", [run_id])
        work.execute("commit")


def settle(work: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Have the history be that of the published runs, whatever ended the last one, and whatever
    version left it. `work` is the work file, or a copy of it."""
    adopt_history(work, settings)
    if unpublished_run(work, settings) is None:
        if exists(work, "unpublished", "run"):
            keep_built_day(work)  # it was killed between the rename and its last word here
        if _was_published_before_it_was_kept(work, settings):
            keep_delivery(work)
    end_run(work)


def adopt_history(
    work: duckdb.DuckDBPyConnection, settings: Settings, project: Path = PROJECT
) -> None:
    """Have the table of the history, with all its columns, whatever version left the warehouse."""
    is_published = unpublished_run(work, settings) is None
    earlier_history.move(work, DAYS, is_published=is_published)
    ensure_history(work, project)


def ensure_history(work: duckdb.DuckDBPyConnection, project: Path = PROJECT) -> None:
    """Create the history where it is not there, and the columns that it lacks, as the YAML of the
    project's int_accounts_scored has them."""
    pattern = f"models/intermediate/*/{DAY_MODEL}.yml"
    file = next(project.glob(pattern), None) or next(PROJECT.glob(pattern))
    columns = [f'"{column.name}" {column.data_type}' for column in read_columns(file).values()]
    work.execute("create schema if not exists history")
    work.execute(f"create table if not exists {DAYS} ({', '.join(columns)})")
    for column in columns:
        work.execute(f"alter table {DAYS} add column if not exists {column}")


def keep_built_day(work: duckdb.DuckDBPyConnection) -> None:
    """Write the day that was built last into the history, in place of what it has of that day."""
    if exists(work, *SCORED.split(".")):
        work.execute(f"delete from {DAYS} where day in (select day from {SCORED})")
        work.execute(f"insert into {DAYS} by name from {SCORED}")


def end_run(work: duckdb.DuckDBPyConnection) -> None:
    """Remove the mark of a run that works."""
    work.execute("drop schema if exists unpublished cascade")


def keep_published_day(work: duckdb.DuckDBPyConnection) -> None:
    """Write the day of the run that has just published into the history."""
    work.execute("begin")
    keep_built_day(work)
    end_run(work)
    work.execute("commit")


def keep_published_delivery(settings: Settings) -> None:
    """Have the next delivery be held against this run's, which is published and planned by.

    Raises WarehouseError.
    """
    with connect_work(settings) as work:
        work.execute("begin")
        keep_delivery(work)
        work.execute("commit")


def _was_published_before_it_was_kept(work: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether an older version published what `raw` holds: it kept no delivery."""
    return settings.published_db.exists() and not has_delivery(work)


def check_published(work: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Raise NothingPublished where the last run changed the warehouse without publishing."""
    if run_id := unpublished_run(work, settings):
        raise NothingPublished(
            f"{settings.work_db}: run {run_id} ended before it published, and from data that did "
            "not pass both gates nothing is learned or judged; `lifecycle status` says why it "
            "ended, and the next good run puts it right"
        )


def unpublished_run(work: duckdb.DuckDBPyConnection, settings: Settings) -> str | None:
    """The run that changed the warehouse last, if it has not published."""
    if not exists(work, "unpublished", "run"):
        return None
    (run_id,) = work.execute("select run_id from unpublished.run").fetchall()[0]
    try:
        with connect_published(settings) as published:
            # It may have been killed between the rename and its last word here.
            (last,) = published.execute("select run_id from marts.published").fetchall()[0]
    except NothingPublished:
        last = None
    return None if run_id == last else str(run_id)


def is_built(work: duckdb.DuckDBPyConnection) -> bool:
    """Whether a run has built a day, or a run or a backfill has written one."""
    if exists(work, *SCORED.split(".")):
        return True
    return work.execute(f"select 1 from {DAYS} limit 1").fetchone() is not None
