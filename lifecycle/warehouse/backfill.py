"""Writes the history of past days, as a run on each day would have written it.

Days are built one after the other in a copy of `work.duckdb`, from the data of the last load (see
daily_marts.py). Each is written to the history of the real file in a transaction of its own. So a
backfill may end at any moment, and the next one continues with the first missing day. Only
the history is written, and the table of the days that a backfill wrote. The marts stay as the last
run left them, and mail is planned only by a run.

A day follows from the ones before it. What a run wrote stays, whatever is written before it. What
a backfill wrote is written again where an earlier day was missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import duckdb

from lifecycle.days import DAY, moments_of, named, spans
from lifecycle.errors import InputError, WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.daily_marts import DailyMarts
from lifecycle.warehouse.publish import publish_history
from lifecycle.warehouse.published_days import (
    DAY_MODEL,
    DAYS,
    SCORED,
    adopt_history,
    check_published,
)
from lifecycle.warehouse.sandbox import last_load
from lifecycle.warehouse.score_definition import PROJECT

BACKFILLED = "history.backfilled_days"
"""One row a day that a backfill wrote, and the as-of (UTC) it wrote it for. A run that writes such
a day for another as-of makes it its own."""

COPY = "backfill"
"""The folder, in the state folder, in which days are built; one that was killed leaves it."""

CHECKPOINT_EVERY = 30
"""Days between checkpoints of the write-ahead log."""


@dataclass(frozen=True)
class Backfilled:
    """The result of a backfill."""

    days: Sequence[date]
    at: time
    built: Sequence[date]
    """The days that it built; an earlier backfill had built the others."""
    rows: int
    """Rows of the history that it wrote: one an account and built day."""
    late: Sequence[date]
    """Built days with a late usage feed: their usage columns are null."""
    is_published: bool
    """False before the first run."""


def backfill(
    settings: Settings,
    days: Sequence[date],
    *,
    at: time,
    again: bool = False,
    project: Path = PROJECT,
    progress: Callable[[date], None] = lambda day: None,
) -> Backfilled:
    """Write the history of these days (consecutive, ascending, the company's), each as of a time of
    the day, from the data of the last load. Days of an earlier backfill are built `again` if asked.

    The caller holds the state folder's lock. `progress` hears of each day that is there. Raises
    InputError for days that a run wrote, that are before the first usage event or after the last
    load, NothingPublished after a run whose data did not pass, and WarehouseError.
    """
    moments = moments_of(days, at, settings.company.time_zone)
    with connect_work(settings) as work:
        if settings.published_db.exists():
            check_published(work, settings)
        adopt_history(work, settings, project)
        _check_clock(work, settings, days, moments)
        work.execute(f"create table if not exists {BACKFILLED} (day date, as_of timestamp)")
        missing = _missing(work, days, again)
        _forget(work, missing)
    rows, late = 0, []
    for day in days[: len(days) - len(missing)]:
        progress(day)
    if missing:
        begun = len(days) - len(missing)
        with _days_of(settings, project) as history:
            for number, (day, moment) in enumerate(
                zip(missing, moments[begun:], strict=True), start=1
            ):
                built_day = history.write(day, moment)
                rows += built_day.rows
                if built_day.is_late:
                    late.append(day)
                if number % CHECKPOINT_EVERY == 0:
                    history.checkpoint()
                progress(day)
    return Backfilled(days, at, missing, rows, late, publish_history(settings))


# Which days. ------------------------------------------------------------------------------


def _check_clock(
    work: duckdb.DuckDBPyConnection,
    settings: Settings,
    days: Sequence[date],
    moments: Sequence[datetime],
) -> None:
    """Refuse days that the last load does not cover."""
    zone = settings.company.time_zone
    loaded_at = last_load(work, settings)
    (first,) = work.execute("select min(occurred_at) from raw.usage_events").fetchall()[0]
    if first is None:
        raise InputError("there are no usage events: no day has a history")
    unknown = [day for day, at in zip(days, moments, strict=True) if at > loaded_at]
    if unknown and moments[-1] > datetime.now(UTC):
        raise InputError(f"{named(unknown)}: in the future; end with --to {unknown[0] - DAY}")
    if unknown:
        loaded = f"the last load, of {loaded_at:%Y-%m-%d %H:%M} UTC"
        raise InputError(
            f"{named(unknown)}: nothing is known of them by {loaded}; `lifecycle run` loads what "
            f"came since, or end with --to {unknown[0] - DAY}"
        )
    early = [day for day, at in zip(days, moments, strict=True) if at < _aware(first)]
    if early:
        begins = early[-1] + DAY
        raise InputError(
            f"{named(early)}: before the first usage event, of {_aware(first):%Y-%m-%d %H:%M} UTC, "
            f"nothing is known of any account (days are {zone}'s); begin with --from {begins}"
        )


def _missing(work: duckdb.DuckDBPyConnection, days: Sequence[date], again: bool) -> Sequence[date]:
    """The days to build: from the first missing day on. Raises InputError."""
    by_runs, by_backfills = _written(work)
    if by_run := [day for day in days if day in by_runs]:
        free = spans(day for day in days if day not in by_runs)
        free_spans = "; ".join(f"--from {first} --to {last}" for first, last in free)
        raise InputError(
            f"runs wrote {named(by_run)}, and what was known on the day of a run stays; "
            + (f"backfill the other days: {free_spans}" if free else "there is nothing to backfill")
        )
    place = next((n for n, day in enumerate(days) if again or day not in by_backfills), None)
    if place is None:
        return []
    following = [day for day in by_backfills if day > days[-1]]
    next_run = min((day for day in by_runs if day > days[-1]), default=date.max)
    if follow := [day for day in following if day < next_run]:
        raise InputError(
            f"{named(follow)}: backfilled before, without the days that you ask for, from which "
            f"they follow; have them built again with these: --to {max(follow)}"
        )
    return days[place:]


def _written(work: duckdb.DuckDBPyConnection) -> tuple[set[date], set[date]]:
    """The days of the history that runs wrote, and those that backfills wrote."""
    query = f"""
        select history.day, history.as_of = backfilled.as_of
        from (select distinct day, as_of from {DAYS}) as history
        left join {BACKFILLED} as backfilled using (day)
    """
    by_runs: set[date] = set()
    by_backfills: set[date] = set()
    for day, is_backfilled in work.execute(query).fetchall():
        (by_backfills if is_backfilled else by_runs).add(day)
    return by_runs, by_backfills


def _forget(work: duckdb.DuckDBPyConnection, missing: Sequence[date]) -> None:
    """Delete the days that follow from a missing day, so that an interrupted backfill finds what is
    still to build."""
    if not missing:
        return
    work.execute("begin")
    for table in (BACKFILLED, DAYS):
        work.execute(f"delete from {table} where day between ? and ?", [missing[0], missing[-1]])
    work.execute("commit")


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


# Building them. ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Written:
    rows: int
    is_late: bool


class _History:
    """The kept history, attached to the copy that builds one day after the other."""

    def __init__(self, marts: DailyMarts) -> None:
        self._marts = marts
        self._execute = marts.connection.execute

    def write(self, day: date, moment: datetime) -> _Written:
        """Build a day and write it to the history, whole or not at all."""
        self._marts.build(moment)
        self._execute("begin")
        (rows,) = self._execute(
            f"insert into kept.{DAYS} by name from {SCORED} where day = ?", [day]
        ).fetchall()[0]
        self._execute(
            f"insert into kept.{BACKFILLED} select distinct day, as_of from {SCORED} where day = ?",
            [day],
        )
        self._execute("commit")
        (status,) = self._execute(
            "select feed_status from intermediate.int_feed_judged"
        ).fetchall()[0]
        return _Written(rows, status == "late")

    def checkpoint(self) -> None:
        self._execute("checkpoint kept")


@contextmanager
def _days_of(settings: Settings, project: Path) -> Iterator[_History]:
    """Yield a copy of the warehouse in the state folder, in which days are built."""
    folder = settings.state_dir / COPY
    shutil.rmtree(folder, ignore_errors=True)  # Left by a backfill that was killed.
    try:
        with DailyMarts.open(
            settings, folder, wanted=[DAY_MODEL], begins=True, project=project
        ) as marts:
            work_db = str(settings.work_db).replace("'", "''")
            try:
                marts.connection.execute(f"attach '{work_db}' as kept")
            except duckdb.Error as error:
                raise WarehouseError(f"{settings.work_db} cannot be opened: {error}") from error
            yield _History(marts)
            marts.connection.execute("detach kept")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
