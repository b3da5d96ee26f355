"""Keeps only published days in the history of `work.duckdb`.

A run writes its day into fct_account_health_daily, the one mart that later runs read: bands
continue from it, and owners' news compares with it. So before a run changes anything, the rows that
it may replace are copied to the schema `unpublished` of `work.duckdb`, which exists until the run
has published. Where it never published (a gate refused, the run failed or was killed), the next run
restores them. That costs a few days' rows, however long the history is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb

from lifecycle.errors import NothingPublished
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.published_delivery import exists, has_delivery, keep_delivery

HISTORY = "fct_account_health_daily"
"""The mart of which models read the earlier days."""

AROUND = timedelta(days=1)
"""A day of the company's calendar is at most this far from the UTC day of a moment in it."""


def begin_day(settings: Settings, *, run_id: str, as_of: datetime) -> None:
    """Restore the days that an unpublished run replaced, and save the days that this run may
    replace.

    `as_of` is aware. Safe to repeat. Raises WarehouseError.
    """
    day = as_of.astimezone(UTC).date()
    days = [day - AROUND, day + AROUND]
    with connect_work(settings) as work:
        work.execute("begin")
        take_back(work, settings)
        work.execute("create schema unpublished")
        work.execute(
            "create table unpublished.run as"
            " select ? as run_id, ?::date as first_day, ?::date as last_day",
            [run_id, *days],
        )
        if has_history(work):
            work.execute(
                f"create table unpublished.history as from marts.{HISTORY}"
                " where day between ? and ?",
                days,
            )
        work.execute("commit")


def take_back(work: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Restore the history of the published runs. `work` is the work file, or a copy of it."""
    if not unpublished_run(work, settings):
        if _was_published_before_it_was_kept(work, settings):
            keep_delivery(work)
    elif has_history(work):
        work.execute(
            f"delete from marts.{HISTORY} using unpublished.run"
            " where day between first_day and last_day"
        )
        if exists(work, "unpublished", "history"):
            work.execute(f"insert into marts.{HISTORY} by name from unpublished.history")
    keep_day(work)


def keep_day(work: duckdb.DuckDBPyConnection) -> None:
    """Mark the last run's days as published."""
    work.execute("drop schema if exists unpublished cascade")


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


def has_history(work: duckdb.DuckDBPyConnection) -> bool:
    """Whether a run or a backfill has created the history."""
    return exists(work, "marts", HISTORY)
