"""Connections to the two DuckDB files.

Only a run opens `work.duckdb`. Everybody else opens `published.duckdb`. It is replaced by an atomic
rename and never written in place, so that any number of processes can read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lifecycle.duckdb_connection import connect
from lifecycle.errors import NothingPublished, WarehouseError
from lifecycle.settings import Settings
from lifecycle.warehouse import earlier_places


@contextmanager
def connect_work(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file that a run builds in; create it if needed.

    Raises WarehouseError when another process holds it, and for every DuckDB error inside.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _open(settings.work_db, read_only=False) as connection:
        earlier_places.copy(connection)
        yield connection


@contextmanager
def connect_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The last marts that passed both gates, read-only.

    Raises NothingPublished before the first good run, WarehouseError for every DuckDB error inside.
    """
    if not settings.published_db.exists():
        raise NothingPublished(
            f"{settings.published_db}: nothing was published yet; `lifecycle run` makes it"
        )
    with _open(settings.published_db, read_only=True) as connection:
        yield connection


@contextmanager
def _open(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        connection = connect(path, read_only=read_only)
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise WarehouseError(f"{path} is in use by another process: {error}") from error
        raise WarehouseError(f"{path} cannot be opened: {error}") from error
    except duckdb.Error as error:
        raise WarehouseError(f"{path} cannot be opened: {error}") from error
    try:
        yield connection
    except duckdb.Error as error:
        raise WarehouseError(f"{path.name}: {error}") from error
    except RuntimeError as error:
        # DuckDB's message for a Ctrl-C while it executes. Its other threads go on with the query,
        # and closing waits for them, unless they are told.
        if str(error) == "Query interrupted":
            connection.interrupt()
            raise KeyboardInterrupt from error
        raise
    finally:
        connection.close()
