"""Copies `work.duckdb`, so that another day or other models can be built beside it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from lifecycle.errors import WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse import context
from lifecycle.warehouse.build import build
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import settle
from lifecycle.warehouse.score_definition import PROJECT


def copy_work(settings: Settings, folder: Path) -> tuple[Settings, datetime]:
    """Copy the last run's warehouse; the original stays unchanged.

    The copy's history has only published days. Returns settings whose state folder is `folder`,
    and the clock of the last load (UTC). Raises WarehouseError when no run has loaded anything
    yet, or one is working now.
    """
    if not settings.work_db.exists():
        raise _nothing_loaded(settings)
    with connect_work(settings) as work:
        loaded_at = last_load(work, settings)
        work.execute("checkpoint")
        folder.mkdir(parents=True, exist_ok=True)
        # While this connection is open, no other process can write to the file.
        shutil.copy2(settings.work_db, folder / settings.work_db.name)
    copied = settings.model_copy(
        update={"state": settings.state.model_copy(update={"dir": folder})}
    )
    with connect_work(copied) as copy:
        settle(copy, settings)
    return copied, loaded_at


def last_load(work: duckdb.DuckDBPyConnection, settings: Settings) -> datetime:
    """The clock of a warehouse's last load (UTC).

    Raises WarehouseError when nothing was loaded yet.
    """
    is_there = work.execute(
        "select 1 from duckdb_tables() where schema_name = 'context' and table_name = 'run'"
    ).fetchone()
    row = is_there and work.execute("select loaded_at from context.run").fetchone()
    if not row:
        raise _nothing_loaded(settings)
    loaded_at: datetime = row[0].replace(tzinfo=UTC)
    return loaded_at


def _nothing_loaded(settings: Settings) -> WarehouseError:
    problem = "no data was loaded yet; `lifecycle run --dry-run` does it"
    return WarehouseError(f"{settings.work_db}: {problem}")


def marts_as_of(
    settings: Settings, moment: datetime, folder: Path, *, project: Path = PROJECT
) -> Settings:
    """Build and test the marts of a moment in a copy; returns settings whose state folder it is.

    Raises WarehouseError, and GateStopped when a data test fails.
    """
    then, loaded_at = copy_work(settings, folder)
    context.write(then, run_id=folder.name, as_of=moment, loaded_at=loaded_at, project=project)
    build(then, project=project)
    return then
