"""Publishes the audited marts by an atomic rename."""

from __future__ import annotations

import os
import shutil

import duckdb

from lifecycle.errors import WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.published_days import DAYS, keep_published_day

MART = "fct_account_health_daily"
"""The mart of the history."""


def publish(settings: Settings, *, run_id: str) -> None:
    """Replace `published.duckdb` by the marts of `work.duckdb`.

    Readers see the old marts or the new ones, never a mixture. `marts.published` holds one
    row: run_id, as_of and published_at (wall clock), both UTC. From then on the day counts as
    history. Raises WarehouseError.
    """
    for leftover in settings.state_dir.glob(f"{settings.published_db.name}.*.tmp*"):
        leftover.unlink()  # Left by a killed run: only one run works in a state folder.
    new = settings.published_db.with_name(f"{settings.published_db.name}.{run_id}.tmp")
    try:
        with connect_work(settings) as connection:
            _copy_marts(connection, str(new), run_id)
        _sync(new)
        os.replace(new, settings.published_db)
        _sync(settings.state_dir)
        with connect_work(settings) as connection:
            keep_published_day(connection)
    except OSError as error:
        raise WarehouseError(f"{settings.published_db} cannot be replaced: {error}") from error
    finally:
        new.unlink(missing_ok=True)


def publish_history(settings: Settings) -> bool:
    """Copy the history of `work.duckdb` into `published.duckdb`. Everything else in it stays, also
    its run_id and its as_of.

    Readers see the old file or the new one. Returns False where no run has published yet: then the
    first run does it. The caller has checked that `work.duckdb` is published, and holds the state
    folder's lock. Raises WarehouseError.
    """
    if not settings.published_db.exists():
        return False
    new = settings.published_db.with_name(f"{settings.published_db.name}.history.tmp")
    try:
        shutil.copy2(settings.published_db, new)
        with connect_work(settings) as connection:
            connection.execute(f"attach {_literal(str(new))} as published")
            connection.execute(f"create or replace table published.marts.{MART} as from {DAYS}")
            connection.execute("detach published")
        _sync(new)
        os.replace(new, settings.published_db)
        _sync(settings.state_dir)
    except OSError as error:
        raise WarehouseError(f"{settings.published_db} cannot be replaced: {error}") from error
    finally:
        new.unlink(missing_ok=True)
    return True


def _copy_marts(connection: duckdb.DuckDBPyConnection, new: str, run_id: str) -> None:
    marts = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
    ).fetchall()
    if not marts:
        raise WarehouseError("there are no marts to publish: the build comes first")
    connection.execute(f"attach {_literal(new)} as published")
    connection.execute("create schema published.marts")
    for (name,) in marts:
        table = '"' + name.replace('"', '""') + '"'
        connection.execute(f"create table published.marts.{table} as from marts.{table}")
    connection.execute(
        "create table published.marts.published as"
        " select ? as run_id, as_of, timezone('UTC', now()) as published_at from context.run",
        [run_id],
    )
    connection.execute("detach published")  # Write the log into the file itself.


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sync(path: os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
